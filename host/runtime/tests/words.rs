//! What the host tells arrives in the guest as it was told: the unruly policy
//! makes a digest of every bit, natively and as a component, and the two agree.

// A test's own helpers may panic as tests may.
#![allow(clippy::expect_used)]

mod support;

use proptest::prelude::*;
use reprieve_core::{
    evidence::{Answer, Beat, Exchange, Health, Life, ProbeFault, Sighting, Status, StoreFault},
    judgement::RestartCause,
    time::Millis,
};
use reprieve_policy::{self as kit, FakeEvidence, FromSettings as _, Policy as _};
use reprieve_runtime::replay;
use reprieve_unruly::Unruly;
use support::{REFUSED, any::any_facts, who};

const fn millis(length: Millis) -> kit::Millis {
    kit::Millis(length.0)
}

fn stored<T, U>(told: Result<T, StoreFault>, word: fn(T) -> U) -> Result<U, kit::StoreFault> {
    told.map(word).map_err(|StoreFault::Unavailable| kit::StoreFault)
}

fn newest(told: Option<Beat>) -> Option<kit::Beat> {
    told.map(|beat| kit::Beat { age: millis(beat.age), this_life: beat.this_life })
}

fn sighting(told: Sighting) -> kit::Sighting {
    kit::Sighting {
        status: match told.status {
            Status::Running => kit::Status::Running,
            Status::Starting => kit::Status::Starting,
            Status::Restarting => kit::Status::Restarting,
            Status::Paused => kit::Status::Paused,
            Status::Stopped => kit::Status::Stopped,
            Status::Missing => kit::Status::Missing,
        },
        uptime: told.uptime.map(millis),
        ended: told.ended.map(millis),
        exit_code: told.exit_code,
        out_of_memory: told.out_of_memory,
        health: told.health.map(|health| match health {
            Health::Starting => kit::Health::Starting,
            Health::Healthy => kit::Health::Healthy,
            Health::Unhealthy => kit::Health::Unhealthy,
        }),
    }
}

const fn fault(told: ProbeFault) -> kit::ProbeFault {
    match told {
        ProbeFault::TimedOut => kit::ProbeFault::TimedOut,
        ProbeFault::Unreachable => kit::ProbeFault::Unreachable,
        ProbeFault::ClosedEarly => kit::ProbeFault::ClosedEarly,
        ProbeFault::Overloaded => kit::ProbeFault::Overloaded,
        ProbeFault::Denied => kit::ProbeFault::Denied,
        ProbeFault::Malformed => kit::ProbeFault::Malformed,
    }
}

fn life(told: Life) -> kit::Life {
    kit::Life {
        in_flight: told.in_flight,
        began: told.began.map(millis),
        cause: told.cause.map(|cause| match cause {
            RestartCause::Operator => kit::RestartCause::Operator,
            RestartCause::DeadVerdict => kit::RestartCause::DeadVerdict,
            RestartCause::SettingsChanged => kit::RestartCause::SettingsChanged,
            RestartCause::Wake => kit::RestartCause::Wake,
            RestartCause::Dependency => kit::RestartCause::Dependency,
        }),
        revision_stale: told.revision_stale,
    }
}

fn tell(evidence: &mut FakeEvidence, answer: Answer) {
    match answer {
        Answer::Subject(told) => {
            evidence.subject = kit::Subject {
                id: told.id,
                tenant: told.tenant,
                kind: told.kind,
                labels: told.labels,
            };
        }
        Answer::Look(told) => evidence.look = told.map(sighting).map_err(fault),
        Answer::NewestBeat(told) => evidence.newest_beat = stored(told, newest),
        Answer::NewestContact(told) => evidence.newest_contact = stored(told, newest),
        Answer::Intervals(told) => {
            evidence.intervals = stored(told, |all| all.into_iter().map(millis).take(5).collect());
        }
        Answer::CurrentLife(told) => evidence.current_life = stored(told, life),
        Answer::RestartCount(told) => evidence.restart_count = stored(told, |count| count),
        Answer::Memory(told) => {
            evidence.memory = stored(told, |note| {
                note.map(|note| kit::Note { bytes: note.bytes, age: millis(note.age) })
            });
        }
        Answer::Eyesight(told) => {
            evidence.eyesight = kit::Eyesight {
                probes: told.probes,
                probe_faults: told.probe_faults,
                store_faults: told.store_faults,
                loop_lag: millis(told.loop_lag),
            };
        }
        Answer::Fleet(told) => {
            evidence.fleet = kit::Fleet {
                workspaces: told.workspaces,
                suspected: told.suspected,
                restarting: told.restarting,
            };
        }
    }
}

fn native_note(facts: &[Exchange]) -> Option<Vec<u8>> {
    let policy = Unruly::open(r#"{"do":"ask-everything"}"#).expect("a deed");
    let mut evidence = FakeEvidence::default();
    for fact in facts {
        tell(&mut evidence, fact.answer.clone());
    }
    let trigger = kit::Trigger::ForwardFailed(kit::ForwardFailure::Refused);
    let _ = policy.judge(&evidence, trigger, kit::Attempt::FIRST);
    evidence.written()
}

proptest! {
    #[test]
    fn every_answer_arrives_as_it_was_told(facts in any_facts()) {
        let generation = support::unruly("ask-everything");
        let decided = replay(&generation, REFUSED, &who(), &facts);
        prop_assert!(decided.memory_write.is_some(), "{:?}", decided.outcome);
        prop_assert_eq!(decided.memory_write, native_note(&facts));
    }
}
