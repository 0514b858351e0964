//! What a runtime reports unasked. An end that it shows is judged at once, without
//! asking the runtime for what it has just said, and believed only after a look; and
//! nothing that is reported goes unnoticed because somebody was looking elsewhere.

use std::time::Duration;

use reprieve_core::{
    decision::Finding,
    evidence::{ProbeFault, Sighting, Status},
    incident::WorkspaceState,
    judgement::{ForwardFailure, RestartCause},
    settings::Settings,
    supervision::RETRY_WHILE_RESTARTING,
    time::Millis,
};
use reprieve_server::supervisor::WorkspaceSpec;
use reprieve_tests::{PolicyName, Stage, StageOptions, ws};

const SECOND: Duration = Duration::from_secs(1);
const NEVER_SEEN: u32 = 99;

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

/// Requests fail of a run that the runtime still shows as running, and while it says
/// so it ends.
#[tokio::test(start_paused = true)]
async fn an_end_that_is_reported_while_somebody_looks_is_judged_by_itself() {
    for failure in [ForwardFailure::Refused, ForwardFailure::Reset] {
        let stage = stage(PolicyName::Default).await;
        *stage.runtime.look_takes.lock() = Millis(50);
        let crash = async {
            stage.pass(Duration::from_millis(20)).await;
            stage.runtime.crash(&ws(1));
        };
        let (found, ()) = tokio::join!(stage.fail(1, failure), crash);
        assert_ne!(found, Finding::Restarting { retry_after: RETRY_WHILE_RESTARTING });
        stage.pass(5 * SECOND).await;
        assert_eq!(stage.restarts_of(1).len(), 1, "{failure:?}: {:?}", stage.reasons(1, 9).await);
    }
}

/// The runtime says it once, and in a settle window nobody asks it.
#[tokio::test(start_paused = true)]
async fn what_turns_unhealthy_while_it_settles_is_looked_into_once_it_has_settled() {
    let stage = stage(PolicyName::Default).await;
    stage.until_last_beat_is(1, SECOND).await;
    stage.want_restart(1, RestartCause::Operator).await;
    stage.pass(SECOND).await;
    stage.runtime.turn_unhealthy(&ws(1));
    stage.pass(20 * SECOND).await;
    assert_eq!(stage.reasons(1, 2).await, ["settle-window", "back"]);
    assert_eq!(stage.state(1), WorkspaceState::Online, "it beats");
    stage.pass(60 * SECOND).await;
    assert_eq!(stage.reasons(1, 1).await, ["unhealthy"]);
    assert_eq!(stage.state(1), WorkspaceState::Degraded);
    assert_eq!(stage.restarts_of(1).len(), 1, "by nobody but the operator");
}

/// And to whoever is not there yet it says nothing.
#[tokio::test(start_paused = true)]
async fn what_was_unhealthy_when_it_was_found_is_looked_into_once_it_has_settled() {
    let stage = stage(PolicyName::Default).await;
    stage.supervisor.withdrawn(&ws(1)).await;
    stage.runtime.start_by_hand(&ws(1));
    stage.runtime.turn_unhealthy(&ws(1));
    stage.pass(SECOND).await;
    stage.supervisor.found(stage.spec(1), Settings::new(), None).await.unwrap();
    stage.pass(20 * SECOND).await;
    assert_eq!(stage.reasons(1, 2).await, ["settle-window", "back"]);
    stage.pass(60 * SECOND).await;
    assert_eq!(stage.reasons(1, 1).await, ["unhealthy"]);
    assert_eq!(stage.restarts(), []);
}

/// A host comes up while the daemon is away. It has heard of workspaces that it has
/// never seen, and of one that it knows and that others began anew meanwhile.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_seen_when_it_is_found_is_looked_for_until_it_is() {
    let stage = stage(PolicyName::Default).await;
    stage.supervisor.withdrawn(&ws(1)).await;
    stage.runtime.stall(ProbeFault::ClosedEarly);
    for number in [1, NEVER_SEEN] {
        stage.runtime.start_by_hand(&ws(number));
        let spec = WorkspaceSpec { discovered: true, ..stage.spec(number) };
        stage.supervisor.found(spec, Settings::new(), None).await.unwrap();
    }
    stage.pass(45 * SECOND).await;
    stage.runtime.recover();
    stage.pass(120 * SECOND).await;
    for number in [1, NEVER_SEEN] {
        assert_eq!(stage.state(number), WorkspaceState::Online);
        assert_eq!(stage.restarts_of(number), []);
        stage.runtime.crash(&ws(number));
        stage.pass(10 * SECOND).await;
        assert_eq!(stage.restarts_of(number).len(), 1, "ws-{number} is watched over");
    }
}

/// Nothing is owed for it: it is well in its settle window, too.
#[tokio::test(start_paused = true)]
async fn what_is_well_when_it_is_found_stays_well() {
    let stage = stage(PolicyName::Default).await;
    stage.supervisor.withdrawn(&ws(1)).await;
    stage.runtime.start_by_hand(&ws(1));
    stage.pass(SECOND).await;
    stage.supervisor.found(stage.spec(1), Settings::new(), None).await.unwrap();
    stage.pass(15 * SECOND).await;
    for _ in 0..12 {
        assert_eq!(stage.state(1), WorkspaceState::Online);
        stage.pass(5 * SECOND).await;
    }
    assert_eq!(stage.reasons(1, 1).await, ["back"]);
}

/// The look before a verdict is after the report: nobody need judge again.
#[tokio::test(start_paused = true)]
async fn what_is_reported_between_two_looks_is_judged_with_the_second() {
    let stage = stage(PolicyName::Default).await;
    let ended = Sighting { ended: Some(Millis(0)), ..Sighting::bare(Status::Stopped) };
    stage.runtime.lie(&ws(1), [ended]);
    let sicken = async {
        stage.pass(SECOND).await;
        stage.runtime.turn_unhealthy(&ws(1));
    };
    tokio::join!(stage.fail(1, ForwardFailure::Refused), sicken);
    stage.pass(20 * SECOND).await;
    assert_eq!(stage.reasons(1, 3).await, ["back", "exit-reported", "unhealthy"]);
}
