//! Values with a unit and a range, checked where they are read, so that the message
//! carries the place in the file.

use reprieve_core::time::Millis;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time, written with its unit: `"500ms"`, `"1.5s"`, `"5min"`, `"2h"`,
/// `"14d"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Length(pub Millis);

/// A part of a whole, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Share(f64);

/// A length of time, or any between two, each as likely: `"5s"` or `["2s", "9s"]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between {
    pub least: Millis,
    pub most: Millis,
}

/// The longest length that a scenario may name: a leap year.
pub(crate) const LONGEST: Millis = Millis(366 * 86_400_000);

/// Largest first: what is printed uses the largest that divides.
const UNITS: [(&str, u64); 6] =
    [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Share {
    pub const ALL: Self = Self(1.0);

    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Between {
    pub const fn exactly(length: Millis) -> Self {
        Self { least: length, most: length }
    }

    /// `unit`: from 0 to just below 1.
    pub fn at(self, unit: f64) -> Millis {
        let width = (self.most.0 - self.least.0 + 1) as f64;
        Millis((self.least.0 + (unit * width) as u64).min(self.most.0))
    }
}

impl Length {
    /// None: no length, or longer than a year.
    pub fn parse(text: &str) -> Option<Self> {
        // Enough for a fraction of a day in milliseconds.
        const MAX_FRACTION_DIGITS: usize = 9;
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = text.split_at(unit_at);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if fraction.is_empty() || fraction.len() > MAX_FRACTION_DIGITS {
            return None;
        }
        let parts = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
        let rest = fraction.parse::<u64>().ok()?.checked_mul(*factor)?;
        let whole = whole.parse::<u64>().ok()?.checked_mul(*factor)?;
        let millis = if rest.is_multiple_of(parts) {
            whole.checked_add(rest / parts)?
        } else {
            return None;
        };
        (millis <= LONGEST.0).then_some(Self(Millis(millis)))
    }
}

impl std::fmt::Display for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.0.0;
        let fits = |(_, factor): &&(&str, u64)| millis >= *factor && millis.is_multiple_of(*factor);
        match UNITS.iter().find(fits) {
            Some((unit, factor)) => write!(f, "{}{unit}", millis / factor),
            None => f.write_str("0ms"),
        }
    }
}

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Length;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a length of time with its unit, like \"500ms\", \"30s\" or \"5min\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Length, E> {
                Length::parse(text).ok_or_else(|| {
                    let shown: String = text.chars().take(40).collect();
                    E::custom(format_args!(
                        "{shown:?} is not valid: must be a length of time up to a year, written like \"500ms\", \"30s\", \"5min\", \"2h\" or \"14d\""
                    ))
                })
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer)?;
        if (0.0..=1.0).contains(&share) {
            return Ok(Self(share));
        }
        Err(de::Error::custom(format_args!("{share} is no share: must be from 0.0 to 1.0")))
    }
}

impl<'de> Deserialize<'de> for Between {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "must be a length of time like \"5s\", or two like [\"2s\", \"9s\"]"
        )]
        enum Written {
            One(Length),
            Two([Length; 2]),
        }
        match Written::deserialize(deserializer)? {
            Written::One(Length(length)) => Ok(Self::exactly(length)),
            Written::Two([Length(least), Length(most)]) if least <= most => {
                Ok(Self { least, most })
            }
            Written::Two([least, most]) => Err(de::Error::custom(format_args!(
                "[\"{least}\", \"{most}\"] is no range: the first is larger than the second"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_survive_their_text() {
        for (text, millis) in [
            ("0ms", Some(0)),
            ("500ms", Some(500)),
            ("1.5s", Some(1_500)),
            ("30s", Some(30_000)),
            ("5min", Some(300_000)),
            ("2h", Some(7_200_000)),
            ("14d", Some(1_209_600_000)),
            ("5", None),
            ("s", None),
            ("-5s", None),
            ("1.0005s", None),
            ("400d", None),
            ("5 s", None),
        ] {
            let parsed = Length::parse(text);
            assert_eq!(parsed.map(|length| length.0.0), millis, "{text:?}");
            if let Some(length) = parsed {
                assert_eq!(Length::parse(&length.to_string()), Some(length), "{text:?}");
            }
        }
    }

    #[test]
    fn between_two_lengths_lie_all_lengths_between_them() {
        let range = Between { least: Millis(2), most: Millis(4) };
        let drawn = [0.0, 0.34, 0.67, 0.999].map(|unit| range.at(unit).0);
        assert_eq!(drawn, [2, 3, 4, 4]);
    }
}
