//! When a candidate is aborted: a guardrail for each way in which it may do harm.
//!
//! All of them together abort a candidate that is no worse than the control with a
//! probability of [`Guardrails::error_bound`] at most, over the whole length of the
//! experiment and however often one looks: each active guardrail has an equal part
//! of it (Bonferroni). They abort, and never promote.

use serde::{Deserialize, Serialize};

use super::{Arm, sequential};
use crate::time::Millis;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guardrail {
    /// Calls that the policy gave no usable answer to: traps, limits, time-outs.
    Failures,
    /// Lives ruled DEAD by who acts, and lives that one arm ruled dead alone.
    Deaths,
    /// Restarts that begin after a DEAD verdict, per workspace-hour.
    Restarts,
    /// Lives that the arm which did not act would have ruled DEAD, and that then gave
    /// a sign of life. A shadow's are among its deaths.
    FalseDeaths,
    /// Judgements of the same evidence that differ in kind from the control's.
    Disagreement,
    /// Recoveries that took longer than they may.
    SlowRecoveries,
}

impl Guardrail {
    pub const ALL: [Self; 6] = [
        Self::Failures,
        Self::Deaths,
        Self::Restarts,
        Self::FalseDeaths,
        Self::Disagreement,
        Self::SlowRecoveries,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::Deaths => "deaths",
            Self::Restarts => "restarts",
            Self::FalseDeaths => "false-deaths",
            Self::Disagreement => "disagreement",
            Self::SlowRecoveries => "slow-recoveries",
        }
    }
}

/// How much is tolerated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guardrails {
    /// The probability that a candidate which is no worse than the control is ever
    /// aborted. 0.0001 to 0.5.
    pub error_bound: f64,
    /// Events of the candidate that it takes to abort it. 1 to 1000.
    pub min_events: u64,
    /// Calls that the candidate must have been asked, as who acts or beside it. 1 to
    /// 1000000.
    pub min_judgements: u64,
    /// Of the judgements that both gave, how many may differ, in basis points. None:
    /// any.
    pub max_disagreement_bp: Option<u16>,
    /// From the verdict to the next life's first ALIVE; a longer recovery is a slow
    /// one. 1 s to 1 h.
    pub slow_recovery: Millis,
}

impl Default for Guardrails {
    /// One false abort in twenty costs a repeated experiment. Three events are no
    /// single odd workspace.
    fn default() -> Self {
        Self {
            error_bound: 0.05,
            min_events: 3,
            min_judgements: 10,
            max_disagreement_bp: None,
            slow_recovery: Millis::from_secs(60),
        }
    }
}

/// Why guardrails cannot be held.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("guardrails.{key} is {value}; {range} is allowed")]
pub struct Unsound {
    pub key: &'static str,
    pub value: String,
    pub range: &'static str,
}

impl Guardrails {
    pub(super) fn check(&self) -> Result<(), Unsound> {
        let within = |key, value: String, range, is_so| match is_so {
            true => Ok(()),
            false => Err(Unsound { key, value, range }),
        };
        let bound = self.error_bound;
        let is_so = (0.000_1..=0.5).contains(&bound);
        within("error_bound", bound.to_string(), "0.0001 to 0.5", is_so)?;
        let events = self.min_events;
        within("min_events", events.to_string(), "1 to 1000", (1..=1_000).contains(&events))?;
        let calls = self.min_judgements;
        let is_so = (1..=1_000_000).contains(&calls);
        within("min_judgements", calls.to_string(), "1 to 1000000", is_so)?;
        if let Some(bp) = self.max_disagreement_bp {
            let is_so = (1..super::ALL_BP).contains(&bp);
            within("max_disagreement_bp", bp.to_string(), "1 to 9999", is_so)?;
        }
        let slow = self.slow_recovery;
        let is_so = (1_000..=3_600_000).contains(&slow.0);
        within("slow_recovery", slow.to_string(), "1 s to 1 h", is_so)
    }

    /// The evidence that it takes to abort: an e-value.
    pub fn threshold(&self) -> f64 {
        let active = Guardrail::ALL.len() - usize::from(self.max_disagreement_bp.is_none());
        active as f64 / self.error_bound
    }

    pub(super) fn disagreement(&self) -> sequential::Proportion {
        let bp = self.max_disagreement_bp.unwrap_or(super::ALL_BP);
        sequential::Proportion::above(f64::from(bp) / f64::from(super::ALL_BP))
    }
}

/// A guardrail that the candidate broke.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breach {
    pub guardrail: Guardrail,
    /// In the control's and in the candidate's arm.
    pub events: [u64; 2],
    /// What the events are counted against: calls, workspace-hours, recoveries.
    pub exposure: [f64; 2],
    /// How many times as likely what was seen is if the candidate is worse. At
    /// least [`Guardrails::threshold`].
    pub evidence: f64,
}

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [control, candidate] = self.events;
        let [of_control, of_candidate] = self.exposure;
        let unit = match self.guardrail {
            Guardrail::Failures => "calls",
            Guardrail::Deaths | Guardrail::Restarts | Guardrail::FalseDeaths => "workspace-hours",
            Guardrail::Disagreement => "judgements",
            Guardrail::SlowRecoveries => "recoveries",
        };
        write!(
            f,
            "{}: {candidate} in {of_candidate:.1} {unit} of the {}, {control} in {of_control:.1} of the {}; evidence {:.0}",
            self.guardrail.as_str(),
            Arm::Candidate.as_str(),
            Arm::Control.as_str(),
            self.evidence,
        )
    }
}
