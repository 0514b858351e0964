//! Reads settings as they are declared, and reports all that is wrong with them.

use alloc::{string::String, vec::Vec};

use super::{
    Problem,
    json::{self, Entries, Unreadable, Value},
    units::Kind,
};

/// Longest piece of a refused value that a message repeats.
const SHOWN_BYTES: usize = 40;

/// A declared setting. Numbers are as [`Kind`] reads them.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub key: &'static str,
    pub kind: Kind,
    /// As it is written.
    pub default: &'static str,
    pub default_raw: u64,
    /// Both ends included.
    pub least_raw: u64,
    pub most_raw: u64,
    /// For messages: `100ms to 1min`. Empty if there is none.
    pub range: &'static str,
}

/// A setting that may not be more than another one, by their places.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct AtMost {
    pub lower: usize,
    pub upper: usize,
}

impl Setting {
    /// As declared. Fails to compile if the default or the range makes no sense.
    pub const fn new(
        key: &'static str,
        kind: Kind,
        default: &'static str,
        [least, most, range]: [&'static str; 3],
    ) -> Self {
        let default_raw = declared(kind, default);
        if matches!(kind, Kind::Flag) {
            assert!(range.is_empty(), "true and false are all that a bool can be: it has no range");
            return Self { key, kind, default, default_raw, least_raw: 0, most_raw: 1, range };
        }
        assert!(!range.is_empty(), "a setting needs its range: = DEFAULT in LEAST..=MOST");
        let (least_raw, most_raw) = (declared(kind, least), declared(kind, most));
        assert!(most_raw <= kind.largest(), "the range goes beyond what the type holds");
        assert!(least_raw <= default_raw && default_raw <= most_raw, "the default is out of range");
        Self { key, kind, default, default_raw, least_raw, most_raw, range }
    }

    pub(super) const fn has_range(&self) -> bool {
        !self.range.is_empty()
    }

    /// The number; if there is none, why.
    fn read(&self, value: &Value<'_>) -> Result<u64, String> {
        let wrong = match self.written(value).and_then(|text| self.kind.read(text)) {
            Some(raw) if self.least_raw <= raw && raw <= self.most_raw => return Ok(raw),
            Some(_) => " is out of range",
            None => self.kind.refusal(),
        };
        let allowed = if self.has_range() { "; allowed is " } else { "" };
        Err([&shown(value), wrong, allowed, self.range].concat())
    }

    /// As it is in force: as it was written, or as the default is.
    fn shown(&self, entries: &Entries<'_>) -> String {
        match entries.iter().find(|(key, _)| key == self.key) {
            Some((_, value)) => shown(value),
            None => self.default.into(),
        }
    }

    /// What the kind reads, if the JSON has a value of the right type.
    fn written<'a>(&self, value: &'a Value<'_>) -> Option<&'a str> {
        match (value, self.kind) {
            (Value::Text(text), Kind::Length | Kind::Share) => Some(text),
            (Value::Number(number), Kind::Count) => Some(number),
            (Value::Flag(true), Kind::Flag) => Some("true"),
            (Value::Flag(false), Kind::Flag) => Some("false"),
            (Value::Text(_) | Value::Number(_) | Value::Flag(_) | Value::Other(_), _) => None,
        }
    }
}

/// Compiled into a number; a policy whose declaration cannot be read is none.
const fn declared(kind: Kind, text: &str) -> u64 {
    match kind.read(text) {
        Some(raw) => raw,
        None => panic!(
            "a default or an end of a range is not written as its type is: \"90s\" for Millis, \"50%\" for Percent, 5 for u32"
        ),
    }
}

impl AtMost {
    /// Fails to compile if there are no such settings, or their defaults
    /// contradict each other.
    pub const fn new(settings: &[Setting], lower: &str, upper: &str) -> Self {
        let (lower, upper) = (place(settings, lower), place(settings, upper));
        assert!(
            settings[lower].default_raw <= settings[upper].default_raw,
            "the defaults contradict each other"
        );
        Self { lower, upper }
    }
}

const fn place(settings: &[Setting], key: &str) -> usize {
    let mut nth = 0;
    while nth < settings.len() {
        if is_same(settings[nth].key.as_bytes(), key.as_bytes()) {
            return nth;
        }
        nth += 1;
    }
    panic!("`where` names a setting that is not declared")
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    match (one, other) {
        ([], []) => true,
        ([a, one @ ..], [b, other @ ..]) => *a == *b && is_same(one, other),
        _ => false,
    }
}

/// What `settings` are where nobody says otherwise.
#[doc(hidden)]
pub const fn defaults<const N: usize>(settings: &[Setting]) -> [u64; N] {
    let (mut raw, mut nth) = ([0; N], 0);
    while nth < N {
        raw[nth] = settings[nth].default_raw;
        nth += 1;
    }
    raw
}

/// Reads a JSON object into `raw`, which holds the defaults of `settings`; what is
/// absent or refused keeps its own, so that reading goes on and finds the other
/// problems. They come in the order of the JSON, contradictions last.
#[doc(hidden)]
pub fn read(json: &str, settings: &[Setting], at_most: &[AtMost], raw: &mut [u64]) -> Vec<Problem> {
    let entries = match json::object(json) {
        Ok(entries) => entries,
        Err(Unreadable { at_byte, expected }) => {
            let parts = ["settings are no JSON object: ", expected, " is expected at byte "];
            let message = parts.concat() + &decimal(at_byte);
            return alloc::vec![Problem { path: String::new(), message }];
        }
    };
    let mut problems = Vec::new();
    for (nth, (key, value)) in entries.iter().enumerate() {
        let is_double = entries.iter().take(nth).any(|(earlier, _)| earlier == key);
        let place = settings.iter().position(|setting| setting.key == key);
        let refused = match place {
            _ if is_double => Err("is given more than once".into()),
            None => Err(unknown(settings)),
            Some(place) => settings[place].read(value).map(|read| raw[place] = read),
        };
        if let Err(message) = refused {
            problems.push(Problem { path: key.clone(), message });
        }
    }
    for AtMost { lower, upper } in at_most {
        if raw[*lower] > raw[*upper] {
            let (lower, upper) = (&settings[*lower], &settings[*upper]);
            let (shown, limit) = (lower.shown(&entries), upper.shown(&entries));
            let message = [&shown, " is more than `", upper.key, "`, ", &limit].concat();
            problems.push(Problem { path: lower.key.into(), message });
        }
    }
    problems
}

fn unknown(settings: &[Setting]) -> String {
    let mut message = String::from("there is no such setting; there are:");
    let mut before = " ";
    for setting in settings {
        message = message + before + setting.key;
        before = ", ";
    }
    if settings.is_empty() { message + " none" } else { message }
}

/// As it was written, cut where it is long.
fn shown(value: &Value<'_>) -> String {
    let (quote, text) = match value {
        Value::Text(text) => ("\"", text.as_str()),
        Value::Number(number) => ("", *number),
        Value::Flag(true) => ("", "true"),
        Value::Flag(false) => ("", "false"),
        Value::Other(kind) => ("", *kind),
    };
    let end = text.floor_char_boundary(SHOWN_BYTES);
    let cut = if end < text.len() { "…" } else { "" };
    [quote, text.get(..end).unwrap_or_default(), cut, quote].concat()
}

/// By hand: what core needs to print a number is a good part of a small
/// component.
fn decimal(mut number: usize) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            return digits.iter().rev().map(|digit| char::from(*digit)).collect();
        }
    }
}
