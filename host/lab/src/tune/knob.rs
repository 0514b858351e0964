//! A setting and the range in which its best value is looked for.

use std::str::FromStr;

use serde_json::Value;

/// Values that are tried first, if nothing is said.
const STEPS: usize = 9;
const MAX_STEPS: usize = 100;
/// Between the neighbours of the best, so many more.
const CLOSER: usize = 3;

/// `settle=10s..2min`, `restart_budget=2..10`, `panic_threshold=20%..80%`; with `/5`
/// behind it, so many values.
#[derive(Clone, Debug, PartialEq)]
pub struct Knob {
    pub key: String,
    unit: Unit,
    low: f64,
    high: f64,
    steps: usize,
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// In milliseconds.
    Length,
    Percent,
    Count,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no parameter with a range: {why}; such are settle=10s..2min, \
     restart_budget=2..10, panic_threshold=20%..80%, settle=10s..2min/5"
)]
pub struct KnobRefused {
    text: String,
    why: &'static str,
}

impl FromStr for Knob {
    type Err = KnobRefused;

    fn from_str(text: &str) -> Result<Self, KnobRefused> {
        let refused = |why| KnobRefused { text: text.to_owned(), why };
        let (key, range) = text.split_once('=').ok_or_else(|| refused("it has no `=`"))?;
        let (range, steps) = match range.split_once('/') {
            None => (range, STEPS),
            Some((range, steps)) => {
                let steps = steps.parse().ok().filter(|steps| (2..=MAX_STEPS).contains(steps));
                (range, steps.ok_or_else(|| refused("2 to 100 values are taken"))?)
            }
        };
        let (low, high) = range.split_once("..").ok_or_else(|| refused("it has no `..`"))?;
        let read = |text| value(text).ok_or_else(|| refused("a value cannot be read"));
        let ((unit, low), (other, high)) = (read(low)?, read(high)?);
        if key.is_empty() {
            return Err(refused("it names no setting"));
        }
        if unit != other {
            return Err(refused("its ends have different units"));
        }
        if low >= high {
            return Err(refused("its first end is not less than its last"));
        }
        Ok(Self { key: key.to_owned(), unit, low, high, steps })
    }
}

fn value(text: &str) -> Option<(Unit, f64)> {
    let digits = text.find(|c: char| c.is_ascii_alphabetic() || c == '%').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    Some(match unit {
        "ms" => (Unit::Length, number),
        "s" => (Unit::Length, number * 1e3),
        "m" | "min" => (Unit::Length, number * 60e3),
        "h" => (Unit::Length, number * 3_600e3),
        "%" => (Unit::Percent, number),
        "" => (Unit::Count, number),
        _ => return None,
    })
}

impl Knob {
    /// Those that are tried first: both ends, and between them in equal ratios, or in
    /// equal steps where the range begins at 0.
    pub fn values(&self) -> Vec<f64> {
        self.spaced(self.low, self.high, self.steps)
    }

    /// More of them on either side of one, up to those that are `known` already.
    pub fn between_neighbours(&self, value: f64, known: &[f64]) -> Vec<f64> {
        let below = known.iter().copied().filter(|other| *other < value).fold(self.low, f64::max);
        let above = known.iter().copied().filter(|other| *other > value).fold(self.high, f64::min);
        let mut near = self.spaced(below, value, CLOSER + 1);
        near.extend(self.spaced(value, above, CLOSER + 1));
        near.sort_by(f64::total_cmp);
        near.dedup();
        near
    }

    fn spaced(&self, low: f64, high: f64, steps: usize) -> Vec<f64> {
        if low >= high {
            return vec![self.rounded(low)];
        }
        let part = |step: usize| step as f64 / (steps - 1) as f64;
        let between = |step| match low > 0.0 {
            true => low * (high / low).powf(part(step)),
            false => low + (high - low) * part(step),
        };
        let mut values: Vec<f64> = (0..steps).map(|step| self.rounded(between(step))).collect();
        values.dedup();
        values
    }

    /// To what can be written, and is short to read: three digits, and whole numbers.
    fn rounded(&self, value: f64) -> f64 {
        let digits = (value.abs().max(1.0).log10().floor() - 2.0).max(0.0);
        let unit = 10.0_f64.powi(digits as i32);
        ((value / unit).round() * unit).clamp(self.low, self.high).round()
    }

    /// As operators write it.
    pub fn written(&self, value: f64) -> Value {
        let whole = value.round() as u64;
        match self.unit {
            Unit::Length if whole.is_multiple_of(1_000) => format!("{}s", whole / 1_000).into(),
            Unit::Length => format!("{whole}ms").into(),
            Unit::Percent => format!("{whole}%").into(),
            Unit::Count => whole.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_operators_write_them() {
        let written = |text: &str| -> Vec<Value> {
            let knob: Knob = text.parse().unwrap();
            knob.values().into_iter().map(|value| knob.written(value)).collect()
        };
        assert_eq!(written("settle=10s..40s/3"), ["10s", "20s", "40s"]);
        assert_eq!(written("settle=500ms..2s/3"), ["500ms", "1s", "2s"]);
        assert_eq!(written("settle=0s..2s/3"), ["0s", "1s", "2s"]);
        assert_eq!(written("share=20%..80%/3"), ["20%", "40%", "80%"]);
        assert_eq!(written("budget=1..3/9"), [1, 2, 3].map(Value::from), "each once");
    }

    #[test]
    fn closer_stays_between_the_neighbours() {
        let knob: Knob = "settle=10s..90s".parse().unwrap();
        let near = knob.between_neighbours(30_000.0, &[10_000.0, 20_000.0, 30_000.0, 60_000.0]);
        assert_eq!((near[0], *near.last().unwrap()), (20_000.0, 60_000.0));
        assert!(near.contains(&30_000.0) && near.len() == 7, "{near:?}");
        let end = knob.between_neighbours(10_000.0, &[10_000.0, 20_000.0]);
        assert_eq!(end[0], 10_000.0);
    }

    #[test]
    fn what_is_no_range_is_refused_with_an_example() {
        for (text, why) in [
            ("settle", "no `=`"),
            ("settle=10s", "no `..`"),
            ("settle=10s..20", "different units"),
            ("settle=20s..10s", "not less"),
            ("settle=10s..10s", "not less"),
            ("settle=10d..20d", "cannot be read"),
            ("settle=-1s..2s", "cannot be read"),
            ("settle=1s..2s/1", "2 to 100"),
            ("=1s..2s", "names no setting"),
        ] {
            let refused = text.parse::<Knob>().unwrap_err().to_string();
            assert!(refused.contains(why) && refused.contains("settle=10s..2min"), "{refused}");
        }
    }
}
