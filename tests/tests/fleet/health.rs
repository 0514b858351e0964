//! Containers that run and do not work, and containers that only seem not to.

use std::time::Duration;

use tokio::time::sleep;

use crate::stage::{Fleet, agent};

/// More than an event, a look and a second look take.
const AFTERMATH: Duration = Duration::from_secs(8);

#[tokio::test]
async fn an_unhealthy_container_that_beats_is_left_alone() {
    let Some(fleet) = Fleet::set(1, "default", "settle = \"1s\"\n").await else { return };
    let sick = agent("sick", &fleet.url).health("false", "200ms", 1);
    fleet.engine.run(&sick).await;
    // It may be called unhealthy before it has ever been found well.
    let is_known = || async { fleet.state_of("sick").await.is_some() };
    fleet.until("the host knows it", is_known).await;
    let state = || async { fleet.engine.inspect("sick").await["State"].clone() };
    let is_sick = || async { state().await["Health"]["Status"] == "unhealthy" };
    fleet.until("docker calls it unhealthy", is_sick).await;
    let before = state().await["StartedAt"].clone();
    sleep(AFTERMATH).await;
    assert_eq!(state().await["StartedAt"], before);
    let counts = fleet.host.supervisor.tally().counts();
    let asked = counts.verdicts.get("busy unhealthy").copied().unwrap_or_default();
    assert!((1..=3).contains(&asked), "not at every beat: {counts:?}");
    assert_eq!(fleet.restarts(), 0);
    fleet.end().await;
}

/// To Docker it runs: its first process has not ended.
#[tokio::test]
async fn a_container_that_hangs_is_restarted_after_its_silence() {
    let settings = "settle = \"1s\"\nrestart_debounce = \"1s\"\nrecent_heartbeat = \"2s\"\n\
                    recent_heartbeat_max = \"4s\"\nliveness_ttl = \"6s\"\nreprobe_delay = \"1s\"\n";
    let Some(fleet) = Fleet::set(2, "default", settings).await else { return };
    let before = fleet.runs().await;
    fleet.engine.docker(&["kill", "--signal", "STOP", "ws-1"]).await;
    let is_another = || async { fleet.runs().await["ws-1"] != before["ws-1"] };
    fleet.until("the one that hangs is restarted", is_another).await;
    fleet.until("both are well", || fleet.are_online()).await;
    assert_eq!(fleet.restarts(), 1);
    assert_eq!(fleet.runs().await["ws-2"], before["ws-2"], "the other beats");
    fleet.end().await;
}
