//! Reads a policy's settings from JSON and reports all that is wrong with them.
//!
//! A value carries its unit, in the value or in the key's name: lengths of time
//! are `"500ms"`, `"1.5s"`, `"10min"` (or `"10m"`), `"1h"`, shares are `"50%"`,
//! and only counts are bare numbers. A bare number for a length would be read as
//! seconds by one person and as milliseconds by the next.

mod units;
mod written;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use self::written::Entries;
pub use self::{units::Percent, written::Written};

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
                format!("{} is not {written}; allowed is {least} to {most}", value.shown()),
            );
            return setting.default;
        };
        if read < setting.least || read > setting.most {
            let Setting { least, most, .. } = setting;
            self.refuse(
                setting.key,
                format!("{} is out of range; allowed is {least} to {most}", value.shown()),
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
                self.refuse(key, format!("{} is neither true nor false", value.shown()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Millis;

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
}
