//! What `willfarrell/autoheal` does: whatever Docker calls unhealthy is restarted.
//!
//! The README of this folder cites the sources and says what the contract cannot
//! say of them.

#![cfg_attr(target_arch = "wasm32", no_std)]

use reprieve_policy::{
    Attempt, Description, Evidence, Health, Judgement, Millis, Policy, RestartCause, Ruling,
    Status, Trigger,
};

reprieve_policy::settings! {
    /// Settings of docker-autoheal: environment variables of the original.
    pub struct DockerAutoheal {
        /// `AUTOHEAL_INTERVAL`: the list of unhealthy containers is asked for so often.
        pub interval: Millis = "5s" in "1s"..="2min",
        /// `AUTOHEAL_START_PERIOD`: for so long after a life began nothing is done.
        pub start_period: Millis = "0s" in "0s"..="1h",
    }
}

reprieve_policy::reasons! {
    /// Why docker-autoheal rules as it does.
    pub enum Reason {
        /// It is not in the list of unhealthy containers: more than that is not looked at.
        NotListed = "not-listed",
        /// It is unhealthy and waits for the next pass over the list.
        UnhealthyUntilNextPass = "unhealthy-until-next-pass",
        /// It was unhealthy at the pass over the list.
        Unhealthy = "unhealthy",
        /// It is unhealthy, but the runtime restarts it already.
        Restarting = "restarting",
        /// A life began less than `start_period` ago.
        StartPeriod = "start-period",
        /// The runtime cannot be asked for the list.
        Unseen = "unseen",
        /// Every restart is admitted.
        Always = "always",
    }
}

impl DockerAutoheal {
    fn starts(&self, evidence: &impl Evidence) -> bool {
        self.start_period > Millis::ZERO
            && matches!(evidence.current_life().map(|life| life.began),
                Ok(Some(began)) if began < self.start_period)
    }
}

impl Policy for DockerAutoheal {
    type Reason = Reason;

    const DESCRIPTION: Description = Description {
        name: "docker-autoheal",
        version: env!("CARGO_PKG_VERSION"),
        summary: "willfarrell/autoheal: what Docker calls unhealthy is restarted, nothing else.",
    };

    fn judge(&self, evidence: &impl Evidence, _: Trigger, attempt: Attempt) -> Judgement<Reason> {
        if self.starts(evidence) {
            return Judgement::alive(Reason::StartPeriod);
        }
        let Ok(sighting) = evidence.look() else {
            return Judgement::alive(Reason::Unseen);
        };
        let unhealthy = match sighting.health {
            Some(Health::Unhealthy) => true,
            Some(Health::Starting | Health::Healthy) | None => false,
        };
        match sighting.status {
            Status::Restarting if unhealthy => Judgement::alive(Reason::Restarting),
            Status::Running | Status::Paused if unhealthy && attempt.is_first() => {
                // Whoever falls ill waits for half an interval in the mean.
                Judgement::recheck(Millis(self.interval.0 / 2), Reason::UnhealthyUntilNextPass)
            }
            Status::Running | Status::Paused if unhealthy => Judgement::dead(Reason::Unhealthy),
            // The list is of running containers.
            Status::Running
            | Status::Paused
            | Status::Restarting
            | Status::Starting
            | Status::Stopped
            | Status::Missing => Judgement::alive(Reason::NotListed),
        }
    }

    fn admit(&self, _: &impl Evidence, _: RestartCause) -> Ruling<Reason> {
        Ruling::admit(Reason::Always)
    }
}

reprieve_policy::export!(DockerAutoheal);

#[cfg(test)]
mod tests {
    use reprieve_policy::{FakeEvidence, FromSettings as _, ProbeFault, Sighting};

    use super::*;

    fn seen(status: Status, health: Option<Health>) -> FakeEvidence {
        let look = Ok(Sighting { health, ..Sighting::bare(status) });
        FakeEvidence { look, ..FakeEvidence::default() }
    }

    fn judged(evidence: &FakeEvidence, attempt: Attempt) -> Judgement<Reason> {
        DockerAutoheal::default().judge(evidence, Trigger::Unhealthy, attempt)
    }

    #[test]
    fn what_is_unhealthy_at_the_next_pass_is_restarted() {
        let unhealthy = || seen(Status::Running, Some(Health::Unhealthy));
        let waits = Judgement::recheck(Millis(2_500), Reason::UnhealthyUntilNextPass);
        assert_eq!(judged(&unhealthy(), Attempt::FIRST), waits);
        // A heartbeat, however young, is nothing that it knows of.
        let beating = unhealthy().beat(Millis(1));
        assert_eq!(judged(&beating, Attempt::nth(1)), Judgement::dead(Reason::Unhealthy));
    }

    #[test]
    fn whatever_is_not_unhealthy_is_left_alone_dead_or_alive() {
        let not_listed = Judgement::alive(Reason::NotListed);
        for (status, health, expected) in [
            (Status::Running, Some(Health::Healthy), not_listed),
            (Status::Running, Some(Health::Starting), not_listed),
            (Status::Running, None, not_listed),
            (Status::Stopped, Some(Health::Unhealthy), not_listed),
            (Status::Missing, None, not_listed),
            (Status::Starting, None, not_listed),
            (Status::Restarting, None, not_listed),
            (Status::Restarting, Some(Health::Unhealthy), Judgement::alive(Reason::Restarting)),
            (Status::Paused, Some(Health::Unhealthy), Judgement::dead(Reason::Unhealthy)),
        ] {
            let judgement = judged(&seen(status, health), Attempt::nth(1));
            assert_eq!(judgement, expected, "{status:?}, {health:?}");
        }
        let unseen = FakeEvidence::unseen(ProbeFault::TimedOut);
        assert_eq!(judged(&unseen, Attempt::nth(1)), Judgement::alive(Reason::Unseen));
    }

    #[test]
    fn the_start_period_is_none_unless_it_is_set() {
        let young = || seen(Status::Running, Some(Health::Unhealthy)).began(Millis(59_999));
        assert_eq!(judged(&young(), Attempt::nth(1)), Judgement::dead(Reason::Unhealthy));
        let policy = DockerAutoheal::open(r#"{"start_period": "1min"}"#).expect("settings");
        let judgement = policy.judge(&young(), Trigger::Unhealthy, Attempt::nth(1));
        assert_eq!(judgement, Judgement::alive(Reason::StartPeriod));
        let grown = young().began(Millis(60_000));
        let judgement = policy.judge(&grown, Trigger::Unhealthy, Attempt::nth(1));
        assert_eq!(judgement, Judgement::dead(Reason::Unhealthy));
    }

    #[test]
    fn there_is_no_backoff() {
        let restless = FakeEvidence::default().began(Millis(1)).restarted(99);
        let ruling = DockerAutoheal::default().admit(&restless, RestartCause::DeadVerdict);
        assert_eq!(ruling, Ruling::admit(Reason::Always));
    }
}
