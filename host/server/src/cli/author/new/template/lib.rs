//! The policy `{{name}}`: restarts what is seen not running twice, unless it gave a
//! sign of life a moment ago.

#![cfg_attr(target_arch = "wasm32", no_std)]

use reprieve_policy::{
    Attempt, Description, Evidence, Judgement, Millis, Policy, RestartCause, Ruling, Status,
    Trigger,
};

reprieve_policy::settings! {
    /// Settings of {{name}}.
    pub struct Settings {
        /// What beat this recently is not judged by its runtime.
        pub recent_beat: Millis = "15s" in "1s"..="10min",
        /// After what looks like death, the runtime is asked again after so long.
        pub reprobe_delay: Millis = "2s" in "10ms"..="1min",
    }
}

reprieve_policy::reasons! {
    /// Why it rules as it does. The sentences are read by people on call.
    pub enum Reason {
        /// A restart is being carried out at this moment.
        InFlight = "in-flight",
        /// The host cannot read its store: nobody is touched without it.
        StoreFault = "store-fault",
        /// The probe failed: that tells about the host's eyes, not about the workspace.
        ProbeFault = "probe-fault",
        /// The runtime says that it runs, or that somebody paused it.
        Running = "running",
        /// The runtime is bringing it up.
        ComingUp = "coming-up",
        /// The runtime says that it does not run, but it beat within `recent_beat`.
        RecentBeat = "recent-beat",
        /// The runtime says that it does not run; it is asked again after `reprobe_delay`.
        NotRunning = "not-running",
        /// The runtime said so again at the second look.
        StillNotRunning = "still-not-running",
        /// Nothing speaks against the restart.
        Admitted = "admitted",
    }
}

/// Told to callers, and after so long the host asks again.
const RETRY_AFTER: Millis = Millis::from_secs(30);

impl Policy for Settings {
    type Reason = Reason;

    const DESCRIPTION: Description = Description {
        name: "{{name}}",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Restarts what is seen not running twice and has not beaten a moment ago.",
    };

    fn judge(&self, evidence: &impl Evidence, _: Trigger, attempt: Attempt) -> Judgement<Reason> {
        match evidence.current_life() {
            Err(_) => return Judgement::busy(RETRY_AFTER, Reason::StoreFault),
            Ok(life) if life.in_flight => return Judgement::busy(RETRY_AFTER, Reason::InFlight),
            Ok(_) => {}
        }
        // A probe costs the host a round trip: it is asked only here.
        let Ok(sighting) = evidence.look() else {
            return Judgement::alive(Reason::ProbeFault);
        };
        match sighting.status {
            Status::Running | Status::Paused => return Judgement::alive(Reason::Running),
            Status::Starting | Status::Restarting => {
                return Judgement::busy(RETRY_AFTER, Reason::ComingUp);
            }
            Status::Stopped | Status::Missing => {}
        }
        match evidence.newest_beat() {
            Err(_) => Judgement::busy(RETRY_AFTER, Reason::StoreFault),
            Ok(Some(beat)) if beat.this_life && beat.age <= self.recent_beat => {
                Judgement::busy(RETRY_AFTER, Reason::RecentBeat)
            }
            Ok(_) if attempt.is_first() => {
                Judgement::recheck(self.reprobe_delay, Reason::NotRunning)
            }
            Ok(_) => Judgement::dead(Reason::StillNotRunning),
        }
    }

    fn admit(&self, evidence: &impl Evidence, _: RestartCause) -> Ruling<Reason> {
        match evidence.current_life() {
            Err(_) => Ruling::defer(RETRY_AFTER, Reason::StoreFault),
            Ok(life) if life.in_flight => Ruling::drop(Reason::InFlight),
            Ok(_) => Ruling::admit(Reason::Admitted),
        }
    }
}

reprieve_policy::export!(Settings);

#[cfg(test)]
mod tests {
    use reprieve_policy::{FakeEvidence, FromSettings as _, ProbeFault};

    use super::*;

    fn judged(evidence: &FakeEvidence, attempt: Attempt) -> Judgement<Reason> {
        let policy = Settings::open(r#"{"recent_beat": "10s"}"#).expect("settings");
        policy.judge(evidence, Trigger::Sweep, attempt)
    }

    #[test]
    fn a_failed_probe_is_no_death() {
        let unseen = FakeEvidence::unseen(ProbeFault::TimedOut);
        assert_eq!(judged(&unseen, Attempt::nth(1)), Judgement::alive(Reason::ProbeFault));
    }

    #[test]
    fn what_beat_a_moment_ago_is_alive_whatever_the_runtime_says() {
        for (age_s, expected) in [
            (10, Judgement::busy(RETRY_AFTER, Reason::RecentBeat)),
            (11, Judgement::dead(Reason::StillNotRunning)),
        ] {
            let evidence = FakeEvidence::seen(Status::Stopped).beat(Millis::from_secs(age_s));
            assert_eq!(judged(&evidence, Attempt::nth(1)), expected, "{age_s} s");
        }
    }
}
