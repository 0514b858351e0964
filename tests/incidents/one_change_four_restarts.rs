//! 2026-05-19, 00:05 UTC. One change of a secret restarts a cloud instance that
//! stays pending for half a minute: no address, "not running". A UI poll and the
//! platform's own message find it dead, and restart it again: four times.

use std::time::Duration;

use reprieve_core::{
    decision::Finding,
    incident::{Wish, WorkspaceState},
    judgement::{ForwardFailure, RestartCause},
    time::Millis,
};
use reprieve_tests::{PolicyName, Stage, StageOptions};

const PENDING: Millis = Millis::from_secs(25);
const SETTLE: Millis = Millis::from_secs(60);

async fn stage(policy: PolicyName) -> Stage {
    let stage = Stage::set(StageOptions {
        policy,
        beat_every: Duration::from_secs(30),
        ..StageOptions::default()
    })
    .await;
    *stage.runtime.boot.lock() = PENDING;
    stage
}

/// Four requests fail while the instance is pending.
async fn poll(stage: &Stage) -> Vec<Finding> {
    let mut findings = Vec::new();
    for after in [1, 4, 6, 9] {
        stage.pass(Duration::from_secs(after)).await;
        findings.push(stage.fail(1, ForwardFailure::Unresolved).await);
    }
    findings
}

#[tokio::test(start_paused = true)]
async fn one_change_is_one_start() {
    let stage = stage(PolicyName::Default).await;
    stage.revise(1, 1).await;
    let findings = poll(&stage).await;
    assert!(findings.iter().all(|finding| matches!(finding, Finding::Busy { .. })), "{findings:?}");
    stage.pass(Duration::from_secs(300)).await;
    let restarts = stage.restarts();
    assert_eq!(restarts.len(), 1, "{restarts:?}");
    assert_eq!(restarts[0].cause, RestartCause::SettingsChanged);
    assert_eq!(stage.state(1), WorkspaceState::Online);
}

#[tokio::test(start_paused = true)]
async fn four_attempts_in_flight_are_four_counted_drops() {
    let stage = stage(PolicyName::Default).await;
    stage.revise(1, 1).await;
    for _ in 0..4 {
        let wish = stage.want_restart(1, RestartCause::DeadVerdict).await;
        assert_eq!(wish, Wish::InFlight);
    }
    let drops = stage.supervisor.tally().counts().drops;
    assert_eq!(drops.get("dead-verdict: in-flight"), Some(&4), "{drops:?}");
    stage.pass(Duration::from_secs(120)).await;
    assert_eq!(stage.restarts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn programs_are_debounced_within_the_window_and_people_are_not() {
    let stage = stage(PolicyName::Default).await;
    stage.revise(1, 1).await;
    stage.pass(Duration::from_secs(30)).await;
    stage.want_restart(1, RestartCause::DeadVerdict).await;
    assert_eq!(stage.restarts().len(), 1, "30 s after the start it is dropped");
    let drops = stage.supervisor.tally().counts().drops;
    assert_eq!(drops.get("dead-verdict: policy"), Some(&1), "{drops:?}");
    stage.want_restart(1, RestartCause::Operator).await;
    stage.pass(Duration::from_secs(1)).await;
    assert_eq!(stage.restarts().len(), 2, "a person's restart is never debounced");
}

#[tokio::test(start_paused = true)]
async fn two_changes_are_two_starts_the_second_after_the_settle_window() {
    let stage = stage(PolicyName::Default).await;
    stage.revise(1, 1).await;
    stage.pass(Duration::from_secs(5)).await;
    stage.revise(1, 2).await;
    stage.pass(Duration::from_secs(300)).await;
    let restarts = stage.restarts();
    assert_eq!(restarts.len(), 2, "{restarts:?}");
    let apart = restarts[0].at.age(restarts[1].at);
    assert!(apart >= SETTLE, "the second came {apart} after the first");
    assert!(apart < SETTLE.saturating_add(Millis::from_secs(2)), "{apart}");
}

#[tokio::test(start_paused = true)]
async fn past_the_window_a_dead_one_is_restarted() {
    let stage = stage(PolicyName::Default).await;
    stage.revise(1, 1).await;
    stage.pass(Duration::from_secs(180)).await;
    stage.runtime.crash(&reprieve_tests::ws(1));
    stage.pass(Duration::from_secs(50)).await;
    let finding = stage.fail(1, ForwardFailure::Refused).await;
    assert!(matches!(finding, Finding::Restarting { .. }), "{finding:?}");
    stage.pass(Duration::from_secs(1)).await;
    assert_eq!(stage.restarts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_message_about_the_restart_waits_for_a_beat_of_the_new_life() {
    let stage = stage(PolicyName::Default).await;
    let delivered = || stage.courier.delivered_to(&reprieve_tests::ws(1)).len();
    let before = delivered();
    stage.revise(1, 1).await;
    stage.pass(Duration::from_secs(20)).await;
    assert_eq!(delivered(), before, "the instance is pending");
    stage.pass(Duration::from_secs(60)).await;
    assert_eq!(delivered(), before + 1);
    assert_eq!(stage.restarts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn under_the_policies_of_their_day_the_pending_instance_is_killed_again_and_again() {
    for policy in [PolicyName::TrustTheProbe, PolicyName::CountDebounce] {
        let stage = stage(policy).await;
        stage.revise(1, 1).await;
        poll(&stage).await;
        stage.pass(Duration::from_secs(60)).await;
        let restarts = stage.restarts();
        let killed = restarts.iter().filter(|start| start.killed_a_live_one).count();
        assert!(restarts.len() >= 3, "{policy:?} must bite: {restarts:?}");
        assert!(killed >= 3, "{policy:?} must kill what was just launched: {restarts:?}");
    }
}
