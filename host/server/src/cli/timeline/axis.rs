//! The axis of time.

use reprieve_core::time::{Millis, UnixMillis};

use super::Zero;
use crate::cli::explain::facts;

/// Room for a mark at either end, in percent.
const EDGE: f64 = 2.5;
/// The most times that are written on the axis: a telephone has room for so many.
const MAX_TICKS: u64 = 5;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// From one tick to the next, the smallest first.
const STEPS: [u64; 26] = [
    10,
    100,
    500,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    30 * DAY,
    100 * DAY,
    1_000 * DAY,
];

/// From left to right.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Axis {
    pub(in crate::cli) from: UnixMillis,
    pub(in crate::cli) until: UnixMillis,
    pub(in crate::cli) zero: Zero,
}

impl Axis {
    /// Where a moment lies, in percent of the width.
    pub(in crate::cli) fn at(&self, moment: UnixMillis) -> f64 {
        let whole = self.from.age(self.until).0.max(1) as f64;
        let part = self.from.age(moment).0 as f64 / whole;
        EDGE + (100.0 - 2.0 * EDGE) * part.clamp(0.0, 1.0)
    }

    /// The class of what is written at such a place, so that it is not cut off.
    pub(in crate::cli) const fn anchor(percent: f64) -> &'static str {
        match percent {
            percent if percent < 10.0 => "first",
            percent if percent > 90.0 => "figure",
            _ => "middle",
        }
    }

    /// Round moments within, with what is written there.
    pub(in crate::cli) fn ticks(&self) -> Vec<(UnixMillis, String)> {
        let length = self.from.age(self.until).0;
        let fits = |step: &&u64| length / **step < MAX_TICKS;
        let step = *STEPS.iter().find(fits).unwrap_or(&STEPS[STEPS.len() - 1]);
        let zero = match self.zero {
            Zero::Since(zero) => zero.0,
            Zero::Epoch => 0,
        };
        let first = zero + self.from.0.saturating_sub(zero).div_ceil(step) * step;
        let ticks = (0..MAX_TICKS).map(|nth| UnixMillis(first + nth * step));
        let within = ticks.take_while(|tick| *tick <= self.until);
        within.map(|tick| (tick, self.label(tick, step))).collect()
    }

    fn label(&self, at: UnixMillis, step: u64) -> String {
        match self.zero {
            Zero::Since(zero) => since(zero.age(at), step < SECOND),
            Zero::Epoch => {
                let date = facts::date(at);
                let (day, time) = date.split_once(' ').unwrap_or((&date, ""));
                let digits = match step {
                    step if step >= DAY => return day.get(5..).unwrap_or(day).to_owned(),
                    step if step >= MINUTE => 5,
                    step if step >= SECOND => 8,
                    _ => 12,
                };
                time.get(..digits).unwrap_or(time).to_owned()
            }
        }
    }

    /// A moment as it is told in a list.
    pub(in crate::cli) fn told(&self, at: UnixMillis) -> String {
        match self.zero {
            Zero::Since(zero) => since(zero.age(at), true),
            Zero::Epoch => facts::date(at).trim_end_matches(" UTC").to_owned(),
        }
    }
}

/// `0:10:20`, and `0:10:20.250` if milliseconds count.
fn since(length: Millis, fine: bool) -> String {
    let Millis(ms) = length;
    let whole = format!("{}:{:02}:{:02}", ms / HOUR, ms % HOUR / MINUTE, ms % MINUTE / SECOND);
    if fine { format!("{whole}.{:03}", ms % SECOND) } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few_enough_for_a_telephone() {
        const START: u64 = 1_776_330_626_250;
        for (zero, from, length, expected) in [
            (Zero::Since(UnixMillis(START)), START + 598_000, 44_000, "0:10:00 0:10:10 0:10:20"),
            (Zero::Epoch, START, 44_000, "09:10:30 09:10:40 09:10:50 09:11:00"),
            (Zero::Epoch, START, 4 * DAY, "04-17 04-18 04-19 04-20"),
            (Zero::Epoch, START, 0, ""),
        ] {
            let axis = Axis { from: UnixMillis(from), until: UnixMillis(from + length), zero };
            let labels: Vec<_> = axis.ticks().into_iter().map(|(_, label)| label).collect();
            assert!(labels.join(" ").starts_with(expected), "{length}: {labels:?}");
            assert!(labels.len() <= MAX_TICKS as usize, "{length}: {labels:?}");
        }
        for length in (0..400).map(|n| 1.1_f64.powi(n) as u64 % (400 * DAY)) {
            let axis =
                Axis { from: UnixMillis(7), until: UnixMillis(7 + length), zero: Zero::Epoch };
            assert!(axis.ticks().len() <= MAX_TICKS as usize, "{length}");
        }
    }

    #[test]
    fn every_moment_lies_on_the_picture() {
        let axis = Axis { from: UnixMillis(10), until: UnixMillis(20), zero: Zero::Epoch };
        let places = [0, 10, 15, 20, 99].map(|at| axis.at(UnixMillis(at)));
        assert_eq!(places, [EDGE, EDGE, 50.0, 100.0 - EDGE, 100.0 - EDGE]);
        let moment = Axis { from: UnixMillis(10), until: UnixMillis(10), zero: Zero::Epoch };
        assert_eq!(moment.at(UnixMillis(10)), EDGE);
    }
}
