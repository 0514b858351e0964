//! The default policy: restarts what is dead and touches nothing that may live.
//!
//! Everything here is a pure function of its evidence: nothing reads a clock,
//! keeps a state or can fail. The kit's shell makes it a component.
//!
//! - [`Settings`]: what can be tuned, with defaults and ranges
//! - [`Reason`]: every reason that it gives
//! - `judge`: dead, or not? `signs` weighs what the workspace itself gave,
//!   `eyes` whether the host can trust what it sees
//! - `admit`: may a restart begin?

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::vec::Vec;

use reprieve_policy::{
    Attempt, Description, Evidence, Judgement, Millis, Policy, Problem, RestartCause, Ruling,
    Trigger,
};

mod admit;
mod eyes;
mod judge;
mod reason;
mod settings;
mod signs;

pub use reason::Reason;
pub use settings::Settings;

/// The default policy with one set of settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultPolicy {
    settings: Settings,
}

impl Policy for DefaultPolicy {
    type Reason = Reason;

    const DESCRIPTION: Description = Description {
        name: "default",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Restarts what is dead and touches nothing that may live.",
        settings_schema: include_str!("../settings.schema.json"),
    };

    fn open(settings: &str) -> Result<Self, Vec<Problem>> {
        Settings::parse(settings).map(|settings| Self { settings })
    }

    fn judge(
        &self,
        evidence: &impl Evidence,
        trigger: Trigger,
        attempt: Attempt,
    ) -> Judgement<Reason> {
        judge::judge(&self.settings, evidence, trigger, attempt)
    }

    fn admit(&self, evidence: &impl Evidence, cause: RestartCause) -> Ruling<Reason> {
        admit::admit(&self.settings, evidence, cause)
    }

    fn silence_limit(&self) -> Option<Millis> {
        Some(self.settings.liveness_ttl)
    }
}

reprieve_policy::export!(DefaultPolicy);
