//! Not a story of its day, but what the stories must not cost: who hangs for good
//! is found by his silence, and who is only slow is never touched.

use std::time::Duration;

use reprieve_core::{decision::Finding, judgement::ForwardFailure, time::Millis};
use reprieve_tests::{PolicyName, Stage, StageOptions};

const LIVENESS_TTL: Millis = Millis::from_secs(180);

/// It runs, as far as the runtime can tell, and gives no sign any more.
#[tokio::test(start_paused = true)]
async fn a_frozen_one_is_busy_and_then_judged_by_its_silence() {
    let stage = Stage::set(StageOptions::default()).await;
    stage.until_last_beat_is(1, Duration::ZERO).await;
    stage.silence(1);
    let froze = stage.clock.now();
    for _ in 0..3 {
        let finding = stage.fail(1, ForwardFailure::TimedOut).await;
        assert!(matches!(finding, Finding::Busy { .. }), "{finding:?}");
        stage.pass(Duration::from_secs(20)).await;
    }
    stage.pass(Duration::from_secs(100)).await;
    assert_eq!(stage.restarts(), [], "within its limit of silence nobody touches it");
    stage.pass(Duration::from_secs(30)).await;
    let restarts = stage.restarts();
    assert_eq!(restarts.len(), 1, "{restarts:?}");
    let after = froze.age(restarts[0].at);
    let re_probe_and_tick = Millis::from_secs(5);
    assert!(
        after >= LIVENESS_TTL && after <= LIVENESS_TTL.saturating_add(re_probe_and_tick),
        "{after}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_one_is_never_touched() {
    let stage = Stage::set(StageOptions {
        // Longer than the window of recent heartbeats: a long model call.
        beat_every: Duration::from_secs(45),
        ..StageOptions::default()
    })
    .await;
    for _ in 0..60 {
        let finding = stage.fail(1, ForwardFailure::TimedOut).await;
        assert!(matches!(finding, Finding::Busy { .. }), "{finding:?}");
        stage.pass(Duration::from_secs(60)).await;
    }
    assert_eq!(stage.restarts(), []);
}

/// A workspace that never beats is convicted by no silence.
#[tokio::test(start_paused = true)]
async fn a_silence_convicts_nobody_who_never_spoke() {
    let stage = Stage::set(StageOptions {
        beat_every: Duration::from_secs(1_000_000),
        ..StageOptions::default()
    })
    .await;
    stage.pass(Duration::from_secs(3_600)).await;
    stage.fail(1, ForwardFailure::TimedOut).await;
    stage.pass(Duration::from_secs(3_600)).await;
    assert_eq!(stage.restarts(), []);
}

/// The policy before April gave a silent one a minute, and no second look.
#[tokio::test(start_paused = true)]
async fn under_the_policy_of_its_day_a_long_model_call_is_a_death() {
    let stage = Stage::set(StageOptions {
        policy: PolicyName::TrustTheProbe,
        beat_every: Duration::from_secs(30),
        ..StageOptions::default()
    })
    .await;
    stage.silence(1);
    stage.pass(Duration::from_secs(120)).await;
    let restarts = stage.restarts();
    assert!(restarts.iter().any(|start| start.killed_a_live_one), "{restarts:?}");
}
