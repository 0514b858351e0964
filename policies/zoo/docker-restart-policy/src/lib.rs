//! What dockerd does by `--restart always` or `unless-stopped`: it restarts what
//! exited, and never sees a hang.
//!
//! The README of this folder cites the sources and says what the contract cannot
//! say of them.

#![cfg_attr(target_arch = "wasm32", no_std)]

use reprieve_policy::{
    Attempt, Description, Evidence, Judgement, Millis, Policy, RestartCause, Ruling, Status,
    Trigger,
};
use reprieve_zoo::{
    SHORTEST_BUSY,
    backoff::{doubled, restarts_in_a_row},
    notes::{Marks, forget},
};

reprieve_policy::settings! {
    /// Settings of docker-restart-policy. The lengths are constants of dockerd.
    pub struct DockerRestartPolicy {
        /// `--restart on-failure`: a container that ended with exit code 0 stays down.
        pub on_failure: bool = false,
        /// A restart waits so long, and each one after it in a row twice as long.
        pub backoff: Millis = "100ms" in "100ms"..="1h",
        /// A restart waits at most so long.
        pub backoff_max: Millis = "1min" in "100ms"..="1h",
        /// A container that ran for so long begins the row anew.
        pub reset_after: Millis = "10s" in "1s"..="24h",
    }
    where backoff <= backoff_max
}

reprieve_policy::reasons! {
    /// Why docker-restart-policy rules as it does.
    pub enum Reason {
        /// The container has not ended: more than that is not looked at.
        NotExited = "not-exited",
        /// There is no such container: nobody makes it again.
        Removed = "removed",
        /// The container ended.
        Exited = "exited",
        /// It ended with exit code 0, and `on_failure` is set.
        EndedWell = "ended-well",
        /// A restart is being carried out at this moment, or the host cannot tell.
        InFlight = "in-flight",
        /// The runtime cannot be asked. dockerd is the runtime, and knows.
        Unseen = "unseen",
        /// The restart may begin: it has waited.
        Admitted = "admitted",
        /// The restart waits.
        Backoff = "backoff",
        /// The host's record of restarts cannot be read.
        StoreFault = "store-fault",
        /// Somebody else than a verdict wants the restart.
        Wanted = "wanted",
    }
}

const MARKS: Marks = Marks::of(b'r');
/// Doublings from 100 ms to the longest wait that can be set, and one to spare.
const MOST_RESTARTS: u32 = 17;

impl Policy for DockerRestartPolicy {
    type Reason = Reason;

    const DESCRIPTION: Description = Description {
        name: "docker-restart-policy",
        version: env!("CARGO_PKG_VERSION"),
        summary: "dockerd: what exited is restarted, what hangs is never seen.",
    };

    fn judge(&self, evidence: &impl Evidence, _: Trigger, _: Attempt) -> Judgement<Reason> {
        let life = match evidence.current_life() {
            Ok(life) if !life.in_flight => life,
            Ok(_) | Err(_) => return Judgement::busy(SHORTEST_BUSY, Reason::InFlight),
        };
        let Ok(sighting) = evidence.look() else {
            return Judgement::alive(Reason::Unseen);
        };
        match sighting.status {
            Status::Running | Status::Starting | Status::Restarting | Status::Paused => {
                forget(evidence);
                Judgement::alive(Reason::NotExited)
            }
            Status::Missing => Judgement::alive(Reason::Removed),
            Status::Stopped if self.on_failure && sighting.exit_code == Some(0) => {
                Judgement::alive(Reason::EndedWell)
            }
            Status::Stopped => {
                MARKS.dead(evidence, life);
                Judgement::dead(Reason::Exited)
            }
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
}

impl DockerRestartPolicy {
    fn back_off(&self, evidence: &impl Evidence) -> Ruling<Reason> {
        let Ok(life) = evidence.current_life() else {
            return Ruling::defer(self.backoff, Reason::StoreFault);
        };
        let since_dead = MARKS.since_dead(evidence, life);
        let lived = life.began.map(|began| began.saturating_sub(since_dead));
        let row = match (life.began, lived) {
            (Some(began), Some(lived)) if lived < self.reset_after => {
                let gap = self.reset_after.saturating_add(self.backoff_max);
                restarts_in_a_row(evidence, began, gap, MOST_RESTARTS)
            }
            (Some(_) | None, Some(_) | None) => Ok(0),
        };
        let Ok(restarts) = row else {
            return Ruling::defer(self.backoff, Reason::StoreFault);
        };
        let wait = doubled(self.backoff, restarts, self.backoff_max);
        if since_dead >= wait {
            return Ruling::admit(Reason::Admitted);
        }
        Ruling::defer(wait.saturating_sub(since_dead).max(SHORTEST_DEFER), Reason::Backoff)
    }
}

/// The contract holds `defer` to this and more.
const SHORTEST_DEFER: Millis = Millis(100);

reprieve_policy::export!(DockerRestartPolicy);

#[cfg(test)]
mod tests {
    use reprieve_policy::{FakeEvidence, ForwardFailure, FromSettings as _, ProbeFault, Sighting};

    use super::*;

    const DEAD_NOTE: &[u8] = b"r\x00";

    fn judged(evidence: &FakeEvidence) -> Judgement<Reason> {
        let failed = Trigger::ForwardFailed(ForwardFailure::Refused);
        DockerRestartPolicy::default().judge(evidence, failed, Attempt::FIRST)
    }

    #[test]
    fn only_an_exit_is_a_death() {
        let hung = FakeEvidence::seen(Status::Running).beat(Millis::from_secs(3_600));
        for (case, evidence, expected) in [
            ("hung for an hour", hung, Judgement::alive(Reason::NotExited)),
            ("paused", FakeEvidence::seen(Status::Paused), Judgement::alive(Reason::NotExited)),
            ("removed", FakeEvidence::seen(Status::Missing), Judgement::alive(Reason::Removed)),
            (
                "unseen",
                FakeEvidence::unseen(ProbeFault::TimedOut),
                Judgement::alive(Reason::Unseen),
            ),
            (
                "exited, just after a beat",
                FakeEvidence::seen(Status::Stopped).beat(Millis(100)),
                Judgement::dead(Reason::Exited),
            ),
            (
                "in flight",
                FakeEvidence::seen(Status::Stopped).in_flight(),
                Judgement::busy(Millis(1_000), Reason::InFlight),
            ),
        ] {
            assert_eq!(judged(&evidence), expected, "{case}");
        }
    }

    #[test]
    fn on_failure_leaves_down_what_ended_well() {
        let policy = DockerRestartPolicy::open(r#"{"on_failure": true}"#).expect("settings");
        for (exit_code, expected) in [
            (Some(0), Judgement::alive(Reason::EndedWell)),
            (Some(137), Judgement::dead(Reason::Exited)),
            (None, Judgement::dead(Reason::Exited)),
        ] {
            let look = Ok(Sighting { exit_code, ..Sighting::bare(Status::Stopped) });
            let evidence = FakeEvidence { look, ..FakeEvidence::default() };
            let judged = policy.judge(&evidence, Trigger::RuntimeStopped, Attempt::FIRST);
            assert_eq!(judged, expected, "{exit_code:?}");
        }
    }

    #[test]
    fn restarts_in_a_row_wait_100_ms_doubled_up_to_a_minute() {
        let ruled = |restarts, began, since_dead| {
            let evidence = FakeEvidence::seen(Status::Stopped)
                .began(Millis(began))
                .restarted(restarts)
                .noted(DEAD_NOTE, Millis(since_dead));
            DockerRestartPolicy::default().admit(&evidence, RestartCause::DeadVerdict)
        };
        let waits = |wait| Ruling::defer(Millis(wait), Reason::Backoff);
        for (case, restarts, began, since_dead, expected) in [
            ("the first", 0, 5_000, 0, waits(100)),
            ("has waited", 0, 5_000, 100, Ruling::admit(Reason::Admitted)),
            ("the second", 1, 5_000, 0, waits(200)),
            ("the tenth", 9, 5_000, 0, waits(51_200)),
            ("the eleventh", 10, 5_000, 0, waits(60_000)),
            ("the hundredth", 99, 5_000, 0, waits(60_000)),
            ("after 10 s of life", 9, 10_000, 0, waits(100)),
            ("dead within 10 s, ruled on later", 9, 12_000, 2_001, waits(49_199)),
        ] {
            assert_eq!(ruled(restarts, began, since_dead), expected, "{case}");
        }
    }

    #[test]
    fn the_wait_counts_from_the_first_look_at_the_exit() {
        let exited = FakeEvidence::seen(Status::Stopped);
        judged(&exited);
        assert_eq!(exited.written().as_deref(), Some(DEAD_NOTE));
        let again = FakeEvidence::seen(Status::Stopped).noted(DEAD_NOTE, Millis(150));
        judged(&again);
        assert_eq!(again.written(), None);
        let up = FakeEvidence::seen(Status::Running).noted(DEAD_NOTE, Millis(150));
        judged(&up);
        assert_eq!(up.written().as_deref(), Some(&b""[..]));
    }

    #[test]
    fn a_record_that_cannot_be_read_lets_the_restart_wait() {
        let policy = DockerRestartPolicy::default();
        let blind = FakeEvidence::seen(Status::Stopped).without_stores();
        let ruling = policy.admit(&blind, RestartCause::DeadVerdict);
        assert_eq!(ruling, Ruling::defer(Millis(100), Reason::StoreFault));
        let wanted = policy.admit(&blind, RestartCause::Operator);
        assert_eq!(wanted, Ruling::admit(Reason::Wanted));
    }
}
