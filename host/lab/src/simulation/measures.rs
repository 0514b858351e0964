//! What a run comes to, in the field's own measures.
//!
//! T_D, T_MR, T_M and P_A are those of Chen, Toueg and Aguilera: On the quality of
//! service of failure detectors, IEEE Transactions on Computers 51(5), 2002. A
//! suspicion is a DEAD verdict here: it is what leads to a restart.

use reprieve_core::time::Millis;
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

/// Lengths of time that were measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples(Vec<u64>);

impl Samples {
    pub(crate) fn add(&mut self, length: Millis) {
        let place = self.0.partition_point(|known| *known <= length.0);
        self.0.insert(place, length.0);
    }

    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// That share of all is no longer than this. None: nothing was measured.
    pub fn at(&self, share: f64) -> Option<Millis> {
        let last = self.0.len().checked_sub(1)?;
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1).min(last)).copied().map(Millis)
    }

    pub fn mean(&self) -> Option<f64> {
        let sum: u64 = self.0.iter().sum();
        (!self.0.is_empty()).then(|| sum as f64 / self.0.len() as f64)
    }

    /// In milliseconds, the shortest first.
    pub fn sorted_ms(&self) -> &[u64] {
        &self.0
    }

    /// Those of both.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend(&other.0);
        self.0.sort_unstable();
    }
}

impl Serialize for Samples {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Samples", 4)?;
        fields.serialize_field("count", &self.count())?;
        fields.serialize_field("p50_ms", &self.at(0.5))?;
        fields.serialize_field("p99_ms", &self.at(0.99))?;
        fields.serialize_field("max_ms", &self.at(1.0))?;
        fields.end()
    }
}

/// What a run came to, or several of them together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Measures {
    pub workspaces: u64,
    pub workspace_days: f64,

    /// Runs that ended by themselves, or hang for good.
    pub deaths: u64,
    /// Of those, how many were down at the end, and no verdict had said DEAD.
    pub undetected: u64,
    /// T_D: from a death to the first DEAD verdict about it.
    pub time_to_detect: Samples,
    /// From a death until the workspace is up again, whoever saw to it.
    pub time_to_recover: Samples,

    /// DEAD verdicts about the present lives of workspaces that were not down.
    pub mistakes: u64,
    /// T_MR: from the beginning of a mistake to that of the next about the same
    /// workspace.
    pub mistake_recurrence: Samples,
    /// T_M: until a verdict takes it back, or the workspace is up again after it.
    pub mistake_duration: Samples,
    /// Workspace-time not down, and of it that in which a mistake stood.
    pub live_ms: u64,
    pub mistaken_ms: u64,

    /// Restarts that verdicts led to.
    pub restarts: u64,
    /// Of those, of workspaces that were not down.
    pub false_restarts: u64,
    /// Of those, within a minute after the life had begun.
    pub restarts_within_settle: u64,
    /// Of those, on faults alone: nobody had seen anything.
    pub restarts_on_errors: u64,
    /// Workspaces between the beginning of a restart and being up again, the most at
    /// once, whatever the cause.
    pub largest_simultaneous_restart: u64,
    pub settings_changes: u64,
    /// Restarts within five minutes after a change of the workspace's settings,
    /// of workspaces that were not down, that no person ordered.
    pub restarts_after_changes: u64,
    pub operator_restarts: u64,
    /// Restarts that were wanted and dropped, or void.
    pub dropped: u64,
    pub voided: u64,

    /// All, those that got no answer at once included.
    pub requests: u64,
    pub failed_forwards: u64,
    pub queued: u64,
    pub delivered: u64,
    /// From being queued to being delivered.
    pub delivery_delay: Samples,
    /// Accepted, and dropped with a reason on record.
    pub lost: u64,
    /// Still in the queue at the end.
    pub waiting: u64,
    /// Told to come back: 503.
    pub refused: u64,
    /// Told that the upstream failed: 502, 504.
    pub errors: u64,

    pub judgements: u64,
    pub rulings: u64,
    pub fell_back: u64,
    pub probes: u64,
    pub probe_faults: u64,
}

impl Measures {
    /// P_A: how likely it is that no mistake stands, at any moment at which a
    /// workspace is not down.
    pub fn query_accuracy(&self) -> f64 {
        if self.live_ms == 0 { 1.0 } else { 1.0 - self.mistaken_ms as f64 / self.live_ms as f64 }
    }

    pub fn false_restarts_per_workspace_day(&self) -> f64 {
        if self.workspace_days == 0.0 {
            0.0
        } else {
            self.false_restarts as f64 / self.workspace_days
        }
    }

    /// None: no settings were changed.
    pub fn restarts_per_change(&self) -> Option<f64> {
        let changes = self.settings_changes as f64;
        (self.settings_changes > 0).then(|| self.restarts_after_changes as f64 / changes)
    }

    /// Those of both runs; the larger, where it is the largest that counts.
    pub fn add(&mut self, other: &Self) {
        self.workspaces += other.workspaces;
        self.workspace_days += other.workspace_days;
        self.deaths += other.deaths;
        self.undetected += other.undetected;
        self.time_to_detect.extend(&other.time_to_detect);
        self.time_to_recover.extend(&other.time_to_recover);
        self.mistakes += other.mistakes;
        self.mistake_recurrence.extend(&other.mistake_recurrence);
        self.mistake_duration.extend(&other.mistake_duration);
        self.live_ms += other.live_ms;
        self.mistaken_ms += other.mistaken_ms;
        self.restarts += other.restarts;
        self.false_restarts += other.false_restarts;
        self.restarts_within_settle += other.restarts_within_settle;
        self.restarts_on_errors += other.restarts_on_errors;
        self.largest_simultaneous_restart =
            self.largest_simultaneous_restart.max(other.largest_simultaneous_restart);
        self.settings_changes += other.settings_changes;
        self.restarts_after_changes += other.restarts_after_changes;
        self.operator_restarts += other.operator_restarts;
        self.dropped += other.dropped;
        self.voided += other.voided;
        self.requests += other.requests;
        self.failed_forwards += other.failed_forwards;
        self.queued += other.queued;
        self.delivered += other.delivered;
        self.delivery_delay.extend(&other.delivery_delay);
        self.lost += other.lost;
        self.waiting += other.waiting;
        self.refused += other.refused;
        self.errors += other.errors;
        self.judgements += other.judgements;
        self.rulings += other.rulings;
        self.fell_back += other.fell_back;
        self.probes += other.probes;
        self.probe_faults += other.probe_faults;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_lengths_that_were_measured() {
        let mut samples = Samples::default();
        assert_eq!((samples.at(0.5), samples.mean()), (None, None));
        for length in [30, 10, 20, 40] {
            samples.add(Millis(length));
        }
        let quantiles = [0.0, 0.25, 0.5, 0.99, 1.0].map(|share| samples.at(share).map(|at| at.0));
        assert_eq!(quantiles, [10, 10, 20, 40, 40].map(Some));
        assert_eq!(samples.mean(), Some(25.0));
    }
}
