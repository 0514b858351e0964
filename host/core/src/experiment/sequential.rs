//! Tests that may be looked at after every observation.
//!
//! Each keeps an *e-value*: a number that on average does not grow while the null
//! hypothesis holds. By Ville's inequality it then exceeds `1/alpha` at any time,
//! however often one looks, with probability `alpha` at most. See Ramdas, Grünwald,
//! Vovk and Shafer, *Game-theoretic statistics and safe anytime-valid inference*
//! (Statistical Science, 2023), and Wald, *Sequential Analysis* (1947), for the
//! likelihood ratios. What is averaged over several alternatives is an e-value
//! again; so no effect has to be guessed beforehand.
//!
//! Nothing here rejects for want of data: without observations the e-value is 1.

use serde::{Deserialize, Serialize};

use super::Arm;

/// How many times as many events the candidate may have in truth: the alternatives
/// that are averaged over.
const RATIOS: [f64; 7] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0];
/// How far beyond the limit a proportion may be in truth, of what is left to 1.
const EXCESSES: [f64; 4] = [0.05, 0.1, 0.25, 0.5];

/// Whether events come more often in the candidate's arm than in the control's,
/// given how much each arm was exposed to them.
///
/// Given that there is an event, it is the candidate's with the probability of its
/// share of the exposure, if both arms have the same rate, and with less if the
/// candidate's rate is lower. Events of different workspaces are taken as
/// independent; what hits all workspaces at once hits both arms by their shares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    exposure: [f64; 2],
    events: [u64; 2],
    log_ratios: [f64; RATIOS.len()],
}

impl Comparison {
    /// The arm was exposed for so long, or so often, in any unit that both share.
    pub fn expose(&mut self, arm: Arm, amount: f64) {
        self.exposure[arm as usize] += amount;
    }

    pub fn event(&mut self, arm: Arm) {
        self.events[arm as usize] += 1;
        let [control, candidate] = self.exposure;
        // Nothing can be learnt where only one of them could have had it.
        if control <= 0.0 || candidate <= 0.0 {
            return;
        }
        let expected = candidate / (candidate + control);
        for (log_ratio, ratio) in self.log_ratios.iter_mut().zip(RATIOS) {
            let alternative = ratio * candidate / (ratio * candidate + control);
            *log_ratio += log_likelihood_ratio(arm == Arm::Candidate, alternative, expected);
        }
    }

    pub const fn events(&self, arm: Arm) -> u64 {
        self.events[arm as usize]
    }

    pub const fn exposure(&self, arm: Arm) -> f64 {
        self.exposure[arm as usize]
    }

    /// The evidence against "the candidate has no more than the control".
    pub fn e_value(&self) -> f64 {
        if self.events == [0, 0] { 1.0 } else { average(&self.log_ratios) }
    }
}

/// Whether something happens in a larger proportion of cases than it may.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proportion {
    /// More than 0 and less than 1.
    limit: f64,
    cases: u64,
    hits: u64,
    log_ratios: [f64; EXCESSES.len()],
}

impl Proportion {
    /// Of a limit from 0 to 1, both excluded; held to that.
    pub const fn above(limit: f64) -> Self {
        let limit = limit.clamp(1e-6, 1.0 - 1e-6);
        Self { limit, cases: 0, hits: 0, log_ratios: [0.0; EXCESSES.len()] }
    }

    pub fn case(&mut self, hit: bool) {
        self.cases += 1;
        self.hits += u64::from(hit);
        for (log_ratio, excess) in self.log_ratios.iter_mut().zip(EXCESSES) {
            let alternative = self.limit + (1.0 - self.limit) * excess;
            *log_ratio += log_likelihood_ratio(hit, alternative, self.limit);
        }
    }

    pub const fn cases(&self) -> u64 {
        self.cases
    }

    pub const fn hits(&self) -> u64 {
        self.hits
    }

    /// The evidence against "the proportion is within the limit".
    pub fn e_value(&self) -> f64 {
        average(&self.log_ratios)
    }
}

fn log_likelihood_ratio(hit: bool, alternative: f64, null: f64) -> f64 {
    if hit { (alternative / null).ln() } else { ((1.0 - alternative) / (1.0 - null)).ln() }
}

/// At most the largest number that there is: an endless one cannot be written down.
fn average(log_ratios: &[f64]) -> f64 {
    let average = log_ratios.iter().map(|log| log.exp()).sum::<f64>() / log_ratios.len() as f64;
    average.min(f64::MAX)
}
