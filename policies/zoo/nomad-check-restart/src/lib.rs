//! What Nomad does: `check_restart` restarts a task whose check stays unhealthy,
//! `restart` says how often and after what delay.
//!
//! The README of this folder cites the sources and says what the contract cannot
//! say of them.

#![cfg_attr(target_arch = "wasm32", no_std)]

use reprieve_policy::{
    Attempt, Description, Evidence, Health, Judgement, Life, Millis, Policy, RestartCause, Ruling,
    Sighting, Status, StoreFault, Trigger,
};
use reprieve_zoo::{
    SHORTEST_BUSY, is_over,
    notes::{Mark, Marks, forget},
    signs::{self, Sign},
};

#[cfg(test)]
mod tests;

reprieve_policy::settings! {
    /// Settings of nomad-check-restart: of the blocks `check`, `check_restart` and `restart` of a
    /// job, for a service.
    pub struct NomadCheckRestart {
        /// `check_restart.limit`: a check that fails so many times in a row restarts the task.
        /// 0, which is Nomad's default, switches it off; 3 is the example of its documentation.
        pub limit: u32 = 3 in 0..=1000,
        /// `check.interval`, which has no default; this is the example's.
        pub check_interval: Millis = "10s" in "1s"..="1h",
        /// `check_restart.grace`: for so long after a task started, failures do not count.
        pub grace: Millis = "1s" in "0s"..="24h",
        /// `check_restart.ignore_warnings`: a check that warns has passed.
        pub ignore_warnings: bool = false,
        /// Not Nomad's: a sign of life at most this old passes the check.
        pub sign_window: Millis = "45s" in "1s"..="1h",
        /// `restart.attempts`: so many restarts within `interval`.
        pub attempts: u32 = 2 in 0..=1000,
        /// `restart.interval`.
        pub interval: Millis = "30min" in "5s"..="24h",
        /// `restart.delay`: a restart waits so long, and up to a quarter longer.
        pub delay: Millis = "15s" in "100ms"..="30min",
        /// `restart.mode`: beyond `attempts` the restart waits ("delay"). If not, it does not
        /// happen ("fail", Nomad's default).
        pub mode_delay: bool = false,
    }
}

reprieve_policy::reasons! {
    /// Why nomad-check-restart rules as it does.
    pub enum Reason {
        /// The check passes.
        Passing = "passing",
        /// There is no check: `limit` is 0, or it never gave a sign.
        Unchecked = "unchecked",
        /// The task started less than `grace` ago.
        Grace = "grace",
        /// The check fails, not for long enough.
        CheckFailing = "check-failing",
        /// The check failed `limit` times in a row.
        CheckFailed = "check-failed",
        /// The task ended.
        TaskEnded = "task-ended",
        /// The task is being started.
        Pending = "pending",
        /// A restart is being carried out at this moment.
        InFlight = "in-flight",
        /// The checks cannot be asked for: nothing is counted.
        Unseen = "unseen",
        /// A store of the host cannot be read.
        StoreFault = "store-fault",
        /// The restart is within the policy and has waited for `delay`.
        WithinPolicy = "within-policy",
        /// The restart waits for `delay`.
        Delay = "delay",
        /// `attempts` restarts began within `interval`, and the mode is "fail".
        ExceededAttempts = "exceeded-attempts",
        /// `attempts` restarts began within `interval`, and the mode is "delay".
        AppliedDelay = "applied-delay",
        /// Somebody else than a verdict wants the restart.
        Wanted = "wanted",
    }
}

const MARKS: Marks = Marks::of(b'n');

/// What Consul would call the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Passing,
    Warning,
    Critical,
    None,
}

impl Policy for NomadCheckRestart {
    type Reason = Reason;

    const DESCRIPTION: Description = Description {
        name: "nomad-check-restart",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Nomad: a check that stays unhealthy restarts the task, twice in half an hour.",
    };

    fn judge(&self, evidence: &impl Evidence, _: Trigger, _: Attempt) -> Judgement<Reason> {
        let Ok(life) = evidence.current_life() else {
            return Judgement::busy(self.check_interval, Reason::StoreFault);
        };
        if life.in_flight {
            return Judgement::busy(self.check_interval, Reason::InFlight);
        }
        let Ok(sighting) = evidence.look() else {
            return Judgement::alive(Reason::Unseen);
        };
        match sighting.status {
            Status::Starting | Status::Restarting => {
                Judgement::busy(self.check_interval, Reason::Pending)
            }
            Status::Running | Status::Paused if self.limit == 0 => {
                Judgement::alive(Reason::Unchecked)
            }
            Status::Running | Status::Paused => match self.check(evidence, sighting) {
                Err(_) => Judgement::busy(self.check_interval, Reason::StoreFault),
                Ok(check) => self.watch(evidence, life, check),
            },
            Status::Stopped | Status::Missing => {
                MARKS.dead(evidence, life);
                Judgement::dead(Reason::TaskEnded)
            }
        }
    }

    fn admit(&self, evidence: &impl Evidence, cause: RestartCause) -> Ruling<Reason> {
        match cause {
            RestartCause::DeadVerdict => self.restart(evidence),
            RestartCause::Operator
            | RestartCause::SettingsChanged
            | RestartCause::Wake
            | RestartCause::Dependency => Ruling::admit(Reason::Wanted),
        }
    }

    fn silence_limit(&self) -> Option<Millis> {
        (self.limit > 0).then_some(self.sign_window)
    }
}

impl NomadCheckRestart {
    fn check(&self, evidence: &impl Evidence, sighting: Sighting) -> Result<Check, StoreFault> {
        let sign = signs::newest(evidence)?;
        let recent = matches!(sign, Sign::Given(age) if age <= self.sign_window);
        Ok(match (sighting.health, sign) {
            (Some(Health::Unhealthy), _) => Check::Critical,
            (Some(Health::Healthy), Sign::Given(_)) if !recent => Check::Warning,
            (Some(Health::Healthy), _) => Check::Passing,
            (None, Sign::Never) => Check::None,
            (Some(Health::Starting) | None, _) if recent => Check::Passing,
            // Consul's checks begin as critical.
            (Some(Health::Starting) | None, _) => Check::Critical,
        })
    }

    fn watch(&self, evidence: &impl Evidence, life: Life, check: Check) -> Judgement<Reason> {
        let reason = match check {
            Check::Critical => Reason::CheckFailing,
            Check::Warning if !self.ignore_warnings => Reason::CheckFailing,
            Check::Warning | Check::Passing => Reason::Passing,
            Check::None => Reason::Unchecked,
        };
        if reason != Reason::CheckFailing {
            forget(evidence);
            return Judgement::alive(reason);
        }
        if let Some(began) = life.began
            && began < self.grace
        {
            forget(evidence);
            let rest = self.grace.saturating_sub(began).max(SHORTEST_BUSY);
            return Judgement::busy(rest, Reason::Grace);
        }
        self.unhealthy(evidence, life)
    }

    /// The mark is written at the first failure, so its age is how long the check
    /// has failed.
    fn unhealthy(&self, evidence: &impl Evidence, life: Life) -> Judgement<Reason> {
        let failing_for = match MARKS.read(evidence, life) {
            Err(_) => return Judgement::busy(self.check_interval, Reason::StoreFault),
            Ok(Some((Mark::Dead, _))) => return Judgement::dead(Reason::CheckFailed),
            Ok(Some((Mark::Failing(_), age))) => Some(age),
            Ok(None) => None,
        };
        let further_failures = u64::from(self.limit.saturating_sub(1));
        let limit = Millis(self.check_interval.0.saturating_mul(further_failures));
        if is_over(failing_for.unwrap_or_default(), limit) {
            MARKS.dead(evidence, life);
            return Judgement::dead(Reason::CheckFailed);
        }
        if failing_for.is_none() {
            MARKS.failing(evidence, 1);
        }
        let rest = limit.saturating_sub(failing_for.unwrap_or_default());
        let next = self.check_interval.min(rest).max(SHORTEST_BUSY);
        Judgement::busy(next, Reason::CheckFailing)
    }

    fn restart(&self, evidence: &impl Evidence) -> Ruling<Reason> {
        let (Ok(life), Ok(restarts)) =
            (evidence.current_life(), evidence.restart_count(self.interval))
        else {
            return Ruling::defer(self.delay, Reason::StoreFault);
        };
        if restarts >= self.attempts {
            return if self.mode_delay && self.attempts > 0 {
                Ruling::defer(self.delay, Reason::AppliedDelay)
            } else {
                Ruling::drop(Reason::ExceededAttempts)
            };
        }
        let since_dead = MARKS.since_dead(evidence, life);
        if is_over(since_dead, self.delay) {
            return Ruling::admit(Reason::WithinPolicy);
        }
        // Up to a quarter is added at random: an eighth in the mean, around which the
        // host spreads it.
        let wait = self.delay.saturating_add(Millis(self.delay.0 / 8));
        Ruling::defer(wait.saturating_sub(since_dead), Reason::Delay)
    }
}

reprieve_policy::export!(NomadCheckRestart);
