use reprieve_policy::{Beat, Eyesight, FakeEvidence, Fleet, ForwardFailure, ProbeFault};

use super::*;

const FAILED: Trigger = Trigger::ForwardFailed(ForwardFailure::TimedOut);
const SUSPECT: Judgement<Reason> = Judgement::busy(Millis(1_000), Reason::Suspect);
const ACKNOWLEDGED: Judgement<Reason> = Judgement::alive(Reason::Acknowledged);

fn judged(evidence: &FakeEvidence, trigger: Trigger) -> Judgement<Reason> {
    Lifeguard::default().judge(evidence, trigger, Attempt::FIRST)
}

/// One of ten, so that two confirmations are expected.
fn silent() -> FakeEvidence {
    FakeEvidence::seen(Status::Running).beat(Millis(60_000)).fleet(Fleet {
        workspaces: 10,
        suspected: 0,
        restarting: 0,
    })
}

fn suspected(confirmations: u8, before: u64, age: u64) -> FakeEvidence {
    let mut bytes = bytes_of(confirmations, Millis(before));
    bytes[0] = b'l';
    silent().noted(&bytes, Millis(age))
}

fn written(confirmations: u8, before: u64) -> Option<Vec<u8>> {
    let mut bytes = bytes_of(confirmations, Millis(before));
    bytes[0] = b'l';
    Some(bytes.to_vec())
}

#[test]
fn the_time_of_a_suspect_shrinks_with_each_confirmation() {
    let dead = Judgement::dead(Reason::SuspicionTimeout);
    for (case, evidence, trigger, expected, note) in [
        ("first", silent(), FAILED, SUSPECT, written(0, 0)),
        ("unconfirmed", suspected(0, 0, 23_000), Trigger::Sweep, SUSPECT, None),
        ("unconfirmed to the end", suspected(0, 0, 24_000), Trigger::Sweep, dead, None),
        // One of two: 24 s - 0.63 x 20 s.
        ("confirmed", suspected(0, 0, 5_000), FAILED, SUSPECT, written(1, 5_000)),
        ("confirmed, unasked since", suspected(1, 5_000, 6_000), Trigger::Sweep, SUSPECT, None),
        ("its time", suspected(1, 5_000, 6_381), Trigger::Sweep, dead, None),
        ("confirmed twice", suspected(1, 1_000, 2_000), FAILED, SUSPECT, written(2, 3_000)),
        ("its time, too", suspected(1, 1_000, 3_000), FAILED, dead, None),
    ] {
        assert_eq!(judged(&evidence, trigger), expected, "{case}");
        assert_eq!(evidence.written(), note, "{case}");
    }
}

#[test]
fn a_suspect_refutes_with_a_sign_of_life() {
    // The runtime says that it does not run, so no sign answers before it is suspected.
    let stopped = |sign_age| {
        FakeEvidence { look: FakeEvidence::seen(Status::Stopped).look, ..suspected(0, 0, 10_000) }
            .beat(Millis(sign_age))
    };
    let refuted = stopped(9_999);
    assert_eq!(judged(&refuted, Trigger::Sweep), Judgement::alive(Reason::Refuted));
    assert_eq!(refuted.written(), Some(vec![]));
    assert_eq!(judged(&stopped(10_000), Trigger::Sweep), SUSPECT);
}

#[test]
fn a_false_reading_after_a_beat_is_a_suspicion_that_the_next_look_ends() {
    let first = FakeEvidence::seen(Status::Stopped).beat(Millis(700));
    assert_eq!(judged(&first, FAILED), SUSPECT);
    let note = first.written().expect("a suspicion");
    let second =
        FakeEvidence::seen(Status::Running).beat(Millis(1_700)).noted(&note, Millis(1_000));
    assert_eq!(judged(&second, Trigger::Sweep), ACKNOWLEDGED);
    assert_eq!(second.written(), Some(vec![]));
}

#[test]
fn a_host_that_doubts_itself_waits_longer() {
    let seen = |probes, probe_faults, store_faults, loop_lag| {
        silent().eyesight(Eyesight {
            probes,
            probe_faults,
            store_faults,
            loop_lag: Millis(loop_lag),
        })
    };
    for (case, evidence, expected) in [
        ("well", seen(0, 0, 0, 999), SUSPECT),
        ("as many good probes as bad", seen(4, 2, 0, 0), SUSPECT),
        ("one bad probe more", seen(3, 2, 0, 0), ACKNOWLEDGED),
        ("a store that failed", seen(0, 0, 1, 0), ACKNOWLEDGED),
        ("late by a probe interval", seen(0, 0, 0, 1_000), ACKNOWLEDGED),
    ] {
        assert_eq!(judged(&evidence, Trigger::HeartbeatExpired), expected, "{case}");
    }
    let blind = FakeEvidence { look: Err(ProbeFault::TimedOut), ..seen(99, 99, 0, 0) };
    let answers = blind.clone().beat(Millis(8 * 45_000));
    assert_eq!(judged(&answers, Trigger::Sweep), ACKNOWLEDGED, "eight times the window");
    let silent = blind.beat(Millis(8 * 45_000 + 1));
    let patient = Judgement::busy(Millis(8_000), Reason::Suspect);
    assert_eq!(judged(&silent, Trigger::Sweep), patient, "and probes an eighth as often");
}

#[test]
fn who_cannot_be_seen_and_is_silent_is_dead_in_the_end() {
    let unseen = FakeEvidence { look: Err(ProbeFault::TimedOut), ..suspected(0, 0, 24_000) };
    assert_eq!(judged(&unseen, Trigger::Sweep), Judgement::dead(Reason::SuspicionTimeout));
}

#[test]
fn who_has_not_joined_is_no_suspect() {
    let earlier = FakeEvidence {
        newest_beat: Ok(Some(Beat { age: Millis(900_000), this_life: false })),
        ..FakeEvidence::default()
    };
    for evidence in [FakeEvidence::default(), earlier, FakeEvidence::unseen(ProbeFault::Denied)] {
        assert_eq!(judged(&evidence, FAILED), Judgement::alive(Reason::NotJoined));
    }
    for status in [Status::Starting, Status::Restarting] {
        let starting = Judgement::busy(Millis(1_000), Reason::NotJoined);
        assert_eq!(judged(&FakeEvidence::seen(status), FAILED), starting, "{status:?}");
    }
}

#[test]
fn a_store_that_cannot_be_read_makes_nobody_suspect() {
    let blind = Judgement::busy(Millis(1_000), Reason::StoreFault);
    assert_eq!(judged(&silent().without_stores(), FAILED), blind);
    let no_note = FakeEvidence { memory: Err(reprieve_policy::StoreFault), ..silent() };
    assert_eq!(judged(&no_note, FAILED), blind);
    let in_flight = Judgement::busy(Millis(1_000), Reason::InFlight);
    assert_eq!(judged(&silent().in_flight(), FAILED), in_flight);
    let ruling = Lifeguard::default().admit(&silent(), RestartCause::DeadVerdict);
    assert_eq!(ruling, Ruling::admit(Reason::Always));
}
