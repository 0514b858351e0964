//! 2026-04-16, 09:10 UTC. A batch starves the Docker daemon of CPU while forwards
//! fail. Every inspect error was read as "not running": six healthy containers
//! were recreated in one second.

use std::time::Duration;

use futures::future::join_all;
use reprieve_core::{
    decision::Finding, evidence::ProbeFault, judgement::ForwardFailure, time::Millis,
};
use reprieve_tests::{PolicyName, Stage, StageOptions};

const FLEET: u32 = 16;
const STALL: Duration = Duration::from_secs(20);
/// The one that is really removed in the same second.
const REMOVED: u32 = 7;

/// Plays the story: the daemon stalls with that fault, all 16 forwards fail.
async fn play(policy: PolicyName, fault: ProbeFault) -> (Stage, Vec<Finding>) {
    let stage = Stage::set(StageOptions {
        policy,
        workspaces: FLEET,
        beat_every: Duration::from_secs(30),
        ..StageOptions::default()
    })
    .await;
    stage.runtime.stall(fault);
    stage.runtime.remove(&reprieve_tests::ws(REMOVED));
    let fan_out = (1..=FLEET).map(|number| {
        // Four fail at once, the rest within the next second.
        let delay = Duration::from_millis(if number <= 4 { 0 } else { u64::from(number) * 60 });
        let stage = &stage;
        async move {
            stage.pass(delay).await;
            stage.fail(number, ForwardFailure::ClosedEarly).await
        }
    });
    let findings = join_all(fan_out).await;
    stage.pass(STALL).await;
    stage.runtime.recover();
    (stage, findings)
}

#[tokio::test(start_paused = true)]
async fn a_stalled_daemon_costs_no_restart() {
    for fault in [ProbeFault::TimedOut, ProbeFault::ClosedEarly, ProbeFault::Unreachable] {
        let (stage, findings) = play(PolicyName::Default, fault).await;
        assert!(
            findings.iter().all(|finding| matches!(finding, Finding::Alive | Finding::Busy { .. })),
            "{fault:?}: {findings:?}"
        );
        assert_eq!(stage.restarts(), [], "{fault:?}");
        let counts = stage.supervisor.tally().counts();
        let faults: u64 = counts.probe_faults.values().sum();
        assert!(faults >= u64::from(FLEET), "{fault:?}: faults are counted: {counts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_really_removed_in_the_same_second_is_restored_alone() {
    let (stage, _) = play(PolicyName::Default, ProbeFault::TimedOut).await;
    // Its last beat must age past 1.5 beat intervals; its callers come back.
    for _ in 0..20 {
        stage.pass(Duration::from_secs(10)).await;
        if stage.restarts_of(REMOVED).is_empty() {
            stage.fail(REMOVED, ForwardFailure::Refused).await;
        }
    }
    let restarts = stage.restarts();
    assert_eq!(restarts.len(), 1, "{restarts:?}");
    assert_eq!(restarts[0].workspace, reprieve_tests::ws(REMOVED));
    assert!(!restarts[0].killed_a_live_one);
}

#[tokio::test(start_paused = true)]
async fn under_the_policy_of_its_day_healthy_containers_are_recreated() {
    let (stage, _) = play(PolicyName::TrustTheProbe, ProbeFault::ClosedEarly).await;
    let killed = stage.restarts().iter().filter(|start| start.killed_a_live_one).count();
    assert!(killed >= 6, "the story must bite: {killed} live ones killed");
}

#[tokio::test(start_paused = true)]
async fn what_was_queued_during_the_stall_is_delivered() {
    let (stage, findings) = play(PolicyName::Default, ProbeFault::TimedOut).await;
    assert_eq!(findings.len(), FLEET as usize);
    for number in (1..=FLEET).filter(|number| *number != REMOVED) {
        stage.queue(number, &format!("request-{number}")).await;
    }
    stage.pass(Millis::from_secs(60).as_duration()).await;
    for number in (1..=FLEET).filter(|number| *number != REMOVED) {
        let delivered = stage.courier.delivered_to(&reprieve_tests::ws(number));
        let bodies: Vec<_> = delivered.iter().map(|request| request.body.as_slice()).collect();
        let body = format!("request-{number}");
        let times = bodies.iter().filter(|sent| **sent == body.as_bytes()).count();
        assert_eq!(times, 1, "ws-{number}");
    }
}
