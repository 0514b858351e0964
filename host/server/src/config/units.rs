//! Values with a unit and a range, checked where they are read, so that the
//! message carries the place in the file.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use reprieve_core::time::Millis;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time of `MIN_MS` to `MAX_MS`, written with its unit, as the default
/// policy takes it, too: `"500ms"`, `"1.5s"`, `"5min"`, `"2h"`, `"14d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length<const MIN_MS: u64, const MAX_MS: u64>(Millis);

impl<const MIN_MS: u64, const MAX_MS: u64> Length<MIN_MS, MAX_MS> {
    /// Held to the range.
    pub const fn clamped(length: Millis) -> Self {
        Self(Millis(clamp(length.0, MIN_MS, MAX_MS)))
    }

    pub const fn get(self) -> Millis {
        self.0
    }
}

/// Largest first: what is printed uses the largest that divides.
const LENGTH_UNITS: [(&str, u64); 6] =
    [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A number of bytes, `MIN` to `MAX`: a whole number, or one with its unit:
/// `"64KiB"`, `"1MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Size<MIN, MAX> {
    /// Held to the range.
    pub const fn clamped(bytes: u64) -> Self {
        Self(clamp(bytes, MIN, MAX))
    }

    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

const SIZE_UNITS: [(&str, u64); 4] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A count of `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Count<MIN, MAX> {
    /// Held to the range.
    pub const fn clamped(count: u64) -> Self {
        Self(clamp(count, MIN, MAX))
    }

    pub const fn get(self) -> u64 {
        self.0
    }
}

const fn clamp(value: u64, min: u64, max: u64) -> u64 {
    if value < min {
        min
    } else if value > max {
        max
    } else {
        value
    }
}

/// HTTP statuses, 400 to 599: single ones and ranges (`"520-524"`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(pub BTreeSet<u16>);

/// Parses a number directly followed by one of `units`. A fraction is taken if it
/// leaves no rest.
fn parse_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    // Enough for a fraction of a day in milliseconds.
    const MAX_FRACTION_DIGITS: usize = 9;
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || fraction.len() > MAX_FRACTION_DIGITS {
        return None;
    }
    let parts = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let rest = fraction.parse::<u64>().ok()?.checked_mul(*factor)?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(*factor)?;
    if rest.is_multiple_of(parts) { whole.checked_add(rest / parts) } else { None }
}

fn print_with_unit(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, factor): &&(&str, u64)| value >= *factor && value.is_multiple_of(*factor);
    match units.iter().find(fits) {
        Some((unit, factor)) => format!("{}{unit}", value / factor),
        None => format!("0{}", units.last().map_or("", |(unit, _)| unit)),
    }
}

/// What a value's range is called in messages and in the schema.
fn range(min: u64, max: u64, units: &[(&str, u64)]) -> String {
    format!("{} to {}", print_with_unit(min, units), print_with_unit(max, units))
}

/// The one text for a value that is outside its range or cannot be read.
fn refused<E: de::Error>(text: &str, range: &str, example: &str) -> E {
    let shown: String = text.chars().take(40).collect();
    E::custom(format_args!("{shown:?} is not valid: must be {range}, written like {example}"))
}

impl<'de, const MIN_MS: u64, const MAX_MS: u64> Deserialize<'de> for Length<MIN_MS, MAX_MS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXAMPLE: &str = "\"500ms\", \"30s\", \"5min\", \"2h\" or \"14d\"";
        let range = range(MIN_MS, MAX_MS, &LENGTH_UNITS);
        let text = match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => text,
            // A bare number would hide its unit.
            Scalar::Number(number) => return Err(refused(&number.to_string(), &range, EXAMPLE)),
        };
        match parse_with_unit(&text, &LENGTH_UNITS) {
            Some(ms) if (MIN_MS..=MAX_MS).contains(&ms) => Ok(Self(Millis(ms))),
            Some(_) | None => Err(refused(&text, &range, EXAMPLE)),
        }
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Size<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (text, bytes) = match Scalar::deserialize(deserializer)? {
            Scalar::Number(number) => (number.to_string(), u64::try_from(number).ok()),
            Scalar::Text(text) => {
                let bytes = parse_with_unit(&text, &SIZE_UNITS);
                (text, bytes)
            }
        };
        match bytes {
            Some(bytes) if (MIN..=MAX).contains(&bytes) => Ok(Self(bytes)),
            Some(_) | None => Err(refused(
                &text,
                &range(MIN, MAX, &SIZE_UNITS),
                "\"64KiB\", \"1MiB\" or a number of bytes",
            )),
        }
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        match u64::try_from(number) {
            Ok(count) if (MIN..=MAX).contains(&count) => Ok(Self(count)),
            Ok(_) | Err(_) => Err(de::Error::custom(format_args!(
                "{number} is not valid: must be {MIN} to {MAX}"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut statuses = BTreeSet::new();
        for part in Vec::<Scalar>::deserialize(deserializer)? {
            let text = match part {
                Scalar::Number(number) => number.to_string(),
                Scalar::Text(text) => text,
            };
            let (from, to) = text.split_once('-').unwrap_or((&text, &text));
            match (from.trim().parse::<u16>(), to.trim().parse::<u16>()) {
                (Ok(from), Ok(to)) if from <= to && from >= 400 && to <= 599 => {
                    statuses.extend(from..=to);
                }
                (Ok(_) | Err(_), Ok(_) | Err(_)) => {
                    return Err(refused(&text, "statuses from 400 to 599", "502 or \"520-524\""));
                }
            }
        }
        Ok(Self(statuses))
    }
}

/// What a value with a unit may be written as.
enum Scalar {
    Number(i64),
    Text(String),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a text with its unit")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar, E> {
                i64::try_from(number).map(Scalar::Number).map_err(E::custom)
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl<const MIN_MS: u64, const MAX_MS: u64> Serialize for Length<MIN_MS, MAX_MS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&print_with_unit(self.0.0, &LENGTH_UNITS))
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Size<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&print_with_unit(self.0, &SIZE_UNITS))
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Count<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl Serialize for Statuses {
    /// Runs of neighbours are written as ranges.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut runs: Vec<(u16, u16)> = Vec::new();
        for &status in &self.0 {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == status => *last = status,
                Some(_) | None => runs.push((status, status)),
            }
        }
        serializer.collect_seq(runs.into_iter().map(|(from, to)| {
            if from == to {
                serde_json::Value::from(from)
            } else {
                serde_json::Value::from(format!("{from}-{to}"))
            }
        }))
    }
}

impl<const MIN_MS: u64, const MAX_MS: u64> JsonSchema for Length<MIN_MS, MAX_MS> {
    fn schema_name() -> Cow<'static, str> {
        format!("Length_{MIN_MS}_{MAX_MS}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+(\\.[0-9]+)?(ms|s|m|min|h|d)$",
            "x-range": range(MIN_MS, MAX_MS, &LENGTH_UNITS),
        })
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Size<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Size_{MIN}_{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "pattern": "^[0-9]+(\\.[0-9]+)?(B|KiB|MiB|GiB)$",
            "minimum": MIN,
            "maximum": MAX,
            "x-range": range(MIN, MAX, &SIZE_UNITS),
        })
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Count<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Count_{MIN}_{MAX}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> Cow<'static, str> {
        "Statuses".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "items": {
                "type": ["integer", "string"],
                "minimum": 400,
                "maximum": 599,
                "pattern": "^[45][0-9]{2}(-[45][0-9]{2})?$",
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_only_with_its_unit() {
        for (text, ms) in [
            ("0ms", Some(0)),
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("1.5s", Some(1_500)),
            ("0.25min", Some(15_000)),
            ("1.0005s", None),
            ("1.s", None),
            (".5s", None),
            ("1.5.5s", None),
            ("30 s", None),
            ("5min", Some(300_000)),
            ("2h", Some(7_200_000)),
            ("14d", Some(1_209_600_000)),
            ("30", None),
            ("5m", Some(300_000)),
            ("1.5h", Some(5_400_000)),
            ("-1s", None),
            ("s", None),
            ("", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(parse_with_unit(text, &LENGTH_UNITS), ms, "{text:?}");
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for ms in [0, 1, 999, 1_000, 90_000, 60_000, 3_600_000, 86_400_000, 86_400_001] {
            let text = print_with_unit(ms, &LENGTH_UNITS);
            assert_eq!(parse_with_unit(&text, &LENGTH_UNITS), Some(ms), "{text}");
        }
    }

    #[test]
    fn ranges_are_held_at_both_ends() {
        type Narrow = Length<1_000, 60_000>;
        for (text, ok) in [("999ms", false), ("1s", true), ("60s", true), ("61s", false)] {
            let read = serde_json::from_value::<Narrow>(text.into());
            assert_eq!(read.is_ok(), ok, "{text}");
        }
        let message = serde_json::from_value::<Narrow>("61s".into()).unwrap_err().to_string();
        assert!(message.contains("\"61s\" is not valid: must be 1s to 1min"), "{message}");
    }

    #[test]
    fn statuses_survive_their_text() {
        let text = r#"[502,503,504,"520-524"]"#;
        let statuses: Statuses = serde_json::from_str(text).unwrap();
        assert_eq!(statuses.0.len(), 8);
        assert_eq!(serde_json::to_string(&statuses).unwrap(), r#"["502-504","520-524"]"#);
        for wrong in ["[200]", "[600]", r#"["524-520"]"#, r#"["x"]"#] {
            assert!(serde_json::from_str::<Statuses>(wrong).is_err(), "{wrong}");
        }
    }
}
