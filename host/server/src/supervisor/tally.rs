//! Counts of what happened since the host started.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use reprieve_core::{
    decision::{Decision, Outcome},
    incident::DropReason,
    judgement::{RestartCause, Verdict},
};
use serde::Serialize;

/// Every count is bounded by what policies declare and by our own enums.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

/// A copy of the counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// By verdict and reason: `busy settle-window`.
    pub verdicts: BTreeMap<String, u64>,
    /// By failure: judgements that no policy gave.
    pub fall_backs: BTreeMap<String, u64>,
    /// Begun, by cause.
    pub restarts: BTreeMap<String, u64>,
    /// Wishes for a restart that came to nothing, by cause and why.
    pub drops: BTreeMap<String, u64>,
    /// Verdicts that were not acted on.
    pub voids: u64,
    pub probes: u64,
    /// By fault.
    pub probe_faults: BTreeMap<String, u64>,
    pub store_faults: u64,
    pub queued: u64,
    pub delivered: u64,
}

impl Tally {
    pub fn counts(&self) -> Counts {
        self.0.lock().clone()
    }

    /// Restarts begun, for any cause.
    pub fn restarts(&self) -> u64 {
        self.0.lock().restarts.values().sum()
    }

    pub(super) fn decided(&self, decision: &Decision) {
        let mut counts = self.0.lock();
        match &decision.outcome {
            Outcome::Judged { verdict, reason } => {
                let verdict = format!("{} {}", verdict_name(*verdict), reason.code);
                *counts.verdicts.entry(verdict).or_default() += 1;
            }
            Outcome::Ruled { .. } => {}
            Outcome::FellBack { failure, .. } => {
                *counts.fall_backs.entry(failure.clone()).or_default() += 1;
            }
        }
    }

    pub(super) fn begun(&self, cause: RestartCause) {
        *self.0.lock().restarts.entry(cause_name(cause).to_owned()).or_default() += 1;
    }

    pub(super) fn dropped(&self, cause: RestartCause, why: DropReason) {
        let why = match why {
            DropReason::InFlight => "in flight",
            DropReason::Policy => "policy",
        };
        *self.0.lock().drops.entry(format!("{}: {why}", cause_name(cause))).or_default() += 1;
    }

    pub(super) fn voided(&self) {
        self.0.lock().voids += 1;
    }

    pub(super) fn probed(&self, fault: Option<String>) {
        let mut counts = self.0.lock();
        counts.probes += 1;
        if let Some(fault) = fault {
            *counts.probe_faults.entry(fault).or_default() += 1;
        }
    }

    pub(super) fn store_failed(&self) {
        self.0.lock().store_faults += 1;
    }

    pub(super) fn queued(&self) {
        self.0.lock().queued += 1;
    }

    pub(super) fn delivered(&self) {
        self.0.lock().delivered += 1;
    }
}

pub(super) const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Alive => "alive",
        Verdict::Busy(_) => "busy",
        Verdict::Dead => "dead",
        Verdict::Recheck(_) => "recheck",
    }
}

pub(super) const fn cause_name(cause: RestartCause) -> &'static str {
    match cause {
        RestartCause::Operator => "operator",
        RestartCause::DeadVerdict => "dead-verdict",
        RestartCause::SettingsChanged => "settings-changed",
        RestartCause::Wake => "wake",
        RestartCause::Dependency => "dependency",
    }
}
