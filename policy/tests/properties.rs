//! What holds for any evidence whatever: a failure is no death, and nothing that
//! may live is touched.

use proptest::{collection, option, prelude::*};
use reprieve_default_policy::Settings;
use reprieve_policy::{
    Admission, Attempt, Beat, Eyesight, FakeEvidence, Fleet, ForwardFailure, Health, Life, Millis,
    Policy as _, ProbeFault, RestartCause, Sighting, Status, StoreFault, Trigger, Verdict,
};

fn policy() -> Settings {
    Settings::default()
}

fn verdict(evidence: &FakeEvidence, trigger: Trigger, attempt: Attempt) -> Verdict {
    policy().judge(evidence, trigger, attempt).verdict
}

/// Ages around the windows of the defaults, where rules change.
fn age() -> impl Strategy<Value = Millis> {
    prop_oneof![0..5_000u64, 10_000..70_000u64, 170_000..200_000u64, 0..1_000_000u64]
        .prop_map(Millis)
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![
        1 => Just(Status::Running),
        1 => Just(Status::Starting),
        1 => Just(Status::Restarting),
        1 => Just(Status::Paused),
        3 => Just(Status::Stopped),
        3 => Just(Status::Missing),
    ]
}

fn health() -> impl Strategy<Value = Health> {
    prop_oneof![Just(Health::Starting), Just(Health::Healthy), Just(Health::Unhealthy)]
}

fn sighting() -> impl Strategy<Value = Sighting> {
    (status(), option::of(age()), option::of(age()), any::<bool>(), option::of(health())).prop_map(
        |(status, uptime, ended, out_of_memory, health)| Sighting {
            status,
            uptime,
            ended,
            exit_code: None,
            out_of_memory,
            health,
        },
    )
}

fn probe_fault() -> impl Strategy<Value = ProbeFault> {
    prop_oneof![
        Just(ProbeFault::TimedOut),
        Just(ProbeFault::Unreachable),
        Just(ProbeFault::ClosedEarly),
        Just(ProbeFault::Overloaded),
        Just(ProbeFault::Denied),
        Just(ProbeFault::Malformed),
    ]
}

fn sign() -> impl Strategy<Value = Option<Beat>> {
    option::of((age(), any::<bool>()).prop_map(|(age, this_life)| Beat { age, this_life }))
}

fn life() -> impl Strategy<Value = Life> {
    (prop::bool::weighted(0.2), option::of(age()), any::<bool>()).prop_map(
        |(in_flight, began, revision_stale)| Life { in_flight, began, cause: None, revision_stale },
    )
}

fn eyesight() -> impl Strategy<Value = Eyesight> {
    prop_oneof![
        2 => Just(Eyesight::default()),
        1 => (0..20u32, 0..20u32, age()).prop_map(|(probes, faults, loop_lag)| Eyesight {
            probes,
            probe_faults: faults.min(probes),
            store_faults: 0,
            loop_lag,
        }),
    ]
}

fn fleet() -> impl Strategy<Value = Fleet> {
    (1..200u32, 0..20u32, 0..5u32).prop_map(|(workspaces, suspected, restarting)| Fleet {
        workspaces,
        suspected: suspected.min(workspaces),
        restarting,
    })
}

/// Evidence of a host whose every question is answered.
fn clear_evidence() -> impl Strategy<Value = FakeEvidence> {
    let intervals = collection::vec(age(), 0..8);
    (sighting(), sign(), intervals, sign(), life(), 0..8u32, eyesight(), fleet()).prop_map(
        |(look, beat, intervals, contact, life, restarts, eyesight, fleet)| FakeEvidence {
            look: Ok(look),
            newest_beat: Ok(beat),
            intervals: Ok(intervals),
            newest_contact: Ok(contact),
            current_life: Ok(life),
            restart_count: Ok(restarts),
            eyesight,
            fleet,
            ..FakeEvidence::default()
        },
    )
}

/// Which questions are answered with a fault instead.
#[derive(Clone, Copy, Debug)]
struct Faults {
    look: Option<ProbeFault>,
    newest_beat: bool,
    intervals: bool,
    newest_contact: bool,
    current_life: bool,
    restart_count: bool,
    eyes: bool,
}

fn faults() -> impl Strategy<Value = Faults> {
    (option::of(probe_fault()), any::<[bool; 6]>()).prop_map(|(look, failed)| Faults {
        look,
        newest_beat: failed[0],
        intervals: failed[1],
        newest_contact: failed[2],
        current_life: failed[3],
        restart_count: failed[4],
        eyes: failed[5],
    })
}

fn with_faults(mut evidence: FakeEvidence, faults: Faults) -> FakeEvidence {
    if let Some(fault) = faults.look {
        evidence.look = Err(fault);
    }
    if faults.newest_beat {
        evidence.newest_beat = Err(StoreFault);
    }
    if faults.intervals {
        evidence.intervals = Err(StoreFault);
    }
    if faults.newest_contact {
        evidence.newest_contact = Err(StoreFault);
    }
    if faults.current_life {
        evidence.current_life = Err(StoreFault);
    }
    if faults.restart_count {
        evidence.restart_count = Err(StoreFault);
    }
    if faults.eyes {
        evidence.eyesight.probes = evidence.eyesight.probes.saturating_add(10);
        evidence.eyesight.probe_faults = evidence.eyesight.probe_faults.saturating_add(10);
    }
    evidence
}

fn trigger() -> impl Strategy<Value = Trigger> {
    prop_oneof![
        prop_oneof![
            Just(ForwardFailure::Refused),
            Just(ForwardFailure::Reset),
            Just(ForwardFailure::ClosedEarly),
            Just(ForwardFailure::TimedOut),
            Just(ForwardFailure::Unresolved),
            (500..530u16).prop_map(ForwardFailure::BadStatus),
        ]
        .prop_map(Trigger::ForwardFailed),
        Just(Trigger::Preflight),
        Just(Trigger::HeartbeatExpired),
        Just(Trigger::RuntimeStopped),
        Just(Trigger::Unhealthy),
        Just(Trigger::Settling),
        Just(Trigger::Sweep),
    ]
}

fn attempt() -> impl Strategy<Value = Attempt> {
    (0..4u32, 0..3_000u64)
        .prop_map(|(number, gap)| Attempt { number, since_first: Millis(u64::from(number) * gap) })
}

fn programmatic() -> impl Strategy<Value = RestartCause> {
    prop_oneof![
        Just(RestartCause::DeadVerdict),
        Just(RestartCause::SettingsChanged),
        Just(RestartCause::Dependency),
    ]
}

/// A workspace that is plainly alive: it runs and has just beaten.
fn living() -> FakeEvidence {
    let beat = Some(Beat { age: Millis::from_secs(1), this_life: true });
    FakeEvidence { newest_beat: Ok(beat), newest_contact: Ok(beat), ..FakeEvidence::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_fault_alone_is_a_death(faults in faults(), trigger in trigger(), attempt in attempt()) {
        let evidence = with_faults(living(), faults);
        prop_assert_ne!(verdict(&evidence, trigger, attempt), Verdict::Dead);
        // Nor where nothing is known but the faults.
        let evidence = with_faults(FakeEvidence::default(), faults);
        prop_assert_ne!(verdict(&evidence, trigger, attempt), Verdict::Dead);
    }

    #[test]
    fn a_fault_never_turns_a_reprieve_into_a_death(
        evidence in clear_evidence(),
        faults in faults(),
        trigger in trigger(),
        attempt in attempt(),
    ) {
        let clear = verdict(&evidence, trigger, attempt);
        let faulty = verdict(&with_faults(evidence, faults), trigger, attempt);
        prop_assert!(clear == Verdict::Dead || faulty != Verdict::Dead, "{clear:?} -> {faulty:?}");
    }

    #[test]
    fn nobody_is_dead_while_a_restart_is_in_flight(
        evidence in clear_evidence(),
        began in option::of(age()),
        trigger in trigger(),
        attempt in attempt(),
    ) {
        let life = Life { in_flight: true, began, ..Life::default() };
        let evidence = FakeEvidence { current_life: Ok(life), ..evidence };
        let verdict = verdict(&evidence, trigger, attempt);
        let expected = matches!(verdict, Verdict::Busy(_))
            || (trigger == Trigger::Preflight && verdict == Verdict::Alive);
        prop_assert!(expected, "{verdict:?}");
        prop_assert_eq!(evidence.looks(), 0);
    }

    #[test]
    fn nobody_is_judged_within_the_settle_window(
        evidence in clear_evidence(),
        began_ms in 0..60_000u64,
        trigger in trigger(),
        attempt in attempt(),
    ) {
        let life = Life { began: Some(Millis(began_ms)), ..Life::default() };
        let evidence = FakeEvidence { current_life: Ok(life), ..evidence };
        let verdict = verdict(&evidence, trigger, attempt);
        prop_assert!(matches!(verdict, Verdict::Busy(_) | Verdict::Alive), "{verdict:?}");
        prop_assert_eq!(evidence.looks(), 0);
    }

    #[test]
    fn a_recent_sign_is_a_reprieve_unless_a_newer_end_is_reported(
        evidence in clear_evidence(),
        sign_ms in 0..=15_000u64,
        by_contact in any::<bool>(),
        trigger in trigger(),
        attempt in attempt(),
    ) {
        let sign = Some(Beat { age: Millis(sign_ms), this_life: true });
        let mut evidence = evidence;
        if by_contact {
            evidence.newest_contact = Ok(sign);
        } else {
            evidence.newest_beat = Ok(sign);
        }
        let newer_end = evidence.look.is_ok_and(|seen| {
            seen.ended.is_some_and(|ended| ended < Millis(sign_ms))
        });
        let verdict = verdict(&evidence, trigger, attempt);
        prop_assert!(newer_end || verdict != Verdict::Dead, "{:?}", evidence);
    }

    #[test]
    fn the_same_evidence_gives_the_same_answer(
        evidence in clear_evidence(),
        faults in faults(),
        trigger in trigger(),
        attempt in attempt(),
        cause in programmatic(),
    ) {
        let evidence = with_faults(evidence, faults);
        let policy = policy();
        let first = policy.judge(&evidence, trigger, attempt);
        let asked = evidence.asked();
        prop_assert_eq!(policy.admit(&evidence, cause), policy.admit(&evidence, cause));
        let again = evidence.clone();
        let before = again.asked().len();
        prop_assert_eq!(policy.judge(&again, trigger, attempt), first);
        prop_assert_eq!(&again.asked()[before..], &asked[..]);
    }

    #[test]
    fn what_is_answered_keeps_to_the_contract(
        evidence in clear_evidence(),
        faults in faults(),
        trigger in trigger(),
        attempt in attempt(),
        cause in programmatic(),
    ) {
        let evidence = with_faults(evidence, faults);
        match verdict(&evidence, trigger, attempt) {
            Verdict::Alive | Verdict::Dead => {}
            Verdict::Busy(after) => prop_assert!((1_000..=3_600_000).contains(&after.0)),
            Verdict::Recheck(after) => prop_assert!((10..=60_000).contains(&after.0)),
        }
        match policy().admit(&evidence, cause).admission {
            Admission::Admit | Admission::Drop => {}
            Admission::Defer(after) => prop_assert!((100..=3_600_000).contains(&after.0)),
        }
    }

    #[test]
    fn newer_settings_are_never_lost(evidence in clear_evidence(), faults in faults()) {
        let mut evidence = with_faults(evidence, faults);
        if let Ok(life) = &mut evidence.current_life {
            life.revision_stale = true;
        }
        let ruling = policy().admit(&evidence, RestartCause::SettingsChanged);
        prop_assert_ne!(ruling.admission, Admission::Drop);
    }
}
