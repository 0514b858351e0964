//! Restarts nobody by itself: what a host costs alone, and a way to take its hands
//! off a fleet.

#![cfg_attr(target_arch = "wasm32", no_std)]

use reprieve_policy::{
    Attempt, Description, Evidence, Judgement, Policy, RestartCause, Ruling, Trigger,
};

reprieve_policy::settings! {
    /// Settings of do-nothing: there are none.
    pub struct DoNothing {}
}

reprieve_policy::reasons! {
    /// Why do-nothing rules as it does.
    pub enum Reason {
        /// This policy judges nobody: everybody is called alive.
        Unjudged = "unjudged",
        /// Somebody else than a verdict wants the restart.
        Wanted = "wanted",
        /// A restart that a verdict wants is not this policy's.
        Unwanted = "unwanted",
    }
}

impl Policy for DoNothing {
    type Reason = Reason;

    const DESCRIPTION: Description = Description {
        name: "do-nothing",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Restarts nobody by itself.",
    };

    fn judge(&self, _: &impl Evidence, _: Trigger, _: Attempt) -> Judgement<Reason> {
        Judgement::alive(Reason::Unjudged)
    }

    fn admit(&self, _: &impl Evidence, cause: RestartCause) -> Ruling<Reason> {
        match cause {
            // Of an incident that the policy before began.
            RestartCause::DeadVerdict => Ruling::drop(Reason::Unwanted),
            RestartCause::Operator
            | RestartCause::SettingsChanged
            | RestartCause::Wake
            | RestartCause::Dependency => Ruling::admit(Reason::Wanted),
        }
    }
}

reprieve_policy::export!(DoNothing);

#[cfg(test)]
mod tests {
    use reprieve_policy::{FakeEvidence, ForwardFailure, Status};

    use super::*;

    #[test]
    fn nobody_is_restarted_for_looking_dead() {
        let policy = DoNothing::default();
        let gone = FakeEvidence::seen(Status::Missing);
        let trigger = Trigger::ForwardFailed(ForwardFailure::Refused);
        let judged = policy.judge(&gone, trigger, Attempt::nth(3));
        assert_eq!(judged, Judgement::alive(Reason::Unjudged));
        let ruled = policy.admit(&gone, RestartCause::DeadVerdict);
        assert_eq!(ruled, Ruling::drop(Reason::Unwanted));
        assert!(gone.asked().is_empty(), "nothing is asked");
        let wanted = policy.admit(&gone, RestartCause::Operator);
        assert_eq!(wanted, Ruling::admit(Reason::Wanted));
    }
}
