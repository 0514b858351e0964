//! The kinds of settings, and how each is written: lengths of time, shares,
//! counts, flags.

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

/// A type that settings can have: [`Millis`], [`Percent`], `u32` and `bool`.
pub trait Unit: Copy {
    #[doc(hidden)]
    const KIND: Kind;

    #[doc(hidden)]
    fn from_raw(raw: u64) -> Self;
}

/// How a setting is written and read. Read ones are numbers: milliseconds,
/// hundredths, a count, 0 or 1.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Length,
    Share,
    Count,
    Flag,
}

impl Unit for Millis {
    const KIND: Kind = Kind::Length;

    fn from_raw(raw: u64) -> Self {
        Self(raw)
    }
}

impl Unit for Percent {
    const KIND: Kind = Kind::Share;

    fn from_raw(raw: u64) -> Self {
        // The declaration of the setting holds its range to this.
        Self(raw as u32)
    }
}

impl Unit for u32 {
    const KIND: Kind = Kind::Count;

    fn from_raw(raw: u64) -> Self {
        raw as Self
    }
}

impl Unit for bool {
    const KIND: Kind = Kind::Flag;

    fn from_raw(raw: u64) -> Self {
        raw != 0
    }
}

impl Kind {
    /// Of what is not written as it should be, after the value.
    pub(super) const fn refusal(self) -> &'static str {
        match self {
            Self::Length => {
                " is not a length of time with its unit, like \"500ms\", \"1.5s\", \"10min\" or \"1h\""
            }
            Self::Share => " is not a share like \"50%\"",
            Self::Count => " is not a whole number",
            Self::Flag => " is neither true nor false",
        }
    }

    /// How it is written, for the JSON Schema.
    pub(super) const fn schema(self) -> &'static str {
        match self {
            Self::Length => r#""type":"string","pattern":"^[0-9]+(\\.[0-9]+)?(ms|s|m|min|h)$""#,
            Self::Share => r#""type":"string","pattern":"^[0-9]+%$""#,
            Self::Count => r#""type":"integer""#,
            Self::Flag => r#""type":"boolean""#,
        }
    }

    /// Whether JSON has it in quotes.
    pub(super) const fn is_text(self) -> bool {
        matches!(self, Self::Length | Self::Share)
    }

    /// The largest that [`Unit::from_raw`] takes.
    pub(super) const fn largest(self) -> u64 {
        match self {
            Self::Length => u64::MAX,
            Self::Share | Self::Count => u32::MAX as u64,
            Self::Flag => 1,
        }
    }

    /// Reads what stands in the quotes, or without any. None if it is not written
    /// as it should be; too large a number is read as the largest. The compiler
    /// reads defaults and ranges by the same rules.
    pub(super) const fn read(self, text: &str) -> Option<u64> {
        let (number, unit) = number(text.as_bytes());
        match self {
            Self::Length => length(number, unit),
            Self::Share => match (number, unit) {
                (Some(number), b"%") => Some(number),
                _ => None,
            },
            Self::Count => match unit {
                b"" => number,
                _ => None,
            },
            Self::Flag => match unit {
                b"true" => Some(1),
                b"false" => Some(0),
                _ => None,
            },
        }
    }
}

/// The number that the text begins with, if it does, and the rest.
const fn number(text: &[u8]) -> (Option<u64>, &[u8]) {
    let (mut number, mut at) = (0_u64, 0);
    while at < text.len() && text[at].is_ascii_digit() {
        number = number.saturating_mul(10).saturating_add((text[at] - b'0') as u64);
        at += 1;
    }
    let (_, rest) = text.split_at(at);
    (if at == 0 { None } else { Some(number) }, rest)
}

/// A whole number, perhaps a fraction, and a unit. None if it is finer than a
/// millisecond.
const fn length(whole: Option<u64>, rest: &[u8]) -> Option<u64> {
    let Some(whole) = whole else { return None };
    let (fraction, digits, unit) = match rest {
        [b'.', rest @ ..] => {
            let (Some(fraction), unit) = number(rest) else { return None };
            (fraction, rest.len() - unit.len(), unit)
        }
        _ => (0, 0, rest),
    };
    let unit_ms = match unit {
        b"ms" => 1,
        b"s" => 1_000,
        b"m" | b"min" => 60_000,
        b"h" => 3_600_000,
        _ => return None,
    };
    let Some(scale) = 10_u64.checked_pow(digits as u32) else { return None };
    let Some(scaled) = fraction.checked_mul(unit_ms) else { return None };
    if !scaled.is_multiple_of(scale) {
        return None;
    }
    Some(whole.saturating_mul(unit_ms).saturating_add(scaled / scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_a_number_with_its_unit() {
        for (written, expected) in [
            ("500ms", Some(500)),
            ("15s", Some(15_000)),
            ("1.5s", Some(1_500)),
            ("0.25h", Some(900_000)),
            ("10m", Some(600_000)),
            ("10min", Some(600_000)),
            ("1h", Some(3_600_000)),
            ("0s", Some(0)),
            ("007s", Some(7_000)),
            ("1.5ms", None),
            ("1.s", None),
            (".5s", None),
            ("1.2.3s", None),
            ("-1s", None),
            ("s", None),
            ("", None),
            ("15", None),
            ("1.5", None),
            ("15 s", None),
            (" 15s", None),
            ("15s ", None),
            ("15d", None),
            ("15S", None),
            ("1e3s", None),
            ("\u{661}s", None),
            ("0.00000000000000000000001s", None),
            ("99999999999999999999s", Some(u64::MAX)),
            ("9999999999999999999s", Some(u64::MAX)),
        ] {
            assert_eq!(Kind::Length.read(written), expected, "{written}");
        }
    }

    #[test]
    fn shares_counts_and_flags_are_written_in_one_way() {
        for (kind, written, expected) in [
            (Kind::Share, "50%", Some(50)),
            (Kind::Share, "99999999999999999999%", Some(u64::MAX)),
            (Kind::Share, "50", None),
            (Kind::Share, "%", None),
            (Kind::Share, "50%%", None),
            (Kind::Share, "1.5%", None),
            (Kind::Count, "5", Some(5)),
            (Kind::Count, "99999999999999999999", Some(u64::MAX)),
            (Kind::Count, "-5", None),
            (Kind::Count, "1.5", None),
            (Kind::Count, "1e3", None),
            (Kind::Count, "", None),
            (Kind::Flag, "true", Some(1)),
            (Kind::Flag, "false", Some(0)),
            (Kind::Flag, "1", None),
            (Kind::Flag, "", None),
        ] {
            assert_eq!(kind.read(written), expected, "{written}");
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
