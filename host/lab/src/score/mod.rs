//! How good policies are: one over a scenario, by many seeds.
//!
//! Figures are means over seeds with their intervals ([`Figure`]): runs by different
//! seeds are independent of each other, what happens within one is not. Who finds
//! nothing has no short time to detect: deaths that were never found count as found
//! after an endless time.

mod figure;
mod overall;

use std::{cmp::Ordering, collections::BTreeMap};

use reprieve_core::time::Millis;
use serde::Serialize;

pub use self::{figure::Figure, overall::Overall};
use crate::{Measures, Run, Seed};

/// A policy over a scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Score {
    pub scenario: String,
    pub policy: String,
    pub runs: usize,
    /// Of all runs together.
    pub measures: Measures,
    pub detect_p50: Detected,
    pub detect_p99: Detected,
    /// Mean of the runs' medians, in seconds; of those in which more than half of the
    /// deaths were found.
    pub detect_s: Option<Figure>,
    pub false_restarts_a_day: Figure,
    pub query_accuracy: Figure,
    /// Runs in which one of the seven properties was broken.
    pub broken: u64,
    /// The first of them, to play it again.
    pub broken_seed: Option<Seed>,
}

/// After how long a share of all deaths was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Detected {
    NobodyDied,
    After(Millis),
    /// So many were not found at all.
    Never,
}

impl Detected {
    /// `share`: of all deaths, those that were never found included.
    pub fn of(measures: &Measures, share: f64) -> Self {
        let found = measures.time_to_detect.sorted_ms();
        let all = found.len() as u64 + measures.undetected;
        if all == 0 {
            return Self::NobodyDied;
        }
        let rank = ((share * all as f64).ceil() as usize).max(1);
        found.get(rank - 1).map_or(Self::Never, |length| Self::After(Millis(*length)))
    }

    /// The sooner, the smaller. None: nobody died, and nobody was slow.
    fn order(self) -> Option<u64> {
        match self {
            Self::NobodyDied => None,
            Self::After(length) => Some(length.0),
            Self::Never => Some(u64::MAX),
        }
    }
}

impl Score {
    /// Of the runs of one policy over one scenario. None: there are none.
    pub fn of(runs: &[Run]) -> Option<Self> {
        let first = runs.first()?;
        let mut measures = Measures::default();
        for run in runs {
            measures.add(&run.measures);
        }
        let each = |of: &dyn Fn(&Measures) -> f64| -> Vec<f64> {
            runs.iter().map(|run| of(&run.measures)).collect()
        };
        let medians = runs.iter().filter_map(|run| match Detected::of(&run.measures, 0.5) {
            Detected::After(length) => Some(length.0 as f64 / 1e3),
            Detected::NobodyDied | Detected::Never => None,
        });
        let mut broken = runs.iter().filter(|run| !run.violations.is_empty());
        let broken_seed = broken.next().map(|run| run.seed);
        Some(Self {
            scenario: first.scenario.clone(),
            policy: first.policy.clone(),
            runs: runs.len(),
            detect_p50: Detected::of(&measures, 0.5),
            detect_p99: Detected::of(&measures, 0.99),
            detect_s: Figure::of(&medians.collect::<Vec<_>>()),
            false_restarts_a_day: Figure::of(&each(&Measures::false_restarts_per_workspace_day))?,
            query_accuracy: Figure::of(&each(&Measures::query_accuracy))?,
            broken: u64::from(broken_seed.is_some()) + broken.count() as u64,
            broken_seed,
            measures,
        })
    }

    /// Better in both: it finds the dead sooner, and restarts fewer of the living.
    pub fn beats(&self, other: &Self) -> bool {
        let sooner = self.detect_p50.order().cmp(&other.detect_p50.order());
        let own = self.measures.false_restarts_per_workspace_day();
        sooner == Ordering::Less && own < other.measures.false_restarts_per_workspace_day()
    }
}

/// Scores of several policies over several scenarios.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Scoreboard {
    pub scores: Vec<Score>,
}

impl Scoreboard {
    /// By scenario, in the order of their names; within one as they were added.
    pub fn by_scenario(&self) -> BTreeMap<&str, Vec<&Score>> {
        let mut scenarios: BTreeMap<&str, Vec<&Score>> = BTreeMap::new();
        for score in &self.scores {
            scenarios.entry(&score.scenario).or_default().push(score);
        }
        scenarios
    }

    /// Who is better than `score` in both measures.
    pub fn better_than(&self, score: &Score) -> Vec<&Score> {
        let same = self.scores.iter().filter(|other| other.scenario == score.scenario);
        same.filter(|other| other.beats(score)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Samples;

    fn run(policy: &str, detect_s: &[u64], undetected: u64, false_restarts: u64) -> Run {
        let mut time_to_detect = Samples::default();
        for length in detect_s {
            time_to_detect.add(Millis::from_secs(*length));
        }
        let measures = Measures {
            time_to_detect,
            undetected,
            false_restarts,
            workspace_days: 1.0,
            ..Measures::default()
        };
        Run {
            scenario: "s".to_owned(),
            policy: policy.to_owned(),
            seed: Seed(1),
            measures,
            violations: Vec::new(),
            events: 0,
        }
    }

    #[test]
    fn deaths_that_nobody_finds_count_as_found_never() {
        for (case, found, undetected, share, expected) in [
            ("nobody died", &[][..], 0, 0.5, Detected::NobodyDied),
            ("all found", &[1, 2, 3, 4], 0, 0.5, Detected::After(Millis(2_000))),
            ("half found", &[1, 2], 2, 0.5, Detected::After(Millis(2_000))),
            ("fewer than half", &[1], 2, 0.5, Detected::Never),
            ("the slowest never", &[1, 2, 3], 1, 0.99, Detected::Never),
        ] {
            let measures = run("p", found, undetected, 0).measures;
            assert_eq!(Detected::of(&measures, share), expected, "{case}");
        }
    }

    #[test]
    fn only_who_is_better_in_both_beats_another() {
        let score = |name: &str, detect: &[u64], undetected, false_restarts| {
            Score::of(&[run(name, detect, undetected, false_restarts)]).unwrap()
        };
        let board = Scoreboard {
            scores: vec![
                score("middling", &[10], 0, 3),
                score("better", &[5], 0, 2),
                score("quicker", &[1], 0, 3),
                score("kinder", &[20], 0, 0),
                score("blind", &[], 5, 0),
            ],
        };
        let better = |name: &str| -> Vec<&str> {
            let of = board.scores.iter().find(|score| score.policy == name).unwrap();
            board.better_than(of).iter().map(|score| &*score.policy).collect()
        };
        assert_eq!(better("middling"), ["better"]);
        for on_the_front in ["better", "quicker", "kinder", "blind"] {
            assert!(better(on_the_front).is_empty(), "{on_the_front}");
        }
    }

    #[test]
    fn where_nobody_dies_nobody_is_sooner() {
        let quiet = Score::of(&[run("a", &[], 0, 0)]).unwrap();
        let noisy = Score::of(&[run("b", &[], 0, 5)]).unwrap();
        assert!(!quiet.beats(&noisy));
        assert!(Score::of(&[]).is_none());
    }

    #[test]
    fn over_all_scenarios_counts_are_summed_and_the_worst_is_named() {
        let score = |scenario: &str, policy: &str, detect: &[u64], false_restarts, days| {
            let mut run = run(policy, detect, 1, false_restarts);
            scenario.clone_into(&mut run.scenario);
            run.measures.workspace_days = days;
            run.measures.deaths = 3;
            run.measures.requests = 100;
            run.measures.lost = 4;
            run.measures.largest_simultaneous_restart = false_restarts;
            Score { broken: 2, ..Score::of(&[run]).unwrap() }
        };
        let board = Scoreboard {
            scores: vec![
                score("calm", "quick", &[1, 1], 1, 1.0),
                score("calm", "slow", &[9, 9], 2, 1.0),
                score("wild", "quick", &[1, 1], 5, 1.0),
                score("wild", "slow", &[9, 9], 5, 10.0),
            ],
        };
        let [quick, slow] = &board.overall()[..] else { panic!("two policies") };
        assert_eq!((&*quick.policy, quick.on_the_front, quick.scenarios), ("quick", 2, 2));
        assert_eq!((quick.false_restarts, quick.undetected, quick.deaths), (6, 2, 6));
        assert_eq!((quick.lost, quick.requests, quick.broken), (8, 200, 4));
        assert_eq!(quick.largest_simultaneous_restart, 5);
        assert_eq!(quick.worst, Some(("wild".to_owned(), 5.0)));
        assert_eq!((&*slow.policy, slow.on_the_front, slow.false_restarts), ("slow", 1, 7));
        assert_eq!(slow.worst, Some(("calm".to_owned(), 2.0)), "by its rate");
        let kind = Scoreboard { scores: vec![score("calm", "kind", &[1], 0, 1.0)] };
        assert_eq!(kind.overall()[0].worst, None);
    }
}
