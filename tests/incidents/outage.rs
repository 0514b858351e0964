//! A whole fleet dies in one moment, as when a machine's runtime is killed. It
//! comes back without a person, each workspace once, and a few at a time.

use std::time::Duration;

use reprieve_core::ids::WorkspaceId;
use reprieve_tests::{Stage, StageOptions, ws};

const FLEET: u32 = 20;
/// A tenth of the fleet: `max_restarting_percent`.
const AT_ONCE: usize = 2;
/// Far shorter than a restart takes.
const STEP: Duration = Duration::from_millis(50);
const STEPS: u32 = 4_000;

#[tokio::test(start_paused = true)]
async fn a_fleet_that_died_at_once_comes_back_a_few_at_a_time() {
    let options = StageOptions { workspaces: FLEET, reports_ends: true, ..StageOptions::default() };
    let stage = Stage::set(options).await;
    for number in 1..=FLEET {
        stage.runtime.crash(&ws(number));
    }
    let mut most_at_once = 0;
    for _ in 0..STEPS {
        stage.pass(STEP).await;
        let statuses = stage.supervisor.statuses().await;
        let now = statuses.iter().filter(|status| status.restart_in_flight).count();
        most_at_once = most_at_once.max(now);
    }
    assert_eq!(most_at_once, AT_ONCE);
    let mut back: Vec<WorkspaceId> =
        stage.restarts().into_iter().map(|start| start.workspace).collect();
    back.sort();
    let mut fleet: Vec<WorkspaceId> = (1..=FLEET).map(ws).collect();
    fleet.sort();
    assert_eq!(back, fleet, "each once");
}
