//! What a run costs.

use serde::{Deserialize, Serialize};

use crate::Measures;

/// What each of the two mistakes costs, in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// A living workspace is restarted.
    pub false_restart: f64,
    /// A dead workspace lies unfound for a minute.
    pub unfound_min: f64,
}

impl Default for Price {
    /// To lose what a living workspace was doing is as bad as ten minutes without a
    /// dead one.
    fn default() -> Self {
        Self { false_restart: 10.0, unfound_min: 1.0 }
    }
}

/// A run, as the price sees it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// A workspace and day.
    pub false_a_day: f64,
    /// Minutes in which somebody lay dead unfound, a workspace and day.
    pub unfound_min_a_day: f64,
    /// The mean time to detect. None: nobody died, or nobody was found.
    pub detect_s: Option<f64>,
}

/// A death that is never found counts as found after so long: somebody notices.
const NEVER_MIN: f64 = 60.0;

impl Outcome {
    pub fn of(measures: &Measures) -> Self {
        let days = measures.workspace_days.max(f64::MIN_POSITIVE);
        let found_ms: u64 = measures.time_to_detect.sorted_ms().iter().sum();
        let unfound_min = found_ms as f64 / 60_000.0 + measures.undetected as f64 * NEVER_MIN;
        Self {
            false_a_day: measures.false_restarts as f64 / days,
            unfound_min_a_day: unfound_min / days,
            detect_s: measures.time_to_detect.mean().map(|mean_ms| mean_ms / 1e3),
        }
    }
}

impl Price {
    /// A workspace and day.
    pub fn of(self, outcome: &Outcome) -> f64 {
        self.false_restart * outcome.false_a_day + self.unfound_min * outcome.unfound_min_a_day
    }
}

#[cfg(test)]
mod tests {
    use reprieve_core::time::Millis;

    use super::*;
    use crate::Samples;

    #[test]
    fn who_is_never_found_lies_for_an_hour() {
        let mut time_to_detect = Samples::default();
        time_to_detect.add(Millis::from_secs(120));
        let measures = Measures {
            workspace_days: 2.0,
            false_restarts: 3,
            undetected: 1,
            time_to_detect,
            ..Measures::default()
        };
        let outcome = Outcome::of(&measures);
        let expected = Outcome { false_a_day: 1.5, unfound_min_a_day: 31.0, detect_s: Some(120.0) };
        assert_eq!(outcome, expected);
        assert_eq!(Price::default().of(&outcome), 46.0);
    }
}
