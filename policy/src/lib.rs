//! The default policy: restarts what is dead and touches nothing that may live.
//!
//! Everything here is a pure function of its evidence: nothing reads a clock,
//! keeps a state or can fail. The kit's shell makes it a component.
//!
//! - [`Settings`]: what can be tuned, with defaults and ranges; with the rules, it
//!   is the policy
//! - [`Reason`]: every reason that it gives
//! - `judge`: dead, or not? `signs` weighs what the workspace itself gave,
//!   `eyes` whether the host can trust what it sees
//! - `admit`: may a restart begin?

#![cfg_attr(target_arch = "wasm32", no_std)]

use reprieve_policy::{
    Attempt, Description, Evidence, Judgement, Millis, Policy, RestartCause, Ruling, Trigger,
};

mod admit;
mod eyes;
mod judge;
mod reason;
mod settings;
mod signs;

pub use reason::Reason;
pub use settings::Settings;

impl Policy for Settings {
    type Reason = Reason;

    const DESCRIPTION: Description = Description {
        name: "default",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Restarts what is dead and touches nothing that may live.",
    };

    fn judge(
        &self,
        evidence: &impl Evidence,
        trigger: Trigger,
        attempt: Attempt,
    ) -> Judgement<Reason> {
        judge::judge(self, evidence, trigger, attempt)
    }

    fn admit(&self, evidence: &impl Evidence, cause: RestartCause) -> Ruling<Reason> {
        admit::admit(self, evidence, cause)
    }

    fn silence_limit(&self) -> Option<Millis> {
        Some(self.liveness_ttl)
    }
}

reprieve_policy::export!(Settings);
