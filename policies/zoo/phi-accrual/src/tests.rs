use reprieve_policy::{Beat, FakeEvidence, FromSettings as _, Status, StoreFault};

use super::*;

fn judged(policy: &PhiAccrual, evidence: &FakeEvidence) -> Judgement<Reason> {
    policy.judge(evidence, Trigger::HeartbeatExpired, Attempt::FIRST)
}

/// A fleet that beats every 30 s, and says so.
fn of_30_s() -> PhiAccrual {
    PhiAccrual::open(r#"{"first_heartbeat_estimate": "30s"}"#).expect("settings")
}

fn beating(age_ms: u64, intervals_ms: &[u64]) -> FakeEvidence {
    let intervals = intervals_ms.iter().copied().map(Millis).collect();
    FakeEvidence { intervals: Ok(intervals), ..FakeEvidence::default() }.beat(Millis(age_ms))
}

const REGULAR: [u64; 8] = [30_000; 8];
const RESTLESS: [u64; 8] = [20_000, 40_000, 20_000, 40_000, 20_000, 40_000, 20_000, 40_000];

/// As Pekko writes it, with the standard library.
fn pekko_phi(silence_ms: f64, mean_ms: f64, deviation_ms: f64) -> f64 {
    let y = (silence_ms - mean_ms) / deviation_ms;
    let e = (-y * (1.5976 + 0.070566 * y * y)).exp();
    if silence_ms > mean_ms { -(e / (1.0 + e)).log10() } else { -(1.0 - 1.0 / (1.0 + e)).log10() }
}

#[test]
fn dead_is_whose_phi_of_pekko_reaches_the_threshold() {
    let policy = of_30_s();
    for intervals in [&[][..], &[30_000], &[1_000, 1_100, 900], &REGULAR, &RESTLESS, &[60_000; 8]] {
        let mut samples: Vec<f64> = intervals.iter().map(|ms| *ms as f64).collect();
        samples.extend([37_500.0, 22_500.0]);
        samples.truncate(8);
        let n = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / n;
        let variance = samples.iter().map(|ms| ms * ms).sum::<f64>() / n - mean * mean;
        let deviation = variance.max(0.0).sqrt().max(100.0);
        for silence_ms in (0..200_000).step_by(97) {
            let phi = pekko_phi(silence_ms as f64, mean + 3_000.0, deviation);
            let judgement = judged(&policy, &beating(silence_ms, intervals));
            let dead = judgement == Judgement::dead(Reason::Unavailable);
            assert_eq!(dead, phi >= 8.0, "{intervals:?}, silent for {silence_ms} ms: {phi}");
        }
    }
}

#[test]
fn the_host_is_told_to_ask_when_phi_reaches_the_threshold() {
    let policy = of_30_s();
    for (case, intervals, dead_at) in [
        ("regular, with the floor of 100 ms", &REGULAR[..], 33_523),
        ("restless, with 10 s", &RESTLESS, 85_260),
        ("nothing but the estimate, with 7.5 s", &[], 72_195),
    ] {
        let limit = policy.silence_limit().expect("a limit");
        let first = judged(&policy, &beating(limit.0, intervals));
        let asked_at = match first.verdict {
            reprieve_policy::Verdict::Busy(wait) => limit.0 + wait.0,
            reprieve_policy::Verdict::Dead => limit.0,
            other => panic!("{case}: {other:?}"),
        };
        assert!(asked_at.abs_diff(dead_at) <= 1, "{case}: asked at {asked_at} ms");
        let judgement = judged(&policy, &beating(asked_at, intervals));
        assert_eq!(judgement, Judgement::dead(Reason::Unavailable), "{case}");
        if asked_at > limit.0 {
            let before = judged(&policy, &beating(asked_at - 2, intervals));
            assert_eq!(before.reason, Reason::SuspicionGrows, "{case}");
        }
    }
}

#[test]
fn a_fleet_that_beats_slower_than_its_settings_say_is_restarted() {
    // The first heartbeat of a life that beats every 30 s, by Pekko's default of 1 s.
    let policy = PhiAccrual::default();
    assert_eq!(judged(&policy, &beating(4_500, &[])), Judgement::alive(Reason::Available));
    assert_eq!(judged(&policy, &beating(6_000, &[])), Judgement::dead(Reason::Unavailable));
}

#[test]
fn who_never_beat_is_not_monitored_and_the_runtime_is_not_asked() {
    let earlier = FakeEvidence {
        newest_beat: Ok(Some(Beat { age: Millis(900_000), this_life: false })),
        ..FakeEvidence::seen(Status::Missing)
    };
    for evidence in [FakeEvidence::seen(Status::Missing), earlier] {
        let unmonitored = Judgement::alive(Reason::Unmonitored);
        assert_eq!(judged(&PhiAccrual::default(), &evidence), unmonitored);
        assert_eq!(evidence.looks(), 0);
    }
}

#[test]
fn without_the_heartbeats_there_is_no_phi() {
    let busy = Judgement::busy(Millis(10_000), Reason::StoreFault);
    let blind = FakeEvidence { intervals: Err(StoreFault), ..beating(900_000, &[]) };
    assert_eq!(judged(&PhiAccrual::default(), &blind), busy);
    assert_eq!(judged(&PhiAccrual::default(), &beating(900_000, &[]).without_stores()), busy);
}

#[test]
fn settings_at_their_ends_give_an_answer() {
    let widest = PhiAccrual::open(
        r#"{"threshold": 100, "min_std_deviation": "1h", "acceptable_heartbeat_pause": "1h",
            "first_heartbeat_estimate": "1h"}"#,
    )
    .expect("settings");
    let narrowest = PhiAccrual::open(
        r#"{"threshold": 1, "min_std_deviation": "1ms", "acceptable_heartbeat_pause": "0s",
            "first_heartbeat_estimate": "100ms", "max_sample_size": 1}"#,
    )
    .expect("settings");
    assert!(widest.silence_limit() > Some(Millis::from_secs(2 * 3_600)));
    assert_eq!(narrowest.silence_limit(), Some(Millis(1_000)));
    for policy in [widest, narrowest] {
        let dead = judged(&policy, &beating(u64::MAX, &[u64::MAX]));
        let fresh = judged(&policy, &beating(0, &[30_000]));
        assert_eq!(fresh, Judgement::alive(Reason::Available));
        assert!(
            dead == Judgement::dead(Reason::Unavailable) || dead.reason == Reason::SuspicionGrows
        );
    }
}

#[test]
fn every_restart_is_admitted() {
    let restless = FakeEvidence::default().began(Millis(1)).restarted(99);
    let ruling = PhiAccrual::default().admit(&restless, RestartCause::DeadVerdict);
    assert_eq!(ruling, Ruling::admit(Reason::Always));
}
