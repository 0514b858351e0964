//! Random answers to everything that the unruly policy may ask.

use proptest::prelude::*;
use reprieve_core::{
    evidence::{
        Answer, Beat, Exchange, Eyesight, Fleet, Health, Life, Note, ProbeFault, Sighting, Status,
        StoreFault,
    },
    judgement::RestartCause,
    time::Millis,
};

use super::facts;

fn age() -> impl Strategy<Value = Millis> {
    (0_u64..400_000).prop_map(Millis)
}

fn or_fault<T: std::fmt::Debug + Clone>(
    told: impl Strategy<Value = T>,
) -> impl Strategy<Value = Result<T, StoreFault>> {
    prop_oneof![4 => told.prop_map(Ok), 1 => Just(Err(StoreFault::Unavailable))]
}

fn newest() -> impl Strategy<Value = Result<Option<Beat>, StoreFault>> {
    let beat = (age(), any::<bool>()).prop_map(|(age, this_life)| Beat { age, this_life });
    or_fault(prop::option::of(beat))
}

fn look() -> impl Strategy<Value = Result<Sighting, ProbeFault>> {
    let status = prop::sample::select(vec![
        Status::Running,
        Status::Starting,
        Status::Restarting,
        Status::Paused,
        Status::Stopped,
        Status::Missing,
    ]);
    let health = prop::sample::select(vec![Health::Starting, Health::Healthy, Health::Unhealthy]);
    let fault = prop::sample::select(vec![
        ProbeFault::TimedOut,
        ProbeFault::Unreachable,
        ProbeFault::ClosedEarly,
        ProbeFault::Overloaded,
        ProbeFault::Denied,
        ProbeFault::Malformed,
    ]);
    let sighting =
        (
            status,
            prop::option::of(age()),
            prop::option::of(age()),
            any::<Option<i32>>(),
            any::<bool>(),
            prop::option::of(health),
        )
            .prop_map(|(status, uptime, ended, exit_code, out_of_memory, health)| {
                Sighting { status, uptime, ended, exit_code, out_of_memory, health }
            });
    prop_oneof![3 => sighting.prop_map(Ok), 1 => fault.prop_map(Err)]
}

fn life() -> impl Strategy<Value = Life> {
    let cause = prop::sample::select(vec![
        RestartCause::Operator,
        RestartCause::DeadVerdict,
        RestartCause::SettingsChanged,
        RestartCause::Wake,
        RestartCause::Dependency,
    ]);
    (any::<bool>(), prop::option::of(age()), prop::option::of(cause), any::<bool>()).prop_map(
        |(in_flight, began, cause, revision_stale)| Life {
            in_flight,
            began,
            cause,
            revision_stale,
        },
    )
}

/// The answers of [`super::facts`], each replaced by a random one.
pub(crate) fn any_facts() -> impl Strategy<Value = Vec<Exchange>> {
    let note = (prop::collection::vec(any::<u8>(), 0..64), age())
        .prop_map(|(bytes, age)| Note { bytes, age });
    let counts = (any::<u32>(), any::<u32>(), any::<u32>(), age());
    let answers = (
        look().prop_map(Answer::Look),
        newest().prop_map(Answer::NewestBeat),
        newest().prop_map(Answer::NewestContact),
        or_fault(prop::collection::vec(age(), 0..9)).prop_map(Answer::Intervals),
        or_fault(life()).prop_map(Answer::CurrentLife),
        or_fault(any::<u32>()).prop_map(Answer::RestartCount),
        or_fault(prop::option::of(note)).prop_map(Answer::Memory),
        counts.prop_map(|(probes, probe_faults, store_faults, loop_lag)| {
            Answer::Eyesight(Eyesight { probes, probe_faults, store_faults, loop_lag })
        }),
        any::<(u32, u32, u32)>().prop_map(|(workspaces, suspected, restarting)| {
            Answer::Fleet(Fleet { workspaces, suspected, restarting })
        }),
    );
    answers.prop_map(|(look, beat, contact, intervals, life, count, note, eyesight, fleet)| {
        let mut told = facts();
        let answers = [look, beat, contact, intervals, life, count, note, eyesight, fleet];
        // The first fact is the subject: it stays.
        for (exchange, answer) in told.iter_mut().skip(1).zip(answers) {
            exchange.answer = answer;
        }
        told
    })
}
