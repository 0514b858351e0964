//! What the platform did before April 2026: it trusted the probe.
//!
//! "`ContainerInspect` fails transiently, and *every* inspect error was read as
//! 'not running'. Six healthy containers are recreated in parallel" (story 1).
//! Kept to show that the stories bite.

#![cfg_attr(target_arch = "wasm32", no_std)]

use reprieve_policy::{
    Attempt, Description, Evidence, Judgement, Millis, Policy, RestartCause, Ruling, Status,
    Trigger,
};

reprieve_policy::settings! {
    /// Settings of trust-the-probe.
    pub struct TrustTheProbe {
        /// A workspace whose newest heartbeat is this old is dead.
        liveness_ttl: Millis = "1min" in "1s"..="24h",
    }
}

reprieve_policy::reasons! {
    /// Why trust-the-probe rules as it does.
    pub enum Reason {
        /// The probe says that it runs.
        Running = "running",
        /// The probe says anything but running.
        NotRunning = "not-running",
        /// The probe failed, which is read as not running.
        ProbeError = "probe-error",
        /// Its newest heartbeat is older than `liveness_ttl`.
        Silent = "silent",
        /// Asked in a way that nobody asked in its day: nothing is looked at.
        Unasked = "unasked",
        /// Every restart is admitted.
        Always = "always",
    }
}

impl TrustTheProbe {
    fn is_silent(&self, evidence: &impl Evidence) -> bool {
        matches!(evidence.newest_beat(), Ok(Some(beat)) if beat.age >= self.liveness_ttl)
    }
}

impl Policy for TrustTheProbe {
    type Reason = Reason;

    const DESCRIPTION: Description = Description {
        name: "trust-the-probe",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Before April 2026: whatever the probe does not call running is dead.",
    };

    fn judge(&self, evidence: &impl Evidence, trigger: Trigger, _: Attempt) -> Judgement<Reason> {
        // The monitor of heartbeats was a separate loop that asked no runtime.
        if trigger == Trigger::HeartbeatExpired && self.is_silent(evidence) {
            return Judgement::dead(Reason::Silent);
        }
        // In its day nobody came back to a workspace by himself: a restart that
        // was carried out was over, and only requests asked.
        if matches!(trigger, Trigger::Settling | Trigger::Sweep) {
            return Judgement::alive(Reason::Unasked);
        }
        match evidence.look() {
            Err(_) => Judgement::dead(Reason::ProbeError),
            Ok(sighting) => match sighting.status {
                // Docker's flag `Running` is true in all three.
                Status::Running | Status::Restarting | Status::Paused => {
                    Judgement::alive(Reason::Running)
                }
                Status::Starting | Status::Stopped | Status::Missing => {
                    Judgement::dead(Reason::NotRunning)
                }
            },
        }
    }

    fn admit(&self, _: &impl Evidence, _: RestartCause) -> Ruling<Reason> {
        Ruling::admit(Reason::Always)
    }

    fn silence_limit(&self) -> Option<Millis> {
        Some(self.liveness_ttl)
    }
}

reprieve_policy::export!(TrustTheProbe);

#[cfg(test)]
mod tests {
    use reprieve_policy::{FakeEvidence, ForwardFailure, ProbeFault};

    use super::*;

    const REFUSED: Trigger = Trigger::ForwardFailed(ForwardFailure::Refused);

    fn judged(evidence: &FakeEvidence, trigger: Trigger) -> Judgement<Reason> {
        TrustTheProbe::default().judge(evidence, trigger, Attempt::FIRST)
    }

    #[test]
    fn every_probe_error_is_a_death_at_once() {
        for fault in [
            ProbeFault::TimedOut,
            ProbeFault::Unreachable,
            ProbeFault::ClosedEarly,
            ProbeFault::Overloaded,
            ProbeFault::Denied,
            ProbeFault::Malformed,
        ] {
            let evidence = FakeEvidence::unseen(fault).beat(Millis::from_secs(1));
            let expected = Judgement::dead(Reason::ProbeError);
            assert_eq!(judged(&evidence, REFUSED), expected, "{fault:?}");
        }
    }

    #[test]
    fn whatever_does_not_run_is_dead_however_recent_its_beat() {
        for (status, expected) in [
            (Status::Running, Judgement::alive(Reason::Running)),
            (Status::Restarting, Judgement::alive(Reason::Running)),
            (Status::Paused, Judgement::alive(Reason::Running)),
            (Status::Starting, Judgement::dead(Reason::NotRunning)),
            (Status::Stopped, Judgement::dead(Reason::NotRunning)),
            (Status::Missing, Judgement::dead(Reason::NotRunning)),
        ] {
            let evidence = FakeEvidence::seen(status).beat(Millis(700)).began(Millis(1_000));
            assert_eq!(judged(&evidence, REFUSED), expected, "{status:?}");
        }
    }

    #[test]
    fn a_minute_of_silence_is_a_death() {
        for (case, age_ms, trigger, expected) in [
            ("in time", 59_999, Trigger::HeartbeatExpired, Judgement::alive(Reason::Running)),
            ("late", 60_000, Trigger::HeartbeatExpired, Judgement::dead(Reason::Silent)),
            ("late, not asked", 60_000, REFUSED, Judgement::alive(Reason::Running)),
        ] {
            let evidence = FakeEvidence::seen(Status::Running).beat(Millis(age_ms));
            assert_eq!(judged(&evidence, trigger), expected, "{case}");
        }
    }

    #[test]
    fn nobody_comes_back_by_himself() {
        for trigger in [Trigger::Settling, Trigger::Sweep] {
            let evidence = FakeEvidence::seen(Status::Starting);
            assert_eq!(judged(&evidence, trigger), Judgement::alive(Reason::Unasked));
        }
    }

    #[test]
    fn every_restart_is_admitted() {
        let evidence = FakeEvidence { restart_count: Ok(99), ..FakeEvidence::default() };
        let ruling = TrustTheProbe::default().admit(&evidence, RestartCause::DeadVerdict);
        assert_eq!(ruling, Ruling::admit(Reason::Always));
    }
}
