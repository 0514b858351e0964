//! Points in time as other people's logs write them.

use std::str::FromStr;

use reprieve_core::time::Millis;

use super::problem::shown;

/// How a column counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    Nanos,
    Micros,
    Millis,
    Seconds,
    /// `2026-04-16T09:10:26.5Z`, or with an offset.
    Rfc3339,
}

/// What ends the name of a column or a field that says its unit.
const SUFFIXES: [(&str, TimeUnit); 5] = [
    ("ns", TimeUnit::Nanos),
    ("us", TimeUnit::Micros),
    ("ms", TimeUnit::Millis),
    ("s", TimeUnit::Seconds),
    ("rfc3339", TimeUnit::Rfc3339),
];

/// The year 2200: what is later was written in another unit.
const LATEST: Millis = Millis(7_258_118_400_000);

impl FromStr for TimeUnit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = SUFFIXES.iter().find(|(suffix, _)| *suffix == text);
        named.map(|(_, unit)| *unit).ok_or_else(|| {
            format!("{} is no unit of time; say ns, us, ms, s or rfc3339", shown(text))
        })
    }
}

impl TimeUnit {
    /// The unit that a name says, if it is `stem` and nothing else.
    pub(super) fn of_name(name: &str, stem: &str) -> Option<Option<Self>> {
        let rest = name.strip_prefix(stem)?;
        if rest.is_empty() {
            return Some(None);
        }
        let suffix = rest.strip_prefix('_')?;
        let named = SUFFIXES.iter().find(|(known, _)| *known == suffix);
        named.map(|(_, unit)| Some(*unit))
    }

    /// Since the epoch, or since whatever the file counts from. The error says what is
    /// wrong.
    pub(super) fn point(self, text: &str) -> Result<Millis, String> {
        let point = match self {
            Self::Rfc3339 => rfc3339(text).ok_or_else(|| {
                format!("{} is no time; write it like \"2026-04-16T09:10:26.5Z\"", shown(text))
            }),
            Self::Nanos | Self::Micros | Self::Millis | Self::Seconds => self.length(text),
        }?;
        if point > LATEST {
            return Err(format!("{} lies after the year 2200: is the unit right?", shown(text)));
        }
        Ok(point)
    }

    /// A length of time. The error says what is wrong.
    pub(super) fn length(self, text: &str) -> Result<Millis, String> {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        let Some(number) = number else {
            return Err(format!("{} is no number", shown(text)));
        };
        if number < 0.0 {
            return Err(format!("{} is negative, and time does not run backwards", shown(text)));
        }
        let millis = match self {
            Self::Nanos => number / 1e6,
            Self::Micros => number / 1e3,
            Self::Millis | Self::Rfc3339 => number,
            Self::Seconds => number * 1e3,
        };
        // Far beyond what is refused, and so large that nothing overflows.
        Ok(Millis(millis.round().min(1e18) as u64))
    }
}

/// Both with `Z` and with an offset.
fn rfc3339(text: &str) -> Option<Millis> {
    /// `+02:00`
    const OFFSET_BYTES: usize = 6;
    let text = text.trim();
    let offset_at = text.len().checked_sub(OFFSET_BYTES)?;
    let (local, offset) = text.split_at_checked(offset_at)?;
    let (utc, ahead_min) = match offset.split_at_checked(1) {
        Some((sign @ ("+" | "-"), clock)) => {
            let (hours, minutes) = clock.split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            (format!("{local}Z"), if sign == "+" { minutes } else { -minutes })
        }
        _ => (text.to_owned(), 0),
    };
    let at = humantime::parse_rfc3339_weak(&utc).ok()?;
    let since_epoch = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    let millis = i64::try_from(since_epoch.as_millis()).ok()? - ahead_min * 60_000;
    u64::try_from(millis).ok().map(Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_time_is_the_same_in_every_unit() {
        for (unit, text) in [
            ("ms", "1776330626500"),
            ("s", "1776330626.5"),
            ("us", "1776330626500000"),
            ("ns", "1776330626500000000"),
            ("rfc3339", "2026-04-16T09:10:26.5Z"),
            ("rfc3339", "2026-04-16T11:10:26.500+02:00"),
            ("rfc3339", "2026-04-16T03:40:26.500-05:30"),
        ] {
            let unit: TimeUnit = unit.parse().unwrap();
            assert_eq!(unit.point(text), Ok(Millis(1_776_330_626_500)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_reason() {
        for (unit, text, why) in [
            (TimeUnit::Millis, "soon", "is no number"),
            (TimeUnit::Millis, "", "is no number"),
            (TimeUnit::Millis, "NaN", "is no number"),
            (TimeUnit::Seconds, "-1", "is negative"),
            (TimeUnit::Seconds, "1776330626500", "is the unit right?"),
            (TimeUnit::Rfc3339, "1776330626500", "write it like"),
            (TimeUnit::Rfc3339, "2026-13-16T09:10:26Z", "write it like"),
            (TimeUnit::Rfc3339, "ä", "write it like"),
        ] {
            let refused = unit.point(text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
        assert!("minutes".parse::<TimeUnit>().unwrap_err().contains("ns, us, ms, s or rfc3339"));
    }

    #[test]
    fn a_name_says_its_unit() {
        for (name, unit) in [
            ("send", Some(None)),
            ("send_ms", Some(Some(TimeUnit::Millis))),
            ("send_s", Some(Some(TimeUnit::Seconds))),
            ("sender", None),
            ("send_by", None),
            ("receive", None),
        ] {
            assert_eq!(TimeUnit::of_name(name, "send"), unit, "{name}");
        }
    }
}
