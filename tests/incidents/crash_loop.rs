//! A workspace that ends as soon as it is up is brought back, and not for ever
//! as fast as can be.

use std::time::Duration;

use reprieve_core::{settings::SettingsBook, time::Millis};
use reprieve_tests::{Stage, StageOptions, ws};
use serde_json::json;

/// `restart_budget` and its window, the policy's own.
const BUDGET: usize = 5;
const WINDOW: Millis = Millis::from_secs(600);
const SECONDS: u32 = 3_600;

#[tokio::test(start_paused = true)]
async fn a_crash_loop_is_held_to_its_budget() {
    let windows = json!({"settle": "1s", "restart_debounce": "1s"});
    let fleet = windows.as_object().unwrap().clone();
    let settings = SettingsBook { fleet: fleet.into(), ..SettingsBook::default() };
    let stage =
        Stage::set(StageOptions { reports_ends: true, settings, ..StageOptions::default() }).await;
    for _ in 0..SECONDS {
        if stage.runtime.is_up(&ws(1)) {
            stage.runtime.crash(&ws(1));
        }
        stage.pass(Duration::from_secs(1)).await;
    }
    let restarts = stage.restarts();
    for (earlier, later) in restarts.iter().zip(restarts.iter().skip(BUDGET)) {
        let apart = earlier.at.age(later.at);
        assert!(apart >= WINDOW, "{} restarts within {apart}", BUDGET + 1);
    }
    assert!(restarts.len() > 2 * BUDGET, "it is not given up: {}", restarts.len());
}
