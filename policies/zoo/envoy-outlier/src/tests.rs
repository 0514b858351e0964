use reprieve_policy::{FakeEvidence, Fleet, FromSettings as _, Status, StoreFault};

use super::*;

const TIMED_OUT: Trigger = Trigger::ForwardFailed(ForwardFailure::TimedOut);
const IN_ROTATION: Judgement<Reason> = Judgement::alive(Reason::InRotation);

const fn bad_status(code: u16) -> Trigger {
    Trigger::ForwardFailed(ForwardFailure::BadStatus(code))
}

/// One of twenty workspaces, so that 10 % are two.
fn one_of_twenty() -> FakeEvidence {
    FakeEvidence::default().fleet(Fleet { workspaces: 20, suspected: 0, restarting: 0 })
}

fn counted(failures: u8, at_gateway: u8) -> FakeEvidence {
    one_of_twenty().noted(&[b'e', failures, at_gateway, 0, 0], Millis(1_000))
}

fn with(settings: &str) -> EnvoyOutlier {
    EnvoyOutlier::open(settings).expect("settings")
}

fn judged(policy: &EnvoyOutlier, evidence: &FakeEvidence, trigger: Trigger) -> Judgement<Reason> {
    policy.judge(evidence, trigger, Attempt::FIRST)
}

#[test]
fn five_failed_requests_in_a_row_eject() {
    let policy = EnvoyOutlier::default();
    for (case, evidence, trigger, expected, written) in [
        ("the first", one_of_twenty(), TIMED_OUT, IN_ROTATION, Some([b'e', 1, 1, 0, 0])),
        ("the fourth", counted(3, 3), bad_status(500), IN_ROTATION, Some([b'e', 4, 0, 0, 0])),
        (
            "the fifth",
            counted(4, 0),
            bad_status(500),
            Judgement::dead(Reason::Consecutive5xx),
            Some([b'e', 0, 0, 0, 0]),
        ),
        (
            "answered in between",
            counted(4, 4).contact(Millis(999)),
            TIMED_OUT,
            IN_ROTATION,
            Some([b'e', 1, 1, 0, 0]),
        ),
        (
            "answered before",
            counted(4, 4).contact(Millis(1_000)),
            TIMED_OUT,
            Judgement::dead(Reason::Consecutive5xx),
            Some([b'e', 0, 0, 0, 0]),
        ),
        ("no 5xx", counted(4, 4), bad_status(429), IN_ROTATION, Some([b'e', 0, 0, 0, 0])),
        ("nobody asked it", counted(4, 4), Trigger::Sweep, IN_ROTATION, None),
    ] {
        assert_eq!(judged(&policy, &evidence, trigger), expected, "{case}");
        let written = written.map(Vec::from);
        assert_eq!(evidence.written(), written, "{case}");
    }
}

#[test]
fn gateway_failures_eject_only_where_that_is_enforced() {
    let strict = with(r#"{"consecutive_5xx": 200, "enforce_gateway_failure": true}"#);
    let dead = Judgement::dead(Reason::ConsecutiveGatewayFailure);
    for failure in [
        ForwardFailure::Refused,
        ForwardFailure::Reset,
        ForwardFailure::ClosedEarly,
        ForwardFailure::TimedOut,
        ForwardFailure::Unresolved,
        ForwardFailure::BadStatus(503),
    ] {
        let trigger = Trigger::ForwardFailed(failure);
        assert_eq!(judged(&strict, &counted(4, 4), trigger), dead, "{failure:?}");
        let lax = with(r#"{"consecutive_5xx": 200}"#);
        assert_eq!(judged(&lax, &counted(4, 4), trigger), IN_ROTATION, "{failure:?}");
    }
    let broken = judged(&strict, &counted(4, 4), bad_status(500));
    assert_eq!(broken, IN_ROTATION, "500 is no gateway error, and ends the row");
}

#[test]
fn what_the_runtime_says_is_never_asked() {
    let policy = EnvoyOutlier::default();
    let gone = FakeEvidence::seen(Status::Missing).beat(Millis::from_secs(3_600));
    for trigger in [
        Trigger::Preflight,
        Trigger::HeartbeatExpired,
        Trigger::RuntimeStopped,
        Trigger::Unhealthy,
        Trigger::Settling,
        Trigger::Sweep,
    ] {
        assert_eq!(judged(&policy, &gone, trigger), IN_ROTATION, "{trigger:?}");
    }
    assert_eq!(gone.looks(), 0);
}

#[test]
fn ten_percent_of_the_fleet_may_be_ejected_and_of_a_small_one_nobody() {
    let default = EnvoyOutlier::default();
    let always_one = with(r#"{"always_eject_one_host": true}"#);
    for (case, workspaces, restarting, fits, fits_always_one) in [
        ("none of 6", 6, 0, false, true),
        ("one of 6", 6, 1, false, false),
        ("none of 10", 10, 0, true, true),
        ("one of 10", 10, 1, false, false),
        ("one of 20", 20, 1, true, true),
        ("two of 20", 20, 2, false, false),
    ] {
        let fleet = Fleet { workspaces, suspected: 0, restarting };
        for (policy, fits) in [(&default, fits), (&always_one, fits_always_one)] {
            let evidence = counted(4, 4).fleet(fleet);
            let (judgement, ruling) = if fits {
                (Judgement::dead(Reason::Consecutive5xx), Ruling::admit(Reason::Admitted))
            } else {
                (Judgement::alive(Reason::Overflow), Ruling::drop(Reason::Overflow))
            };
            assert_eq!(judged(policy, &evidence, TIMED_OUT), judgement, "{case}");
            assert_eq!(evidence.written(), Some(vec![b'e', 0, 0, 0, 0]), "{case}");
            assert_eq!(policy.admit(&evidence, RestartCause::DeadVerdict), ruling, "{case}");
        }
    }
    let wanted = default.admit(&FakeEvidence::default(), RestartCause::SettingsChanged);
    assert_eq!(wanted, Ruling::admit(Reason::Wanted));
}

#[test]
fn a_restarted_workspace_stays_out_longer_with_each_ejection() {
    let policy = EnvoyOutlier::default();
    let restarted = |began, times, cause| {
        let life = Life { began: Some(Millis(began)), cause: Some(cause), ..Life::default() };
        FakeEvidence { current_life: Ok(life), ..counted(4, 4) }.restarted(times)
    };
    let out = |rest| Judgement::busy(Millis(rest), Reason::Ejected);
    let back = Judgement::dead(Reason::Consecutive5xx);
    for (case, began, times, expected) in [
        ("the first", 5_000, 1, out(25_000)),
        ("the last second of it", 29_500, 1, out(1_000)),
        ("over", 30_000, 1, back),
        ("the third", 30_000, 3, out(60_000)),
        ("the twelfth", 5_000, 12, out(295_000)),
        ("long ago", 300_000, 12, back),
    ] {
        let evidence = restarted(began, times, RestartCause::DeadVerdict);
        assert_eq!(judged(&policy, &evidence, TIMED_OUT), expected, "{case}");
    }
    let by_hand = restarted(5_000, 3, RestartCause::Operator);
    assert_eq!(judged(&policy, &by_hand, TIMED_OUT), back, "no ejection");
}

#[test]
fn without_restarts_an_ejection_is_a_time_out_of_rotation() {
    let policy = with(r#"{"restart_ejected": false}"#);
    let first = counted(4, 4);
    let ejected = Judgement::busy(Millis(30_000), Reason::Consecutive5xx);
    assert_eq!(judged(&policy, &first, TIMED_OUT), ejected);
    assert_eq!(first.written(), Some(vec![b'e', 0, 0, 1, 1]));
    for (case, ejections, age, failures, expected, written) in [
        ("still out", 2, 45_000, 0, Judgement::busy(Millis(15_000), Reason::Ejected), None),
        ("back", 2, 60_000, 0, IN_ROTATION, Some([b'e', 1, 1, 2, 0])),
        ("forgiven once", 2, 70_000, 0, IN_ROTATION, Some([b'e', 1, 1, 1, 0])),
        ("forgiven wholly", 2, 3_600_000, 0, IN_ROTATION, Some([b'e', 1, 1, 0, 0])),
    ] {
        let note = [b'e', failures, failures, ejections, 1];
        let evidence = one_of_twenty().noted(&note, Millis(age));
        assert_eq!(judged(&policy, &evidence, TIMED_OUT), expected, "{case}");
        assert_eq!(evidence.written(), written.map(Vec::from), "{case}");
    }
    let again = one_of_twenty().noted(&[b'e', 4, 4, 1, 0], Millis(1_000));
    let twice = Judgement::busy(Millis(60_000), Reason::Consecutive5xx);
    assert_eq!(judged(&policy, &again, TIMED_OUT), twice);
}

#[test]
fn a_failure_that_cannot_be_counted_ejects_nobody() {
    let policy = EnvoyOutlier::default();
    let not_counted = Judgement::alive(Reason::StoreFault);
    let life =
        Life { began: Some(Millis(1)), cause: Some(RestartCause::DeadVerdict), ..Life::default() };
    for (case, evidence) in [
        ("no store", counted(4, 4).without_stores()),
        ("no note", FakeEvidence { memory: Err(StoreFault), ..one_of_twenty() }),
        ("no contact", FakeEvidence { newest_contact: Err(StoreFault), ..counted(4, 4) }),
        (
            "no record of restarts",
            FakeEvidence {
                current_life: Ok(life),
                restart_count: Err(StoreFault),
                ..one_of_twenty()
            },
        ),
    ] {
        assert_eq!(judged(&policy, &evidence, TIMED_OUT), not_counted, "{case}");
    }
    let in_flight = counted(4, 4).in_flight();
    let busy = Judgement::busy(Millis(1_000), Reason::InFlight);
    assert_eq!(judged(&policy, &in_flight, TIMED_OUT), busy);
}
