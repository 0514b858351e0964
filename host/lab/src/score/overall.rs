//! A policy over all scenarios, in short.

use super::{Score, Scoreboard};
use crate::Measures;

/// What a policy came to in all runs of all scenarios. Counts alone: how long things
/// take is another matter in each scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Overall {
    pub policy: String,
    pub scenarios: usize,
    /// Of those, in how many no other policy is better in both measures.
    pub on_the_front: usize,
    pub false_restarts: u64,
    /// The scenario with the most false restarts a workspace-day, and how many. None:
    /// there were none at all.
    pub worst: Option<(String, f64)>,
    pub deaths: u64,
    pub undetected: u64,
    pub restarts_within_settle: u64,
    pub restarts_on_errors: u64,
    pub largest_simultaneous_restart: u64,
    pub requests: u64,
    pub lost: u64,
    /// Runs in which one of the seven properties was broken.
    pub broken: u64,
}

impl Scoreboard {
    /// Of every policy, in the order in which they were added.
    pub fn overall(&self) -> Vec<Overall> {
        let mut policies: Vec<&str> = Vec::new();
        for score in &self.scores {
            if !policies.contains(&&*score.policy) {
                policies.push(&score.policy);
            }
        }
        policies.into_iter().map(|policy| self.overall_of(policy)).collect()
    }

    fn overall_of(&self, policy: &str) -> Overall {
        let scores: Vec<&Score> =
            self.scores.iter().filter(|score| score.policy == policy).collect();
        let sum =
            |of: fn(&Measures) -> u64| scores.iter().map(|score| of(&score.measures)).sum::<u64>();
        let on_the_front = scores.iter().filter(|score| self.better_than(score).is_empty());
        let rate = |score: &&&Score| score.measures.false_restarts_per_workspace_day();
        let wrong = scores.iter().filter(|score| score.measures.false_restarts > 0);
        let worst = wrong.max_by(|one, other| rate(one).total_cmp(&rate(other)));
        let at_once = scores.iter().map(|score| score.measures.largest_simultaneous_restart);
        Overall {
            policy: policy.to_owned(),
            scenarios: scores.len(),
            on_the_front: on_the_front.count(),
            false_restarts: sum(|measures| measures.false_restarts),
            worst: worst.as_ref().map(|score| (score.scenario.clone(), rate(score))),
            deaths: sum(|measures| measures.deaths),
            undetected: sum(|measures| measures.undetected),
            restarts_within_settle: sum(|measures| measures.restarts_within_settle),
            restarts_on_errors: sum(|measures| measures.restarts_on_errors),
            largest_simultaneous_restart: at_once.max().unwrap_or_default(),
            requests: sum(|measures| measures.requests),
            lost: sum(|measures| measures.lost),
            broken: scores.iter().map(|score| score.broken).sum(),
        }
    }
}
