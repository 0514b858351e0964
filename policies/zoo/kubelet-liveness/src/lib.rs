//! What the kubelet does: liveness and startup probes, and `CrashLoopBackOff`.
//!
//! The README of this folder cites the sources and says what the contract cannot
//! say of them.

#![cfg_attr(target_arch = "wasm32", no_std)]

use reprieve_policy::{
    Attempt, Description, Evidence, Health, Judgement, Life, Millis, Policy, RestartCause, Ruling,
    Sighting, Status, Trigger,
};
use reprieve_zoo::{
    SHORTEST_BUSY,
    backoff::{doubled, restarts_in_a_row},
    is_over,
    notes::{Mark, Marks, forget},
    signs::{self, Sign},
};

#[cfg(test)]
mod tests;

reprieve_policy::settings! {
    /// Settings of kubelet-liveness. Where nothing else is said they are fields of a Pod's
    /// probes, or constants of the kubelet, with their defaults.
    pub struct KubeletLiveness {
        /// `periodSeconds`: a probe is sent so often.
        pub period: Millis = "10s" in "1s"..="1h",
        /// `failureThreshold`: after so many failed liveness probes in a row the container is
        /// killed.
        pub failure_threshold: u32 = 3 in 1..=100,
        /// `failureThreshold` of the startup probe: a container that gave no sign for so many
        /// periods is killed. 0: there is no startup probe.
        pub startup_failure_threshold: u32 = 30 in 0..=1000,
        /// Not the kubelet's: a sign of life at most this old answers a probe.
        pub sign_window: Millis = "45s" in "1s"..="1h",
        /// The second restart in a row waits so long, and each one after it twice as long.
        pub backoff: Millis = "10s" in "100ms"..="1h",
        /// A restart waits at most so long.
        pub backoff_max: Millis = "5min" in "100ms"..="1h",
        /// A container that ran for so long is restarted at once.
        pub backoff_reset: Millis = "10min" in "1s"..="24h",
    }
    where backoff <= backoff_max
}

reprieve_policy::reasons! {
    /// Why kubelet-liveness rules as it does.
    pub enum Reason {
        /// The newest sign of life answers the liveness probe, or the runtime's own health
        /// check does.
        Live = "live",
        /// It never gave a sign and has no health check: a container without a probe.
        Unprobed = "unprobed",
        /// A restart is being carried out at this moment.
        InFlight = "in-flight",
        /// The runtime is creating it or restarting it.
        Creating = "creating",
        /// The startup probe has not succeeded yet; there are no liveness probes until then.
        StartingUp = "starting-up",
        /// The startup probe failed for `startup_failure_threshold` periods.
        StartupFailed = "startup-failed",
        /// Liveness probes failed, fewer in a row than `failure_threshold`.
        LivenessFailing = "liveness-failing",
        /// `failure_threshold` liveness probes failed in a row.
        LivenessFailed = "liveness-failed",
        /// The container ended; `restartPolicy` is Always.
        Exited = "exited",
        /// The runtime cannot be asked: the kubelet throws such a result away.
        Unseen = "unseen",
        /// A store of the host cannot be read, so nothing can be counted.
        StoreFault = "store-fault",
        /// The restart may begin: it is the first in a row, or has waited.
        Admitted = "admitted",
        /// Restarts follow each other: this one waits.
        CrashLoopBackOff = "crash-loop-back-off",
        /// Somebody else than a verdict wants the restart: the kubelet does as it is told.
        Wanted = "wanted",
    }
}

const MARKS: Marks = Marks::of(b'k');
/// Probes that lie further apart than this many periods are not in a row: the
/// kubelet was away, and it counts in memory.
const AWAY_PERIODS: u64 = 3;
/// Doublings from 100 ms to the longest wait that can be set, and one to spare.
const MOST_RESTARTS: u32 = 18;

impl Policy for KubeletLiveness {
    type Reason = Reason;

    const DESCRIPTION: Description = Description {
        name: "kubelet-liveness",
        version: env!("CARGO_PKG_VERSION"),
        summary: "The kubelet: three failed probes are a death, whatever exits is restarted.",
    };

    fn judge(&self, evidence: &impl Evidence, _: Trigger, _: Attempt) -> Judgement<Reason> {
        let Ok(life) = evidence.current_life() else {
            return Judgement::busy(self.period, Reason::StoreFault);
        };
        if life.in_flight {
            return Judgement::busy(self.period, Reason::InFlight);
        }
        let Ok(sighting) = evidence.look() else {
            return Judgement::alive(Reason::Unseen);
        };
        match sighting.status {
            Status::Starting | Status::Restarting => Judgement::busy(self.period, Reason::Creating),
            // The interface of container runtimes knows no paused container.
            Status::Running | Status::Paused => self.probe(evidence, life, sighting),
            Status::Stopped | Status::Missing => killed(evidence, life, Reason::Exited),
        }
    }

    fn admit(&self, evidence: &impl Evidence, cause: RestartCause) -> Ruling<Reason> {
        match cause {
            RestartCause::DeadVerdict => self.back_off(evidence),
            RestartCause::Operator
            | RestartCause::SettingsChanged
            | RestartCause::Wake
            | RestartCause::Dependency => Ruling::admit(Reason::Wanted),
        }
    }

    fn silence_limit(&self) -> Option<Millis> {
        Some(self.sign_window)
    }
}

impl KubeletLiveness {
    fn probe(&self, evidence: &impl Evidence, life: Life, sighting: Sighting) -> Judgement<Reason> {
        match sighting.health {
            Some(Health::Healthy) => return live(evidence),
            // It has counted its own failures in a row.
            Some(Health::Unhealthy) => return killed(evidence, life, Reason::LivenessFailed),
            Some(Health::Starting) => return self.starting_up(evidence, life, sighting),
            None => {}
        }
        match signs::newest(evidence) {
            Err(_) => Judgement::busy(self.period, Reason::StoreFault),
            Ok(Sign::Never) => Judgement::alive(Reason::Unprobed),
            Ok(Sign::Given(age)) if age <= self.sign_window => live(evidence),
            Ok(Sign::Given(_)) => self.failed_probe(evidence, life),
            Ok(Sign::Awaited) => self.starting_up(evidence, life, sighting),
        }
    }

    fn starting_up(
        &self,
        evidence: &impl Evidence,
        life: Life,
        sighting: Sighting,
    ) -> Judgement<Reason> {
        if self.startup_failure_threshold == 0 {
            return self.failed_probe(evidence, life);
        }
        let Some(age) = life.began.or(sighting.uptime) else {
            return Judgement::alive(Reason::Unprobed);
        };
        let limit = self.period.0.saturating_mul(self.startup_failure_threshold.into());
        let remaining = Millis(limit).saturating_sub(age);
        if remaining == Millis::ZERO {
            return killed(evidence, life, Reason::StartupFailed);
        }
        Judgement::busy(self.period.min(remaining).max(SHORTEST_BUSY), Reason::StartingUp)
    }

    /// Counts a failed liveness probe, one in each period however often it is asked.
    fn failed_probe(&self, evidence: &impl Evidence, life: Life) -> Judgement<Reason> {
        let Ok(mark) = MARKS.read(evidence, life) else {
            return Judgement::busy(self.period, Reason::StoreFault);
        };
        let away = Millis(self.period.0.saturating_mul(AWAY_PERIODS));
        let failures = match mark {
            Some((Mark::Dead, _)) => return Judgement::dead(Reason::LivenessFailed),
            Some((Mark::Failing(_), age)) if !is_over(age, self.period) => {
                let next = self.period.saturating_sub(age).max(SHORTEST_BUSY);
                return Judgement::busy(next, Reason::LivenessFailing);
            }
            Some((Mark::Failing(failures), age)) if age <= away => failures.saturating_add(1),
            Some((Mark::Failing(_), _)) | None => 1,
        };
        if u32::from(failures) >= self.failure_threshold {
            return killed(evidence, life, Reason::LivenessFailed);
        }
        MARKS.failing(evidence, failures);
        Judgement::busy(self.period, Reason::LivenessFailing)
    }

    /// Waits are counted from the end of the container, and the row of restarts ends
    /// with a container that lived for `backoff_reset`.
    fn back_off(&self, evidence: &impl Evidence) -> Ruling<Reason> {
        let Ok(life) = evidence.current_life() else {
            return Ruling::defer(self.backoff, Reason::StoreFault);
        };
        let Some(began) = life.began else { return Ruling::admit(Reason::Admitted) };
        let since_dead = MARKS.since_dead(evidence, life);
        if began.saturating_sub(since_dead) > self.backoff_reset {
            return Ruling::admit(Reason::Admitted);
        }
        let row = restarts_in_a_row(evidence, began, self.backoff_reset, MOST_RESTARTS);
        let wait = match row {
            Err(_) => return Ruling::defer(self.backoff, Reason::StoreFault),
            Ok(0) => Millis::ZERO,
            Ok(restarts) => doubled(self.backoff, restarts - 1, self.backoff_max),
        };
        if is_over(since_dead, wait) {
            return Ruling::admit(Reason::Admitted);
        }
        Ruling::defer(wait.saturating_sub(since_dead), Reason::CrashLoopBackOff)
    }
}

fn live(evidence: &impl Evidence) -> Judgement<Reason> {
    forget(evidence);
    Judgement::alive(Reason::Live)
}

/// Dead, and marked, so that the wait before the restart counts from here.
fn killed(evidence: &impl Evidence, life: Life, reason: Reason) -> Judgement<Reason> {
    MARKS.dead(evidence, life);
    Judgement::dead(reason)
}

reprieve_policy::export!(KubeletLiveness);
