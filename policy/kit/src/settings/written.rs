//! What stands in the JSON, before anybody knows which setting it is for.

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

/// Longest piece of a refused value that a message repeats.
const SHOWN_CHARS: usize = 40;

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

    /// As it was written, cut where it is long.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => match text.char_indices().nth(SHOWN_CHARS) {
                Some((end, _)) => format!("\"{}…\"", &text[..end]),
                None => format!("\"{text}\""),
            },
            Self::Whole(whole) => whole.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => shown_number(*number),
            Self::Other(kind) => (*kind).to_string(),
        }
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
pub(super) struct Entries(pub(super) Vec<(String, Written)>);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_not_whole_are_shown_as_they_were_written() {
        for (number, text) in
            [(1.5, "1.5"), (-0.25, "-0.25"), (0.001, "0.001"), (-7.0, "-7"), (20.0, "20")]
        {
            assert_eq!(shown_number(number), text);
        }
    }
}
