//! Turns the contract's types into the words of `reprieve-core` and back.

use reprieve_core::{
    evidence::{
        Beat, Eyesight, Fleet, Health, Life, Note, ProbeFault, Sighting, Status, StoreFault,
        Subject,
    },
    judgement::{Admission, Attempt, ForwardFailure, RestartCause, Trigger, Verdict},
    time::Millis,
};

use crate::contract::{
    heartbeat, memory, probe, restarts, subject, surroundings,
    types::{self, Judgement, Ruling},
};

/// Hosts hold a `busy` to these, as the contract says.
const BUSY: (Millis, Millis) = (Millis::from_secs(1), Millis::from_secs(3600));
/// Hosts hold a `recheck` to these, as the contract says.
const RECHECK: (Millis, Millis) = (Millis(10), Millis::from_secs(60));
/// Hosts hold a `defer` to these, as the contract says.
const DEFER: (Millis, Millis) = (Millis(100), Millis::from_secs(3600));

fn held(millis: u64, (least, most): (Millis, Millis)) -> Millis {
    Millis(millis).clamp(least, most)
}

pub(crate) fn verdict(judgement: Judgement) -> Verdict {
    match judgement.verdict {
        types::Verdict::Alive => Verdict::Alive,
        types::Verdict::Busy(retry_after) => Verdict::Busy(held(retry_after, BUSY)),
        types::Verdict::Dead => Verdict::Dead,
        types::Verdict::Recheck(after) => Verdict::Recheck(held(after, RECHECK)),
    }
}

pub(crate) fn admission(ruling: Ruling) -> Admission {
    match ruling.admission {
        types::Admission::Admit => Admission::Admit,
        types::Admission::Drop => Admission::Drop,
        types::Admission::Defer(after) => Admission::Defer(held(after, DEFER)),
    }
}

pub(crate) const fn trigger(trigger: Trigger) -> types::Trigger {
    match trigger {
        Trigger::ForwardFailed(failure) => types::Trigger::ForwardFailed(match failure {
            ForwardFailure::Refused => types::ForwardFailure::Refused,
            ForwardFailure::Reset => types::ForwardFailure::Reset,
            ForwardFailure::ClosedEarly => types::ForwardFailure::ClosedEarly,
            ForwardFailure::TimedOut => types::ForwardFailure::TimedOut,
            ForwardFailure::Unresolved => types::ForwardFailure::Unresolved,
            ForwardFailure::BadStatus(status) => types::ForwardFailure::BadStatus(status),
        }),
        Trigger::Preflight => types::Trigger::Preflight,
        Trigger::HeartbeatExpired => types::Trigger::HeartbeatExpired,
        Trigger::RuntimeStopped => types::Trigger::RuntimeStopped,
        Trigger::Unhealthy => types::Trigger::Unhealthy,
        Trigger::Settling => types::Trigger::Settling,
        Trigger::Sweep => types::Trigger::Sweep,
    }
}

pub(crate) const fn attempt(attempt: Attempt) -> types::Attempt {
    types::Attempt { number: attempt.number, since_first: attempt.since_first.0 }
}

pub(crate) const fn cause(cause: RestartCause) -> types::RestartCause {
    match cause {
        RestartCause::Operator => types::RestartCause::Operator,
        RestartCause::DeadVerdict => types::RestartCause::DeadVerdict,
        RestartCause::SettingsChanged => types::RestartCause::SettingsChanged,
        RestartCause::Wake => types::RestartCause::Wake,
        RestartCause::Dependency => types::RestartCause::Dependency,
    }
}

pub(crate) fn subject(subject: &Subject) -> subject::Workspace {
    let Subject { id, tenant, kind, labels } = subject.clone();
    subject::Workspace { id, tenant, kind, labels }
}

pub(crate) fn sighting(sighting: Sighting) -> probe::Sighting {
    probe::Sighting {
        status: match sighting.status {
            Status::Running => probe::Status::Running,
            Status::Starting => probe::Status::Starting,
            Status::Restarting => probe::Status::Restarting,
            Status::Paused => probe::Status::Paused,
            Status::Stopped => probe::Status::Stopped,
            Status::Missing => probe::Status::Missing,
        },
        uptime: sighting.uptime.map(millis),
        ended: sighting.ended.map(millis),
        exit_code: sighting.exit_code,
        out_of_memory: sighting.out_of_memory,
        health: sighting.health.map(|health| match health {
            Health::Starting => probe::Health::Starting,
            Health::Healthy => probe::Health::Healthy,
            Health::Unhealthy => probe::Health::Unhealthy,
        }),
    }
}

pub(crate) const fn probe_fault(fault: ProbeFault) -> probe::Fault {
    match fault {
        ProbeFault::TimedOut => probe::Fault::TimedOut,
        ProbeFault::Unreachable => probe::Fault::Unreachable,
        ProbeFault::ClosedEarly => probe::Fault::ClosedEarly,
        ProbeFault::Overloaded => probe::Fault::Overloaded,
        ProbeFault::Denied => probe::Fault::Denied,
        ProbeFault::Malformed => probe::Fault::Malformed,
    }
}

pub(crate) fn newest(
    answer: Result<Option<Beat>, StoreFault>,
) -> Result<Option<heartbeat::Beat>, heartbeat::Fault> {
    let beat = |beat: Beat| heartbeat::Beat { age: millis(beat.age), this_life: beat.this_life };
    answer.map(|newest| newest.map(beat)).map_err(heartbeat_fault)
}

pub(crate) fn life(life: Life) -> restarts::Life {
    restarts::Life {
        in_flight: life.in_flight,
        began: life.began.map(millis),
        cause: life.cause.map(cause),
        revision_stale: life.revision_stale,
    }
}

pub(crate) fn note(note: Note) -> memory::Note {
    memory::Note { bytes: note.bytes, age: millis(note.age) }
}

pub(crate) fn eyesight(eyesight: Eyesight) -> surroundings::Eyesight {
    surroundings::Eyesight {
        probes: eyesight.probes,
        probe_faults: eyesight.probe_faults,
        store_faults: eyesight.store_faults,
        loop_lag: millis(eyesight.loop_lag),
    }
}

pub(crate) fn fleet(fleet: Fleet) -> surroundings::Fleet {
    surroundings::Fleet {
        workspaces: fleet.workspaces,
        suspected: fleet.suspected,
        restarting: fleet.restarting,
    }
}

pub(crate) const fn heartbeat_fault(fault: StoreFault) -> heartbeat::Fault {
    match fault {
        StoreFault::Unavailable => heartbeat::Fault::StoreUnavailable,
    }
}

pub(crate) const fn restarts_fault(fault: StoreFault) -> restarts::Fault {
    match fault {
        StoreFault::Unavailable => restarts::Fault::StoreUnavailable,
    }
}

pub(crate) const fn memory_fault(fault: StoreFault) -> memory::Fault {
    match fault {
        StoreFault::Unavailable => memory::Fault::StoreUnavailable,
    }
}

pub(crate) const fn millis(length: Millis) -> u64 {
    length.0
}
