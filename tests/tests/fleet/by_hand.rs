//! What people do with the Engine while the host watches.

use std::time::Duration;

use reprieve_core::incident::WorkspaceState;
use tokio::time::sleep;

use crate::stage::Fleet;

/// More than the second look and what follows from it takes.
const AFTERMATH: Duration = Duration::from_secs(8);
const SHORT_WINDOWS: &str = "settle = \"1s\"\nrestart_debounce = \"1s\"\nreprobe_delay = \"1s\"\n";

#[tokio::test]
async fn a_restart_by_hand_under_full_load_brings_no_second_one() {
    let Some(fleet) = Fleet::set(1, "default", SHORT_WINDOWS).await else { return };
    let name = fleet.names[0].clone();
    for round in 1..=3 {
        let before = fleet.runs().await;
        let command = ["restart", "-t", "1", &name];
        let restart = fleet.engine.docker(&command);
        let load = async {
            loop {
                fleet.ping(&name).await;
            }
        };
        tokio::select! {
            _ = restart => {}
            () = load => {}
        }
        sleep(Duration::from_secs(3)).await;
        let restarted = fleet.runs().await;
        assert_ne!(restarted, before, "round {round}");
        sleep(AFTERMATH).await;
        assert_eq!(fleet.runs().await, restarted, "round {round}: only the person restarts it");
    }
    assert_eq!(fleet.restarts(), 0);
    fleet.end().await;
}

#[tokio::test]
async fn what_a_person_stops_stays_stopped_and_what_dies_comes_back() {
    let Some(fleet) = Fleet::set(2, "default", SHORT_WINDOWS).await else { return };
    fleet.engine.docker(&["stop", "-t", "1", "ws-1"]).await;
    fleet.engine.docker(&["kill", "ws-2"]).await;
    let rests = || async { fleet.state_of("ws-1").await == Some(WorkspaceState::Paused) };
    fleet.until("what was stopped by hand rests", rests).await;
    let is_back = || async { fleet.restarts() == 1 };
    fleet.until("what was killed is restarted", is_back).await;
    sleep(AFTERMATH).await;
    let shown = fleet.engine.docker(&["ps", "--format", "{{.Names}}"]).await;
    assert_eq!(shown.trim(), "ws-2");

    fleet.engine.docker(&["start", "ws-1"]).await;
    let is_up = || async { fleet.state_of("ws-1").await == Some(WorkspaceState::Online) };
    fleet.until("what was started by hand is watched again", is_up).await;

    fleet.engine.docker(&["stop", "-t", "1", "ws-1"]).await;
    fleet.engine.docker(&["rm", "ws-1"]).await;
    let is_gone = || async { fleet.state_of("ws-1").await.is_none() };
    fleet.until("what was stopped and removed is withdrawn", is_gone).await;
    assert_eq!(fleet.restarts(), 1);
    fleet.end().await;
}
