use reprieve_policy::{Beat, FakeEvidence, ForwardFailure, FromSettings as _, ProbeFault, Verdict};

use super::*;

const FAILED: Trigger = Trigger::ForwardFailed(ForwardFailure::TimedOut);
const DEAD_NOTE: &[u8] = b"k\x00";

fn judged(evidence: &FakeEvidence) -> Judgement<Reason> {
    KubeletLiveness::default().judge(evidence, Trigger::Sweep, Attempt::FIRST)
}

fn silent() -> FakeEvidence {
    FakeEvidence::seen(Status::Running).beat(Millis(45_001)).began(Millis(900_000))
}

fn with_health(health: Health) -> FakeEvidence {
    let sighting = Sighting { health: Some(health), ..Sighting::bare(Status::Running) };
    FakeEvidence { look: Ok(sighting), ..FakeEvidence::default() }
}

/// Beats of an earlier life, none of this one, which began so long ago.
fn booting(began: Millis) -> FakeEvidence {
    let beat = Beat { age: began.saturating_add(Millis(1)), this_life: false };
    FakeEvidence { newest_beat: Ok(Some(beat)), ..FakeEvidence::seen(Status::Running) }.began(began)
}

#[test]
fn three_failed_probes_in_a_row_are_a_death_and_one_success_begins_anew() {
    let failing = Judgement::busy(Millis(10_000), Reason::LivenessFailing);
    for (case, evidence, expected, written) in [
        ("first", silent(), failing, Some(&b"k\x01"[..])),
        ("second", silent().noted(b"k\x01", Millis(10_000)), failing, Some(b"k\x02")),
        (
            "third",
            silent().noted(b"k\x02", Millis(10_000)),
            Judgement::dead(Reason::LivenessFailed),
            Some(DEAD_NOTE),
        ),
        (
            "still",
            silent().noted(DEAD_NOTE, Millis(5_000)),
            Judgement::dead(Reason::LivenessFailed),
            None,
        ),
        (
            "answered",
            FakeEvidence::default().beat(Millis(45_000)).noted(b"k\x02", Millis(10_000)),
            Judgement::alive(Reason::Live),
            Some(b""),
        ),
        (
            "away for three periods",
            silent().noted(b"k\x02", Millis(30_001)),
            failing,
            Some(b"k\x01"),
        ),
    ] {
        assert_eq!(judged(&evidence), expected, "{case}");
        assert_eq!(evidence.written().as_deref(), written, "{case}");
    }
}

#[test]
fn a_period_has_one_probe_however_many_requests_fail() {
    let evidence = silent().noted(b"k\x02", Millis(4_000));
    let judgement = KubeletLiveness::default().judge(&evidence, FAILED, Attempt::FIRST);
    assert_eq!(judgement, Judgement::busy(Millis(6_000), Reason::LivenessFailing));
    assert_eq!(evidence.written(), None);
}

#[test]
fn a_death_takes_the_same_time_whoever_asks() {
    // From the first failed probe on, asked again whenever the policy says.
    let (mut now, mut note): (u64, Option<(Vec<u8>, u64)>) = (0, None);
    for _ in 0..10 {
        let mut evidence = silent();
        if let Some((bytes, at)) = &note {
            evidence = evidence.noted(bytes, Millis(now - at));
        }
        let judgement = judged(&evidence);
        if let Some(bytes) = evidence.written() {
            note = Some((bytes, now));
        }
        match judgement.verdict {
            Verdict::Busy(wait) => now += wait.0,
            Verdict::Dead => break,
            Verdict::Alive | Verdict::Recheck(_) => panic!("{judgement:?} at {now} ms"),
        }
    }
    assert_eq!(now, 20_000, "the third probe is two periods after the first");
}

#[test]
fn the_health_check_of_the_runtime_has_counted_by_itself() {
    for (health, expected) in [
        (Health::Healthy, Judgement::alive(Reason::Live)),
        (Health::Unhealthy, Judgement::dead(Reason::LivenessFailed)),
    ] {
        assert_eq!(judged(&with_health(health)), expected, "{health:?}");
    }
    let starting = with_health(Health::Starting).began(Millis(1_000));
    assert_eq!(judged(&starting), Judgement::busy(Millis(10_000), Reason::StartingUp));
}

#[test]
fn a_slow_boot_is_covered_by_the_startup_probe_alone() {
    let starting = |wait| Judgement::busy(Millis(wait), Reason::StartingUp);
    for (case, began, expected) in [
        ("at once", 0, starting(10_000)),
        ("long past the liveness probe", 200_000, starting(10_000)),
        ("in the last period", 299_500, starting(1_000)),
        ("at its end", 300_000, Judgement::dead(Reason::StartupFailed)),
    ] {
        assert_eq!(judged(&booting(Millis(began))), expected, "{case}");
    }
    let none = KubeletLiveness::open(r#"{"startup_failure_threshold": 0}"#).expect("settings");
    let evidence = booting(Millis(60_000)).noted(b"k\x02", Millis(10_000));
    let judgement = none.judge(&evidence, Trigger::Settling, Attempt::FIRST);
    assert_eq!(judgement, Judgement::dead(Reason::LivenessFailed), "without a startup probe");
}

#[test]
fn what_ended_is_dead_at_once_and_what_cannot_be_seen_is_not() {
    for status in [Status::Stopped, Status::Missing] {
        let evidence = FakeEvidence::seen(status).beat(Millis(700));
        assert_eq!(judged(&evidence), Judgement::dead(Reason::Exited), "{status:?}");
        assert_eq!(evidence.written().as_deref(), Some(DEAD_NOTE), "{status:?}");
    }
    for status in [Status::Starting, Status::Restarting] {
        let busy = Judgement::busy(Millis(10_000), Reason::Creating);
        assert_eq!(judged(&FakeEvidence::seen(status)), busy, "{status:?}");
    }
    let unseen = FakeEvidence::unseen(ProbeFault::TimedOut).beat(Millis(900_000));
    assert_eq!(judged(&unseen), Judgement::alive(Reason::Unseen));
    let unprobed = FakeEvidence::seen(Status::Running);
    assert_eq!(judged(&unprobed), Judgement::alive(Reason::Unprobed));
    let in_flight = FakeEvidence::seen(Status::Stopped).in_flight();
    assert_eq!(judged(&in_flight), Judgement::busy(Millis(10_000), Reason::InFlight));
}

#[test]
fn restarts_in_a_row_wait_ten_seconds_doubled_up_to_five_minutes() {
    let ruled = |restarts, began, since_dead| {
        let evidence = FakeEvidence::seen(Status::Stopped)
            .began(Millis(began))
            .restarted(restarts)
            .noted(DEAD_NOTE, Millis(since_dead));
        KubeletLiveness::default().admit(&evidence, RestartCause::DeadVerdict)
    };
    let waits = |wait| Ruling::defer(Millis(wait), Reason::CrashLoopBackOff);
    let admitted = Ruling::admit(Reason::Admitted);
    for (case, restarts, began, since_dead, expected) in [
        ("the first", 0, 30_000, 0, admitted),
        ("the second", 1, 30_000, 0, waits(10_000)),
        ("has waited in part", 1, 30_000, 4_000, waits(6_000)),
        ("has waited", 1, 40_000, 10_000, admitted),
        ("the third", 2, 30_000, 0, waits(20_000)),
        ("the sixth", 5, 30_000, 0, waits(160_000)),
        ("the seventh", 6, 30_000, 0, waits(300_000)),
        ("the hundredth", 99, 30_000, 0, waits(300_000)),
        ("after ten minutes of life", 6, 600_001, 0, admitted),
        ("that many, some of them dead", 6, 600_001, 1_000, waits(299_000)),
    ] {
        assert_eq!(ruled(restarts, began, since_dead), expected, "{case}");
    }
}

#[test]
fn a_store_that_cannot_be_read_neither_kills_nor_restarts() {
    let blind = FakeEvidence::seen(Status::Stopped).without_stores();
    assert_eq!(judged(&blind), Judgement::busy(Millis(10_000), Reason::StoreFault));
    let policy = KubeletLiveness::default();
    let ruling = policy.admit(&blind, RestartCause::DeadVerdict);
    assert_eq!(ruling, Ruling::defer(Millis(10_000), Reason::StoreFault));
    let wanted = policy.admit(&blind, RestartCause::SettingsChanged);
    assert_eq!(wanted, Ruling::admit(Reason::Wanted));
}
