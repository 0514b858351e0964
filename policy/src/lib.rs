//! The default policy (first cut; the rules follow).

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::vec::Vec;

use reprieve_policy::{
    Attempt, Description, Evidence, Judgement, Millis, Policy, Problem, RestartCause, Ruling,
    Trigger,
};

reprieve_policy::reasons! {
    /// Why the default policy rules as it does.
    pub enum Reason {
        /// The workspace runs.
        Running = "running",
        /// A restart began less than `settle` ago.
        SettleWindow = "settle-window",
        /// The probe failed: that says something about the host's eyes, not about the workspace.
        ProbeFault = "probe-fault",
        /// The workspace does not run.
        NotRunning = "not-running",
        /// Admitted.
        Admitted = "admitted",
    }
}

#[derive(Debug)]
pub struct DefaultPolicy;

impl Policy for DefaultPolicy {
    type Reason = Reason;
    const DESCRIPTION: Description = Description {
        name: "default",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Restarts what is dead and never touches what may live.",
        settings_schema: "{}",
    };

    fn open(_settings: &str) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }

    fn judge(&self, evidence: &impl Evidence, _: Trigger, attempt: Attempt) -> Judgement<Reason> {
        use reprieve_policy::Status;
        let Ok(life) = evidence.current_life() else {
            return Judgement::busy(Millis::from_secs(30), Reason::SettleWindow);
        };
        if life.in_flight || life.began.is_some_and(|began| began < Millis::from_secs(60)) {
            return Judgement::busy(Millis::from_secs(30), Reason::SettleWindow);
        }
        match evidence.look() {
            Err(_) => Judgement::alive(Reason::ProbeFault),
            Ok(sighting) => match sighting.status {
                Status::Running | Status::Paused => Judgement::alive(Reason::Running),
                Status::Starting | Status::Restarting => {
                    Judgement::busy(Millis::from_secs(30), Reason::NotRunning)
                }
                Status::Stopped | Status::Missing if attempt.is_first() => {
                    Judgement::recheck(Millis::from_secs(2), Reason::NotRunning)
                }
                Status::Stopped | Status::Missing => Judgement::dead(Reason::NotRunning),
            },
        }
    }

    fn admit(&self, _: &impl Evidence, _: RestartCause) -> Ruling<Reason> {
        Ruling::admit(Reason::Admitted)
    }

    fn silence_limit(&self) -> Option<Millis> {
        Some(Millis::from_secs(180))
    }
}

#[cfg(target_arch = "wasm32")]
reprieve_policy::export!(DefaultPolicy);
