//! Reads a policy's settings from JSON and reports all that is wrong with them.
//!
//! A value carries its unit, in the value or in the key's name: lengths of time
//! are `"500ms"`, `"1.5s"`, `"10min"` (or `"10m"`), `"1h"`, shares are `"50%"`,
//! and only counts are bare numbers. A bare number for a length would be read as
//! seconds by one person and as milliseconds by the next.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::words::Millis;

/// Longest piece of a refused value that a message repeats.
const SHOWN_CHARS: usize = 40;

/// What is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key. Empty for the settings as a whole.
    pub path: String,
    /// What, with the value and the range that is allowed.
    pub message: String,
}

/// A setting: its key, its default and its range, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    pub key: &'static str,
    pub default: T,
    pub least: T,
    pub most: T,
}

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

/// A value that settings can have.
pub trait FromSetting: Copy + PartialOrd + fmt::Display {
    /// How it is written, for a message: `a length of time like "30s"`.
    const WRITTEN: &'static str;

    /// None if it is not written like that.
    fn from_setting(value: &Written) -> Option<Self>;
}

/// Takes settings out of a JSON object one by one, and collects the problems.
#[derive(Debug)]
pub struct Reader {
    entries: Vec<(String, Written)>,
    problems: Vec<Problem>,
    known: Vec<&'static str>,
}

impl Reader {
    /// Fails if the text is no JSON object.
    pub fn new(json: &str) -> Result<Self, Vec<Problem>> {
        match serde_json::from_str::<Entries>(json) {
            Ok(Entries(entries)) => {
                let mut reader = Self { entries, problems: Vec::new(), known: Vec::new() };
                reader.refuse_duplicates();
                Ok(reader)
            }
            Err(error) => {
                Err(alloc::vec![problem("", format!("settings are no JSON object: {error}"))])
            }
        }
    }

    /// The value of a setting. Its default where it is absent or refused, so
    /// that reading goes on and finds the other problems.
    pub fn read<T: FromSetting>(&mut self, setting: &Setting<T>) -> T {
        let Some(value) = self.take(setting.key) else {
            return setting.default;
        };
        let Some(read) = T::from_setting(&value) else {
            let Setting { least, most, .. } = setting;
            let written = T::WRITTEN;
            self.refuse(
                setting.key,
                format!("{} is not {written}; allowed is {least} to {most}", shown(&value)),
            );
            return setting.default;
        };
        if read < setting.least || read > setting.most {
            let Setting { least, most, .. } = setting;
            self.refuse(
                setting.key,
                format!("{} is out of range; allowed is {least} to {most}", shown(&value)),
            );
            return setting.default;
        }
        read
    }

    /// A setting that is on or off.
    pub fn flag(&mut self, key: &'static str, default: bool) -> bool {
        match self.take(key) {
            None => default,
            Some(Written::Flag(flag)) => flag,
            Some(value) => {
                self.refuse(key, format!("{} is neither true nor false", shown(&value)));
                default
            }
        }
    }

    /// Adds a problem that the reader cannot see, between two settings say.
    pub fn refuse(&mut self, key: &str, message: String) {
        self.problems.push(problem(key, message));
    }

    /// Fails if there was any problem; keys that nobody read are one.
    pub fn finish(mut self) -> Result<(), Vec<Problem>> {
        for (key, _) in core::mem::take(&mut self.entries) {
            let known = self.known.join(", ");
            let known = if known.is_empty() { "none" } else { &known };
            self.problems
                .push(problem(&key, format!("there is no such setting; there are: {known}")));
        }
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }

    fn take(&mut self, key: &'static str) -> Option<Written> {
        self.known.push(key);
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.remove(at).1)
    }

    fn refuse_duplicates(&mut self) {
        let mut seen: Vec<(String, Written)> = Vec::with_capacity(self.entries.len());
        for (key, value) in core::mem::take(&mut self.entries) {
            if seen.iter().any(|(name, _)| *name == key) {
                self.refuse(&key, "is given more than once".to_string());
            } else {
                seen.push((key, value));
            }
        }
        self.entries = seen;
    }
}

fn problem(path: &str, message: String) -> Problem {
    Problem { path: path.into(), message }
}

/// A value of the settings, as far as settings have such values.
///
/// Smaller in a component than `serde_json::Value`, which can print any number
/// and hold any tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    Text(String),
    Whole(u64),
    Flag(bool),
    /// A negative number or one with a fraction.
    Number(f64),
    /// No setting looks like this: `null`, `a list`, `an object`.
    Other(&'static str),
}

impl Written {
    pub const fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            Self::Whole(_) | Self::Flag(_) | Self::Number(_) | Self::Other(_) => None,
        }
    }

    pub const fn as_whole(&self) -> Option<u64> {
        match self {
            Self::Whole(whole) => Some(*whole),
            Self::Text(_) | Self::Flag(_) | Self::Number(_) | Self::Other(_) => None,
        }
    }
}

/// A refused value as it was written, cut where it is long.
fn shown(value: &Written) -> String {
    match value {
        Written::Text(text) => match text.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => format!("\"{}…\"", &text[..end]),
            None => format!("\"{text}\""),
        },
        Written::Whole(whole) => whole.to_string(),
        Written::Flag(flag) => flag.to_string(),
        Written::Number(number) => shown_number(*number),
        Written::Other(kind) => (*kind).to_string(),
    }
}

/// With three places after the point at most, by whole numbers alone: what core
/// needs to print a fraction is a good part of a small component.
fn shown_number(number: f64) -> String {
    // Casts saturate; a number so large is out of range by any reading of it.
    let thousandths = (number.abs() * 1_000.0) as u64;
    let (whole, rest) = (thousandths / 1_000, thousandths % 1_000);
    let sign = if number < 0.0 { "-" } else { "" };
    match rest {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{rest:03}").trim_end_matches('0').to_string(),
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Written, E> {
        Ok(Written::Flag(flag))
    }

    fn visit_u64<E>(self, whole: u64) -> Result<Written, E> {
        Ok(Written::Whole(whole))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Written, E> {
        Ok(Written::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Written, E> {
        Ok(Written::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Written, E> {
        Ok(Written::Text(text.into()))
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        Ok(Written::Other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Written, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Written::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Written, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Written::Other("an object"))
    }
}

/// The keys and values of a JSON object in their order, doubles included.
struct Entries(Vec<(String, Written)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
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
    use serde_json::json;

    use super::*;

    const DELAY: Setting<Millis> = Setting {
        key: "delay",
        default: Millis::from_secs(2),
        least: Millis(100),
        most: Millis::from_secs(60),
    };
    const BUDGET: Setting<u32> = Setting { key: "budget", default: 5, least: 1, most: 10 };
    const SHARE: Setting<Percent> =
        Setting { key: "share", default: Percent(50), least: Percent(1), most: Percent(100) };

    fn problems(json: &str) -> Vec<(String, String)> {
        let mut reader = match Reader::new(json) {
            Ok(reader) => reader,
            Err(problems) => return problems.into_iter().map(|p| (p.path, p.message)).collect(),
        };
        reader.read(&DELAY);
        reader.read(&BUDGET);
        reader.read(&SHARE);
        reader.flag("trust", true);
        let problems = reader.finish().err().unwrap_or_default();
        problems.into_iter().map(|p| (p.path, p.message)).collect()
    }

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
    fn every_problem_names_its_place_its_value_and_its_range() {
        for (json, path, message) in [
            (r#"{"delay": "5h"}"#, "delay", "\"5h\" is out of range; allowed is 100ms to 1min"),
            (
                r#"{"delay": 5}"#,
                "delay",
                "5 is not a length of time with its unit, like \"500ms\", \"1.5s\", \"10min\" or \
                 \"1h\"; allowed is 100ms to 1min",
            ),
            (r#"{"budget": 11}"#, "budget", "11 is out of range; allowed is 1 to 10"),
            (
                r#"{"budget": 4294967301}"#,
                "budget",
                "4294967301 is out of range; allowed is 1 to 10",
            ),
            (r#"{"budget": 1.5}"#, "budget", "1.5 is not a whole number; allowed is 1 to 10"),
            (r#"{"budget": -2}"#, "budget", "-2 is not a whole number; allowed is 1 to 10"),
            (r#"{"budget": null}"#, "budget", "null is not a whole number; allowed is 1 to 10"),
            (r#"{"budget": [1]}"#, "budget", "a list is not a whole number; allowed is 1 to 10"),
            (r#"{"trust": {"a": 1}}"#, "trust", "an object is neither true nor false"),
            (r#"{"share": "0%"}"#, "share", "\"0%\" is out of range; allowed is 1% to 100%"),
            (r#"{"share": 50}"#, "share", "50 is not a share like \"50%\"; allowed is 1% to 100%"),
            (r#"{"trust": "yes"}"#, "trust", "\"yes\" is neither true nor false"),
            (r#"{"budget": 2, "budget": 3}"#, "budget", "is given more than once"),
            (
                r#"{"dely": "2s"}"#,
                "dely",
                "there is no such setting; there are: delay, budget, share, trust",
            ),
            (
                "[]",
                "",
                "settings are no JSON object: invalid type: sequence, expected an object at line \
                 1 column 0",
            ),
        ] {
            assert_eq!(problems(json), [(path.to_string(), message.to_string())], "{json}");
        }
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let found = problems(r#"{"delay": "1ms", "budget": "5", "other": 1, "trust": 0}"#);
        let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["delay", "budget", "trust", "other"]);
    }

    #[test]
    fn text_that_is_no_json_is_refused_as_a_whole() {
        for json in ["", "{", "{\"delay\":}", "null", "\"x\"", "{} {}"] {
            let found = problems(json);
            assert_eq!(found.len(), 1, "{json}");
            assert_eq!(found[0].0, "", "{json}");
        }
    }

    #[test]
    fn a_long_value_is_cut_in_the_message() {
        let long = "x".repeat(500);
        let found = problems(&format!(r#"{{"delay": "{long}"}}"#));
        assert!(found[0].1.len() < 200, "{}", found[0].1);
    }

    #[test]
    fn numbers_that_are_not_whole_are_shown_as_they_were_written() {
        for (number, text) in
            [(1.5, "1.5"), (-0.25, "-0.25"), (0.001, "0.001"), (-7.0, "-7"), (20.0, "20")]
        {
            assert_eq!(shown_number(number), text);
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
