//! What memberlist does: SWIM's suspicion before death, with Lifeguard's doubt of the
//! own health.
//!
//! The README of this folder cites the sources and says what the contract cannot
//! say of them.
//!
//! - [`suspicion`]: how long a suspect has to refute

#![cfg_attr(target_arch = "wasm32", no_std)]

use reprieve_policy::{
    Attempt, Description, Evidence, Judgement, Life, Millis, Policy, RestartCause, Ruling, Status,
    Trigger,
};
use reprieve_zoo::{
    SHORTEST_BUSY, is_over,
    notes::{Notes, forget},
    signs::{self, Sign},
};

pub mod suspicion;
#[cfg(test)]
mod tests;

use suspicion::Suspicion;

reprieve_policy::settings! {
    /// Settings of lifeguard: those of memberlist's `Config`, with the defaults of
    /// `DefaultLANConfig`.
    pub struct Lifeguard {
        /// `ProbeInterval`: a suspect is probed so often, and its time is measured in it. Set it to
        /// a quarter of your workspaces' interval of heartbeats or more: a suspect refutes by one.
        pub probe_interval: Millis = "1s" in "100ms"..="1h",
        /// `SuspicionMult`: a suspect that as many confirm as are asked for has this times
        /// log10 of the fleet's size, at least 1, times `probe_interval`.
        pub suspicion_mult: u32 = 4 in 1..=100,
        /// `SuspicionMaxTimeoutMult`: one whom nobody confirms has this many times longer.
        pub suspicion_max_timeout_mult: u32 = 6 in 1..=100,
        /// `AwarenessMaxMultiplier`: a host that doubts itself waits up to so many times longer
        /// for an answer.
        pub awareness_max_multiplier: u32 = 8 in 1..=100,
        /// Not memberlist's: what the host saw within this makes its health.
        pub awareness_window: Millis = "30s" in "1s"..="5min",
        /// Not memberlist's: a sign of life at most this old answers a probe.
        pub sign_window: Millis = "45s" in "1s"..="1h",
    }
}

reprieve_policy::reasons! {
    /// Why lifeguard rules as it does.
    pub enum Reason {
        /// It answered: it gave a sign of life within the window.
        Acknowledged = "acknowledged",
        /// This life gave no sign yet, or the runtime is starting it: it has not joined.
        NotJoined = "not-joined",
        /// It does not answer, and has time to refute that.
        Suspect = "suspect",
        /// It gave a sign of life after it was suspected.
        Refuted = "refuted",
        /// The time to refute is over.
        SuspicionTimeout = "suspicion-timeout",
        /// A restart is being carried out at this moment.
        InFlight = "in-flight",
        /// A store of the host cannot be read.
        StoreFault = "store-fault",
        /// Every restart is admitted.
        Always = "always",
    }
}

/// Letter, confirmations, and how long it had been suspected when that was written.
const NOTES: Notes<10> = Notes::of(b'l');

impl Policy for Lifeguard {
    type Reason = Reason;

    const DESCRIPTION: Description = Description {
        name: "lifeguard",
        version: env!("CARGO_PKG_VERSION"),
        summary: "memberlist: who does not answer is suspect, and dead if it does not refute.",
    };

    fn judge(&self, evidence: &impl Evidence, trigger: Trigger, _: Attempt) -> Judgement<Reason> {
        let Ok(life) = evidence.current_life() else {
            return Judgement::busy(self.next_probe(0), Reason::StoreFault);
        };
        if life.in_flight {
            return Judgement::busy(self.next_probe(0), Reason::InFlight);
        }
        let Ok(sign) = signs::newest(evidence) else {
            return Judgement::busy(self.next_probe(0), Reason::StoreFault);
        };
        let score = self.local_health(evidence);
        let answers = match evidence.look().map(|sighting| sighting.status) {
            Ok(Status::Starting | Status::Restarting) => {
                return Judgement::busy(self.next_probe(score), Reason::NotJoined);
            }
            Ok(Status::Stopped | Status::Missing) => false,
            // Nobody can tell whose fault it is that no answer comes.
            Ok(Status::Running | Status::Paused) | Err(_) => match sign {
                Sign::Given(age) => age <= scaled(self.sign_window, score),
                Sign::Awaited | Sign::Never => return Judgement::alive(Reason::NotJoined),
            },
        };
        if answers {
            forget(evidence);
            return Judgement::alive(Reason::Acknowledged);
        }
        let confirmed = matches!(trigger, Trigger::ForwardFailed(_));
        self.suspect(evidence, life, sign, score, confirmed)
    }

    fn admit(&self, _: &impl Evidence, _: RestartCause) -> Ruling<Reason> {
        Ruling::admit(Reason::Always)
    }

    fn silence_limit(&self) -> Option<Millis> {
        Some(self.sign_window)
    }
}

impl Lifeguard {
    /// Suspects it, or goes on to: each failed request is the word of one more who got
    /// no answer.
    fn suspect(
        &self,
        evidence: &impl Evidence,
        life: Life,
        sign: Sign,
        score: u32,
        confirmed: bool,
    ) -> Judgement<Reason> {
        let Ok(noted) = NOTES.read(evidence, life) else {
            return Judgement::busy(self.next_probe(score), Reason::StoreFault);
        };
        let Some((bytes, age)) = noted else {
            NOTES.write(evidence, bytes_of(0, Millis::ZERO));
            return Judgement::busy(self.next_probe(score), Reason::Suspect);
        };
        let (confirmations, before) = parts_of(bytes);
        let elapsed = before.saturating_add(age);
        if let Sign::Given(sign_age) = sign
            && sign_age < elapsed
        {
            forget(evidence);
            return Judgement::alive(Reason::Refuted);
        }
        let confirmations = confirmations.saturating_add(u8::from(confirmed));
        let fleet = evidence.tenant_fleet(self.awareness_window);
        let timeout = Suspicion::of(self, fleet.workspaces).timeout(confirmations.into());
        if is_over(elapsed, timeout) {
            return Judgement::dead(Reason::SuspicionTimeout);
        }
        if confirmed {
            NOTES.write(evidence, bytes_of(confirmations, elapsed));
        }
        let rest = timeout.saturating_sub(elapsed).max(SHORTEST_BUSY);
        Judgement::busy(self.next_probe(score).min(rest), Reason::Suspect)
    }

    /// The local health score: 0 is well. A fault of the own eyes or stores, and each
    /// probe interval by which the own loop was late, adds one; a probe that went well
    /// takes one away.
    fn local_health(&self, evidence: &impl Evidence) -> u32 {
        let seen = evidence.eyesight_between(self.awareness_window, Millis::ZERO);
        let late = u32::try_from(seen.loop_lag.0 / self.probe_interval.0.max(1));
        let ill = seen
            .probe_faults
            .saturating_add(seen.store_faults)
            .saturating_add(late.unwrap_or(u32::MAX));
        let well = seen.probes.saturating_sub(seen.probe_faults);
        ill.saturating_sub(well).min(self.awareness_max_multiplier.saturating_sub(1))
    }

    fn next_probe(&self, score: u32) -> Millis {
        scaled(self.probe_interval, score).max(SHORTEST_BUSY)
    }
}

/// A host that doubts itself gives others more time.
const fn scaled(timeout: Millis, score: u32) -> Millis {
    Millis(timeout.0.saturating_mul(score as u64 + 1))
}

fn bytes_of(confirmations: u8, before: Millis) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[1] = confirmations;
    bytes[2..].copy_from_slice(&before.0.to_le_bytes());
    bytes
}

fn parts_of(bytes: [u8; 10]) -> (u8, Millis) {
    let [_, confirmations, before @ ..] = bytes;
    (confirmations, Millis(u64::from_le_bytes(before)))
}

reprieve_policy::export!(Lifeguard);
