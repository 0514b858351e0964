//! Values with a unit: lengths of time, shares, counts.

use core::fmt;

use super::{FromSetting, Written};
use crate::words::Millis;

/// A share of a whole, in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(pub u32);

impl Percent {
    /// Whether `part` is at least this share of `whole`. Of nothing it never is.
    pub const fn is_reached(self, part: u32, whole: u32) -> bool {
        whole > 0 && part as u64 * 100 >= self.0 as u64 * whole as u64
    }

    /// This share of `whole`, rounded down.
    pub const fn of(self, whole: u32) -> u32 {
        // At most `whole` for shares up to 100 %, so it fits.
        (whole as u64 * self.0 as u64 / 100) as u32
    }
}

/// Units of lengths. The first of a size is how it is printed.
const UNITS: [(&str, u64); 5] =
    [("h", 3_600_000), ("min", 60_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl FromSetting for Millis {
    const WRITTEN: &'static str =
        "a length of time with its unit, like \"500ms\", \"1.5s\", \"10min\" or \"1h\"";

    fn from_setting(value: &Written) -> Option<Self> {
        let text = value.as_text()?;
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = text.split_at(unit_at);
        let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let whole_ms = digits(whole)?.checked_mul(*unit_ms)?;
        Some(Self(whole_ms.checked_add(fraction_ms(fraction, *unit_ms)?)?))
    }
}

fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// `fraction` of a unit, as the digits after the point. None if it is finer than
/// a millisecond.
fn fraction_ms(fraction: &str, unit_ms: u64) -> Option<u64> {
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled = digits(fraction)?.checked_mul(unit_ms)?;
    scaled.is_multiple_of(scale).then(|| scaled / scale)
}

impl fmt::Display for Millis {
    /// As a setting is written: `90s`, `3min`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |unit: &&(&str, u64)| self.0 >= unit.1 && self.0.is_multiple_of(unit.1);
        match UNITS.iter().find(fits) {
            Some((name, unit_ms)) => write!(f, "{}{name}", self.0 / unit_ms),
            None => f.write_str("0s"),
        }
    }
}

impl FromSetting for u32 {
    const WRITTEN: &'static str = "a whole number";

    fn from_setting(value: &Written) -> Option<Self> {
        value.as_whole().map(|number| Self::try_from(number).unwrap_or(Self::MAX))
    }
}

impl FromSetting for Percent {
    const WRITTEN: &'static str = "a share like \"50%\"";

    fn from_setting(value: &Written) -> Option<Self> {
        let number = digits(value.as_text()?.strip_suffix('%')?)?;
        Some(Self(u32::try_from(number).unwrap_or(u32::MAX)))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_length_is_a_number_with_its_unit() {
        for (written, expected) in [
            (json!("500ms"), Some(500)),
            (json!("15s"), Some(15_000)),
            (json!("1.5s"), Some(1_500)),
            (json!("0.25h"), Some(900_000)),
            (json!("10m"), Some(600_000)),
            (json!("10min"), Some(600_000)),
            (json!("1h"), Some(3_600_000)),
            (json!("0s"), Some(0)),
            (json!("1.5ms"), None),
            (json!("1.s"), None),
            (json!(".5s"), None),
            (json!("1.2.3s"), None),
            (json!("-1s"), None),
            (json!("s"), None),
            (json!("15"), None),
            (json!(15), None),
            (json!("15 s"), None),
            (json!("15d"), None),
            (json!("99999999999999999999s"), None),
            (json!("9999999999999999999s"), None),
            (json!("0.00000000000000000000001s"), None),
            (json!(null), None),
        ] {
            let read: Written = serde_json::from_str(&written.to_string()).unwrap();
            assert_eq!(Millis::from_setting(&read), expected.map(Millis), "{written}");
        }
    }

    #[test]
    fn lengths_are_printed_as_they_are_written() {
        for (millis, text) in
            [(0, "0s"), (250, "250ms"), (1_500, "1500ms"), (90_000, "90s"), (180_000, "3min")]
        {
            assert_eq!(Millis(millis).to_string(), text);
            let read = Millis::from_setting(&Written::Text(text.into()));
            assert_eq!(read, Some(Millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_share_of_nothing_is_never_reached() {
        for (part, whole, expected) in
            [(0, 0, false), (2, 5, false), (3, 6, true), (3, 5, true), (u32::MAX, u32::MAX, true)]
        {
            assert_eq!(Percent(50).is_reached(part, whole), expected, "{part} of {whole}");
        }
    }
}
