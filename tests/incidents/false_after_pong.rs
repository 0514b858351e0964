//! 2026-06-15, job 506813. A workspace answers PONG; 0.7 s later one forward
//! fails and one look says "not running", while the instance settles after a
//! configuration change. It was declared dead and stopped.

use std::time::Duration;

use reprieve_core::{
    decision::Finding,
    evidence::{Sighting, Status},
    incident::WorkspaceState,
    judgement::ForwardFailure,
    time::Millis,
};
use reprieve_tests::{PolicyName, Stage, StageOptions, ws};

const STOPPED: Sighting = Sighting::bare(Status::Stopped);

async fn stage(policy: PolicyName) -> Stage {
    Stage::set(StageOptions {
        policy,
        beat_every: Duration::from_secs(30),
        ..StageOptions::default()
    })
    .await
}

/// A restart for new settings; 40 s later PONG, and 0.7 s after that one false
/// reading.
async fn play(stage: &Stage) -> Finding {
    stage.until_last_beat_is(1, Duration::from_secs(5)).await;
    stage.revise(1, 1).await;
    stage.pass(Duration::from_secs(17)).await;
    stage.answer(1);
    stage.pass(Duration::from_millis(700)).await;
    stage.runtime.lie(&ws(1), [STOPPED, STOPPED]);
    stage.fail(1, ForwardFailure::Refused).await
}

#[tokio::test(start_paused = true)]
async fn within_the_settle_window_it_is_busy_and_nobody_probes() {
    let stage = stage(PolicyName::Default).await;
    let looks = stage.runtime.looks(&ws(1));
    let finding = play(&stage).await;
    assert!(matches!(finding, Finding::Busy { .. }), "{finding:?}");
    assert_eq!(stage.runtime.looks(&ws(1)), looks, "no probe is made");
    assert_eq!(stage.reasons(1, 1).await, ["settle-window"]);
    assert_eq!(stage.restarts().len(), 1, "the settings change alone");
}

#[tokio::test(start_paused = true)]
async fn under_the_policy_of_its_day_the_settling_one_is_killed() {
    let stage = stage(PolicyName::TrustTheProbe).await;
    let finding = play(&stage).await;
    assert!(matches!(finding, Finding::Restarting { .. }), "{finding:?}");
    stage.pass(Duration::from_secs(1)).await;
    let restarts = stage.restarts();
    assert!(restarts.len() >= 2 && restarts[1].killed_a_live_one, "{restarts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_recent_heartbeat_is_busy_however_often_it_is_not_running() {
    let stage = stage(PolicyName::Default).await;
    stage.until_last_beat_is(1, Duration::from_secs(1)).await;
    for round in 0..8 {
        stage.runtime.lie(&ws(1), [STOPPED]);
        let finding = stage.fail(1, ForwardFailure::Refused).await;
        assert!(matches!(finding, Finding::Busy { .. }), "round {round}: {finding:?}");
        stage.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(stage.restarts(), []);
}

#[tokio::test(start_paused = true)]
async fn counting_observations_kills_a_workspace_that_beats() {
    let stage = stage(PolicyName::CountDebounce).await;
    stage.until_last_beat_is(1, Duration::from_secs(1)).await;
    for _ in 0..2 {
        stage.runtime.lie(&ws(1), [STOPPED]);
        stage.fail(1, ForwardFailure::Refused).await;
        stage.pass(Duration::from_secs(1)).await;
    }
    let restarts = stage.restarts();
    assert_eq!(restarts.len(), 1, "the story must bite");
    assert!(restarts[0].killed_a_live_one);
}

#[tokio::test(start_paused = true)]
async fn false_then_true_is_alive_with_two_probes_and_no_change() {
    let stage = stage(PolicyName::Default).await;
    // Silent for longer than its window, as during a long model call.
    stage.silence(1);
    stage.pass(Duration::from_secs(70)).await;
    let (looks, state) = (stage.runtime.looks(&ws(1)), stage.state(1));
    stage.runtime.lie(&ws(1), [STOPPED]);
    let finding = stage.fail(1, ForwardFailure::Refused).await;
    assert_eq!(finding, Finding::Alive);
    assert_eq!(stage.runtime.looks(&ws(1)) - looks, 2, "exactly two probes");
    assert_eq!((stage.state(1), state), (WorkspaceState::Online, WorkspaceState::Online));
    assert_eq!(stage.restarts(), []);
}

#[tokio::test(start_paused = true)]
async fn a_dead_one_is_found_within_one_request_and_the_re_probe() {
    let stage = stage(PolicyName::Default).await;
    stage.runtime.crash(&ws(1));
    stage.pass(Duration::from_secs(70)).await;
    assert_eq!(stage.restarts(), [], "nobody asked yet");
    let asked = stage.clock.now();
    let finding = stage.fail(1, ForwardFailure::Refused).await;
    assert!(matches!(finding, Finding::Restarting { .. }), "{finding:?}");
    let took = asked.age(stage.clock.now());
    assert!(took >= Millis(2_000) && took < Millis(2_200), "{took}");
    stage.pass(Duration::from_secs(1)).await;
    assert_eq!(stage.restarts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reported_exit_is_found_in_two_seconds_although_it_beat_a_moment_ago() {
    let stage = Stage::set(StageOptions { reports_ends: true, ..StageOptions::default() }).await;
    stage.until_last_beat_is(1, Duration::from_millis(100)).await;
    let crashed = stage.clock.now();
    stage.runtime.crash(&ws(1));
    stage.pass(Duration::from_secs(4)).await;
    let restarts = stage.restarts();
    assert_eq!(restarts.len(), 1, "nobody had to ask");
    let took = crashed.age(restarts[0].at);
    assert!(took >= Millis(2_000) && took < Millis(2_500), "{took}");
}
