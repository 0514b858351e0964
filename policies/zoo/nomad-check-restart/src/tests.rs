use reprieve_policy::{Beat, FakeEvidence, FromSettings as _, ProbeFault};

use super::*;

const DEAD_NOTE: &[u8] = b"n\x00";
const FAILING: Judgement<Reason> = Judgement::busy(Millis(10_000), Reason::CheckFailing);

fn with(settings: &str) -> NomadCheckRestart {
    NomadCheckRestart::open(settings).expect("settings")
}

fn judged_by(policy: &NomadCheckRestart, evidence: &FakeEvidence) -> Judgement<Reason> {
    policy.judge(evidence, Trigger::Sweep, Attempt::FIRST)
}

fn judged(evidence: &FakeEvidence) -> Judgement<Reason> {
    judged_by(&NomadCheckRestart::default(), evidence)
}

fn silent() -> FakeEvidence {
    FakeEvidence::seen(Status::Running).beat(Millis(45_001)).began(Millis(900_000))
}

fn with_health(health: Health) -> FakeEvidence {
    let look = Ok(Sighting { health: Some(health), ..Sighting::bare(Status::Running) });
    FakeEvidence { look, ..FakeEvidence::default() }
}

#[test]
fn a_check_that_fails_three_times_in_a_row_restarts_the_task() {
    let dead = Judgement::dead(Reason::CheckFailed);
    for (case, evidence, expected, written) in [
        ("first", silent(), FAILING, Some(&b"n\x01"[..])),
        ("second", silent().noted(b"n\x01", Millis(10_000)), FAILING, None),
        (
            "between them",
            silent().noted(b"n\x01", Millis(15_000)),
            Judgement::busy(Millis(5_000), Reason::CheckFailing),
            None,
        ),
        ("third", silent().noted(b"n\x01", Millis(20_000)), dead, Some(DEAD_NOTE)),
        ("still", silent().noted(DEAD_NOTE, Millis(3_000)), dead, None),
        (
            "passes",
            FakeEvidence::default().contact(Millis(1)).noted(b"n\x01", Millis(19_000)),
            Judgement::alive(Reason::Passing),
            Some(b""),
        ),
    ] {
        assert_eq!(judged(&evidence), expected, "{case}");
        assert_eq!(evidence.written().as_deref(), written, "{case}");
    }
}

#[test]
fn a_limit_of_one_restarts_at_the_first_failure_and_of_none_never() {
    let one = with(r#"{"limit": 1}"#);
    assert_eq!(judged_by(&one, &silent()), Judgement::dead(Reason::CheckFailed));
    let none = with(r#"{"limit": 0}"#);
    assert_eq!(judged_by(&none, &silent()), Judgement::alive(Reason::Unchecked));
    assert_eq!((one.silence_limit(), none.silence_limit()), (Some(Millis(45_000)), None));
}

#[test]
fn health_and_signs_together_are_the_status_of_the_check() {
    let lax = with(r#"{"ignore_warnings": true}"#);
    let passing = Judgement::alive(Reason::Passing);
    for (case, evidence, strictly, laxly) in [
        ("unhealthy", with_health(Health::Unhealthy).beat(Millis(1)), FAILING, FAILING),
        ("healthy", with_health(Health::Healthy), passing, passing),
        ("healthy but silent", with_health(Health::Healthy).beat(Millis(45_001)), FAILING, passing),
        ("starting", with_health(Health::Starting), FAILING, FAILING),
        ("starting, but answers", with_health(Health::Starting).beat(Millis(1)), passing, passing),
        (
            "neither",
            FakeEvidence::seen(Status::Running),
            Judgement::alive(Reason::Unchecked),
            Judgement::alive(Reason::Unchecked),
        ),
    ] {
        assert_eq!(judged(&evidence), strictly, "{case}");
        assert_eq!(judged_by(&lax, &evidence), laxly, "{case}, warnings ignored");
    }
}

#[test]
fn a_boot_longer_than_the_grace_counts_as_failure() {
    let booting = |began| {
        let beat = Beat { age: Millis(900_000), this_life: false };
        FakeEvidence { newest_beat: Ok(Some(beat)), ..FakeEvidence::default() }.began(Millis(began))
    };
    let grace = Judgement::busy(Millis(1_000), Reason::Grace);
    assert_eq!(judged(&booting(500)), grace);
    assert_eq!(judged(&booting(1_000)), FAILING);
    let patient = with(r#"{"grace": "90s"}"#);
    let grace = Judgement::busy(Millis(89_000), Reason::Grace);
    assert_eq!(judged_by(&patient, &booting(1_000)), grace);
}

#[test]
fn what_ended_is_dead_at_once_and_what_cannot_be_seen_is_not() {
    for status in [Status::Stopped, Status::Missing] {
        let evidence = FakeEvidence::seen(status).beat(Millis(700));
        assert_eq!(judged(&evidence), Judgement::dead(Reason::TaskEnded), "{status:?}");
        assert_eq!(evidence.written().as_deref(), Some(DEAD_NOTE), "{status:?}");
    }
    for status in [Status::Starting, Status::Restarting] {
        let pending = Judgement::busy(Millis(10_000), Reason::Pending);
        assert_eq!(judged(&FakeEvidence::seen(status)), pending, "{status:?}");
    }
    let unseen = FakeEvidence::unseen(ProbeFault::Unreachable).beat(Millis(900_000));
    assert_eq!(judged(&unseen), Judgement::alive(Reason::Unseen));
    let in_flight = FakeEvidence::seen(Status::Stopped).in_flight();
    assert_eq!(judged(&in_flight), Judgement::busy(Millis(10_000), Reason::InFlight));
    let blind = silent().without_stores();
    assert_eq!(judged(&blind), Judgement::busy(Millis(10_000), Reason::StoreFault));
}

#[test]
fn two_restarts_in_half_an_hour_are_all() {
    let ended = |restarts, since_dead| {
        FakeEvidence::seen(Status::Stopped).restarted(restarts).noted(DEAD_NOTE, Millis(since_dead))
    };
    let fail = NomadCheckRestart::default();
    let delay = with(r#"{"mode_delay": true}"#);
    let none = with(r#"{"attempts": 0, "mode_delay": true}"#);
    for (case, policy, restarts, since_dead, expected) in [
        ("at once", &fail, 0, 0, Ruling::defer(Millis(16_875), Reason::Delay)),
        ("in part", &fail, 1, 5_000, Ruling::defer(Millis(11_875), Reason::Delay)),
        ("after the delay", &fail, 1, 15_000, Ruling::admit(Reason::WithinPolicy)),
        ("the third", &fail, 2, 15_000, Ruling::drop(Reason::ExceededAttempts)),
        (
            "the third, delayed",
            &delay,
            2,
            15_000,
            Ruling::defer(Millis(15_000), Reason::AppliedDelay),
        ),
        ("none allowed", &none, 0, 15_000, Ruling::drop(Reason::ExceededAttempts)),
    ] {
        let ruling = policy.admit(&ended(restarts, since_dead), RestartCause::DeadVerdict);
        assert_eq!(ruling, expected, "{case}");
    }
    let blind = ended(0, 0).without_stores();
    let ruling = fail.admit(&blind, RestartCause::DeadVerdict);
    assert_eq!(ruling, Ruling::defer(Millis(15_000), Reason::StoreFault));
    let wanted = fail.admit(&ended(99, 0), RestartCause::Operator);
    assert_eq!(wanted, Ruling::admit(Reason::Wanted));
}
