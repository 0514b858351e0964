//! A workspace that others share a network namespace with takes theirs away when
//! it is restarted.

use std::time::Duration;

use reprieve_core::judgement::RestartCause;
use reprieve_tests::{Stage, StageOptions, Start, ws};

const MINUTE: Duration = Duration::from_secs(60);

/// 2 and 3 depend on 1, 4 on both, 5 on nobody.
async fn diamond() -> Stage {
    Stage::set(StageOptions {
        workspaces: 5,
        reports_ends: true,
        depends_on: vec![(2, 1), (3, 1), (4, 2), (4, 3)],
        ..StageOptions::default()
    })
    .await
}

fn who(starts: &[Start]) -> Vec<String> {
    starts.iter().map(|start| start.workspace.to_string()).collect()
}

fn names(numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(|number| ws(*number).to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn dependents_follow_a_restart_once_and_in_order() {
    let stage = diamond().await;
    stage.runtime.crash(&ws(1));
    stage.pass(10 * MINUTE).await;
    let starts = stage.restarts();
    assert_eq!(who(&starts), names(&[1, 2, 3, 4]));
    assert!(starts[1..].iter().all(|start| start.cause == RestartCause::Dependency));
}

#[tokio::test(start_paused = true)]
async fn dependents_follow_although_they_were_restarted_a_moment_ago() {
    let stage = diamond().await;
    stage.want_restart(4, RestartCause::Operator).await;
    stage.pass(Duration::from_secs(5)).await;
    stage.runtime.crash(&ws(2));
    stage.pass(10 * MINUTE).await;
    assert_eq!(who(&stage.restarts()), names(&[4, 2, 4]));
}

#[tokio::test(start_paused = true)]
async fn dependents_follow_a_restart_by_hand_unless_the_person_restarts_them_too() {
    let stage = diamond().await;
    stage.runtime.stop_by_hand(&ws(1));
    stage.runtime.start_by_hand(&ws(1));
    stage.pass(Duration::from_secs(2)).await;
    stage.runtime.stop_by_hand(&ws(2));
    stage.runtime.start_by_hand(&ws(2));
    stage.pass(10 * MINUTE).await;
    assert_eq!(who(&stage.restarts()), names(&[3, 4]), "2 was restarted by hand");
}

#[tokio::test(start_paused = true)]
async fn a_circle_ends() {
    let stage = Stage::set(StageOptions {
        workspaces: 2,
        reports_ends: true,
        depends_on: vec![(1, 2), (2, 1)],
        ..StageOptions::default()
    })
    .await;
    stage.runtime.crash(&ws(1));
    stage.pass(10 * MINUTE).await;
    assert_eq!(who(&stage.restarts()), names(&[1, 2]));
}
