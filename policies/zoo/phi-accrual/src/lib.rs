//! What Pekko (and Akka) does: the phi accrual failure detector over heartbeats.
//!
//! The README of this folder cites the sources and says what the contract cannot
//! say of them.
//!
//! - [`phi`]: the formula, turned so that a judgement needs no logarithm

#![cfg_attr(target_arch = "wasm32", no_std)]

use reprieve_policy::{
    Attempt, Description, Evidence, Judgement, Millis, Policy, RestartCause, Ruling, Trigger,
};
use reprieve_zoo::SHORTEST_BUSY;

pub mod phi;

use phi::{History, Threshold};

reprieve_policy::settings! {
    /// Settings of phi-accrual: those of Pekko's `failure-detector`, with the defaults of its
    /// cluster.
    pub struct PhiAccrual {
        /// `threshold`: a workspace whose phi reaches it is unavailable. 8 is one mistake in ten
        /// to the eighth, were the intervals normally distributed.
        pub threshold: u32 = 8 in 1..=100,
        /// `max-sample-size`: so many intervals make mean and deviation. Pekko's default is 1000;
        /// the contract knows the newest 8.
        pub max_sample_size: u32 = 8 in 1..=8,
        /// `min-std-deviation`: the intervals are taken to deviate by this at least.
        pub min_std_deviation: Millis = "100ms" in "1ms"..="1h",
        /// `acceptable-heartbeat-pause`: heartbeats may be so much later than expected.
        pub acceptable_heartbeat_pause: Millis = "3s" in "0s"..="1h",
        /// `heartbeat-interval`: the first heartbeats are expected so far apart. Set it to the
        /// interval of your workspaces.
        pub first_heartbeat_estimate: Millis = "1s" in "100ms"..="1h",
    }
}

reprieve_policy::reasons! {
    /// Why phi-accrual rules as it does.
    pub enum Reason {
        /// Phi is below the threshold, as far as the settings expect heartbeats.
        Available = "available",
        /// A heartbeat is later than the settings expect, but not later than the workspace's
        /// own intervals let expect.
        SuspicionGrows = "suspicion-grows",
        /// Phi has reached the threshold.
        Unavailable = "unavailable",
        /// This life has sent no heartbeat yet: it is not monitored.
        Unmonitored = "unmonitored",
        /// The heartbeats cannot be read, so there is no phi.
        StoreFault = "store-fault",
        /// Every restart is admitted.
        Always = "always",
    }
}

/// When heartbeats that could not be read are asked for again.
const STORE_RETRY: Millis = Millis::from_secs(10);

impl PhiAccrual {
    fn threshold(&self) -> Threshold {
        Threshold::of(self.threshold)
    }

    /// From here on the settings expect no heartbeat any more, and the host asks.
    fn expected_silence(&self) -> Millis {
        let history =
            History { mean_ms: self.first_heartbeat_estimate.0 as f64, deviation_ms: 0.0 };
        self.longest_silence(history)
    }

    /// The silence at which phi reaches the threshold.
    fn longest_silence(&self, history: History) -> Millis {
        let History { mean_ms, deviation_ms } = self.with_floor(history);
        let expected_ms = mean_ms + self.acceptable_heartbeat_pause.0 as f64;
        let silence_ms = expected_ms + self.threshold().deviations() * deviation_ms;
        // Rounded up: asked then, phi has reached it.
        Millis(silence_ms as u64 + 1)
    }

    fn with_floor(&self, history: History) -> History {
        let floor_ms = self.min_std_deviation.0 as f64;
        History { deviation_ms: history.deviation_ms.max(floor_ms), ..history }
    }

    fn is_available(&self, history: History, silence: Millis) -> bool {
        let History { mean_ms, deviation_ms } = self.with_floor(history);
        let late_ms = silence.0 as f64 - (mean_ms + self.acceptable_heartbeat_pause.0 as f64);
        !self.threshold().is_reached(late_ms / deviation_ms)
    }
}

impl Policy for PhiAccrual {
    type Reason = Reason;

    const DESCRIPTION: Description = Description {
        name: "phi-accrual",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Pekko: dead is whose heartbeat is too late for what its intervals promise.",
    };

    fn judge(&self, evidence: &impl Evidence, _: Trigger, _: Attempt) -> Judgement<Reason> {
        let (Ok(newest), Ok(intervals)) =
            (evidence.newest_beat(), evidence.intervals(self.max_sample_size))
        else {
            return Judgement::busy(STORE_RETRY, Reason::StoreFault);
        };
        let Some(beat) = newest.filter(|beat| beat.this_life) else {
            return Judgement::alive(Reason::Unmonitored);
        };
        let history = History::of(&intervals, self.first_heartbeat_estimate, self.max_sample_size);
        if !self.is_available(history, beat.age) {
            return Judgement::dead(Reason::Unavailable);
        }
        if beat.age < self.expected_silence() {
            return Judgement::alive(Reason::Available);
        }
        let rest = self.longest_silence(history).saturating_sub(beat.age);
        Judgement::busy(rest.max(SHORTEST_BUSY), Reason::SuspicionGrows)
    }

    fn admit(&self, _: &impl Evidence, _: RestartCause) -> Ruling<Reason> {
        Ruling::admit(Reason::Always)
    }

    fn silence_limit(&self) -> Option<Millis> {
        // The host asks after 1 s at the earliest.
        Some(self.expected_silence().max(Millis(1_000)))
    }
}

reprieve_policy::export!(PhiAccrual);

#[cfg(test)]
mod tests;
