//! A runtime reports an end and shows it. It is judged at once, without asking the
//! runtime for what it has just said, and believed only after a look.

use std::time::Duration;

use reprieve_core::incident::WorkspaceState;
use reprieve_tests::{PolicyName, Stage, StageOptions, ws};

const SECOND: Duration = Duration::from_secs(1);

async fn stage(policy: PolicyName) -> Stage {
    Stage::set(StageOptions { policy, reports_ends: true, ..StageOptions::default() }).await
}

#[tokio::test(start_paused = true)]
async fn an_end_in_sight_is_judged_without_a_look_and_dead_only_after_one() {
    let stage = stage(PolicyName::Default).await;
    let looks = stage.runtime.looks(&ws(1));
    stage.runtime.crash_in_sight(&ws(1));
    stage.pass(SECOND).await;
    assert_eq!(stage.reasons(1, 1).await, ["exit-reported"]);
    assert_eq!(stage.runtime.looks(&ws(1)), looks, "it has just said so");
    assert_eq!(stage.restarts(), []);
    stage.pass(9 * SECOND).await;
    assert_eq!(stage.restarts().len(), 1);
    assert!(stage.runtime.looks(&ws(1)) > looks, "nobody is restarted unseen");
}

#[tokio::test(start_paused = true)]
async fn a_report_of_an_end_that_was_none_restarts_nobody() {
    let stage = stage(PolicyName::Default).await;
    stage.runtime.show_an_end(&ws(1));
    stage.pass(60 * SECOND).await;
    assert_eq!(stage.restarts(), []);
    assert_eq!(stage.state(1), WorkspaceState::Online);
}

/// It bites.
#[tokio::test(start_paused = true)]
async fn who_believes_the_first_word_kills_a_live_one() {
    let stage = stage(PolicyName::TrustTheProbe).await;
    stage.runtime.show_an_end(&ws(1));
    stage.pass(60 * SECOND).await;
    let killed = stage.restarts().iter().filter(|start| start.killed_a_live_one).count();
    assert_eq!(killed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_report_about_a_run_before_is_about_nobody() {
    let stage = stage(PolicyName::Default).await;
    stage.runtime.crash_in_sight(&ws(1));
    stage.runtime.start_by_hand(&ws(1));
    stage.pass(120 * SECOND).await;
    assert_eq!(stage.restarts(), []);
    assert_eq!(stage.state(1), WorkspaceState::Online);
}
