//! The policy `second-look` in Rust: restarts what is seen not running twice.
//!
//! It is the twin of `../../c/policy.c` and `../../javascript/policy.js`, and rules
//! every row of `../../judgements.toml` as they do.

#![cfg_attr(target_arch = "wasm32", no_std)]

use reprieve_policy::{
    Attempt, Description, Evidence, Judgement, Millis, Policy, RestartCause, Ruling, Status,
    Trigger,
};

reprieve_policy::settings! {
    /// Settings of second-look.
    pub struct SecondLook {
        /// After what looks like death, the runtime is asked again after so long.
        pub reprobe_delay: Millis = "2s" in "10ms"..="1min",
    }
}

reprieve_policy::reasons! {
    /// Why second-look rules as it does.
    pub enum Reason {
        /// The runtime says that it runs.
        Running = "running",
        /// It is paused: somebody wanted that.
        Paused = "paused",
        /// The runtime is bringing it up.
        ComingUp = "coming-up",
        /// A restart is being carried out at this moment.
        InFlight = "in-flight",
        /// The probe failed: that tells about the host's eyes, not about the workspace.
        ProbeFault = "probe-fault",
        /// The host cannot say whether a restart is under way: nobody is touched without that.
        StoreFault = "store-fault",
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
/// A restart that cannot be ruled on waits so long.
const STORE_RETRY: Millis = Millis::from_secs(10);

impl Policy for SecondLook {
    type Reason = Reason;

    const DESCRIPTION: Description = Description {
        name: "second-look-rust",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Restarts what is seen not running twice.",
    };

    fn judge(&self, evidence: &impl Evidence, _: Trigger, attempt: Attempt) -> Judgement<Reason> {
        match evidence.current_life() {
            Err(_) => return Judgement::busy(RETRY_AFTER, Reason::StoreFault),
            Ok(life) if life.in_flight => return Judgement::busy(RETRY_AFTER, Reason::InFlight),
            Ok(_) => {}
        }
        let sighting = match evidence.look() {
            Err(_) => return Judgement::alive(Reason::ProbeFault),
            Ok(sighting) => sighting,
        };
        match sighting.status {
            Status::Running => Judgement::alive(Reason::Running),
            Status::Paused => Judgement::alive(Reason::Paused),
            Status::Starting | Status::Restarting => Judgement::busy(RETRY_AFTER, Reason::ComingUp),
            Status::Stopped | Status::Missing if attempt.is_first() => {
                Judgement::recheck(self.reprobe_delay, Reason::NotRunning)
            }
            Status::Stopped | Status::Missing => Judgement::dead(Reason::StillNotRunning),
        }
    }

    fn admit(&self, evidence: &impl Evidence, _: RestartCause) -> Ruling<Reason> {
        match evidence.current_life() {
            Err(_) => Ruling::defer(STORE_RETRY, Reason::StoreFault),
            Ok(life) if life.in_flight => Ruling::drop(Reason::InFlight),
            Ok(_) => Ruling::admit(Reason::Admitted),
        }
    }
}

reprieve_policy::export!(SecondLook);
