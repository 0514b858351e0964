//! What people do with the runtime itself. Nobody is restarted against their
//! will, and nobody's restart is disturbed.

use std::time::Duration;

use reprieve_core::{
    incident::WorkspaceState,
    judgement::{ForwardFailure, RestartCause},
    ports::{RestartHistory, Restarts as _},
    settings::Settings,
};
use reprieve_server::{
    proxy::fleet::{Fleet as _, Heartbeat},
    supervisor::WorkspaceSpec,
};
use reprieve_tests::{Stage, StageOptions, ws};

const SECOND: Duration = Duration::from_secs(1);

async fn stage() -> Stage {
    Stage::set(StageOptions { reports_ends: true, ..StageOptions::default() }).await
}

async fn history(stage: &Stage) -> RestartHistory {
    stage.store.restarts.fetch(&ws(1)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_a_person_stopped_stays_stopped() {
    let stage = stage().await;
    stage.runtime.stop_by_hand(&ws(1));
    stage.pass(600 * SECOND).await;
    assert_eq!(stage.restarts(), []);
    assert_eq!(stage.state(1), WorkspaceState::Paused);
    stage.fail(1, ForwardFailure::Refused).await;
    stage.pass(60 * SECOND).await;
    assert_eq!(stage.restarts(), [], "a request does not bring it back either");
}

#[tokio::test(start_paused = true)]
async fn the_same_end_without_a_person_is_a_death() {
    let stage = stage().await;
    stage.runtime.crash(&ws(1));
    stage.pass(10 * SECOND).await;
    assert_eq!(stage.restarts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_person_starts_again_is_watched_again() {
    let stage = stage().await;
    stage.runtime.stop_by_hand(&ws(1));
    stage.pass(60 * SECOND).await;
    stage.runtime.start_by_hand(&ws(1));
    stage.pass(120 * SECOND).await;
    assert_eq!(stage.state(1), WorkspaceState::Online);
    stage.runtime.crash(&ws(1));
    stage.pass(10 * SECOND).await;
    assert_eq!(stage.restarts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_by_hand_is_not_answered_with_another() {
    let stage = stage().await;
    let before = history(&stage).await.life;
    stage.runtime.stop_by_hand(&ws(1));
    // The gap that a restart of the Engine shows.
    stage.pass(Duration::from_millis(220)).await;
    stage.fail(1, ForwardFailure::Refused).await;
    stage.runtime.start_by_hand(&ws(1));
    for _ in 0..30 {
        stage.fail(1, ForwardFailure::Refused).await;
        stage.pass(SECOND).await;
    }
    stage.pass(120 * SECOND).await;
    assert_eq!(stage.restarts(), []);
    assert_eq!(stage.state(1), WorkspaceState::Online);
    let history = history(&stage).await;
    assert_eq!((history.life, history.cause), (before.next(), None), "another run, another life");
}

#[tokio::test(start_paused = true)]
async fn an_operator_brings_back_what_was_stopped_by_hand() {
    let stage = stage().await;
    stage.runtime.stop_by_hand(&ws(1));
    stage.pass(60 * SECOND).await;
    stage.supervisor.bring_back(&ws(1)).await;
    stage.pass(120 * SECOND).await;
    let causes: Vec<_> = stage.restarts().iter().map(|start| start.cause).collect();
    assert_eq!(causes, [RestartCause::Operator]);
    assert_eq!(stage.state(1), WorkspaceState::Online);
}

/// The host comes up, or the workspace is found, long after its run began, and the
/// first beat comes before it is known which run that is.
#[tokio::test(start_paused = true)]
async fn a_beat_that_comes_while_a_run_is_being_found_is_of_that_run() {
    let stage = stage().await;
    stage.silence(1);
    stage.supervisor.withdrawn(&ws(1)).await;
    stage.runtime.start_by_hand(&ws(1));
    stage.pass(600 * SECOND).await;
    let token = "one of its own";
    let spec = WorkspaceSpec {
        id: ws(1),
        tenant: "acme".parse().unwrap(),
        kind: "fake".to_owned(),
        labels: vec![],
        queues_for_itself: false,
        token: token.to_owned(),
        address: None,
        depends_on: vec![],
        discovered: true,
        ends_with_host: false,
    };
    stage.supervisor.found(spec, Settings::new(), None).await.unwrap();
    stage.supervisor.heartbeat(&ws(1), Some(token), Heartbeat::default()).await.unwrap();
    stage.pass(60 * SECOND).await;
    assert_eq!(stage.restarts(), [], "it beat a minute ago");
    assert_eq!(stage.state(1), WorkspaceState::Online);
}
