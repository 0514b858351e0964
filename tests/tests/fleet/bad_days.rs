//! The Engine freezes, and the Engine dies.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use parking_lot::Mutex;
use reprieve_server::supervisor::Supervisor;
use serde_json::json;
use tokio::time::{interval, sleep};

use crate::stage::Fleet;

const FLEET: u32 = 16;
/// As long as the daemon stayed away.
const FREEZE: Duration = Duration::from_secs(20);
/// Long enough for what is begun in vain to show.
const AFTERMATH: Duration = Duration::from_secs(10);
/// Containers that have just started are judged, too; nobody is to wait.
const SHORT_WINDOWS: &str = "settle = \"1s\"\nrestart_debounce = \"1s\"\n";

/// Requests to all while the Engine is frozen and the agents drop connections,
/// and somebody removes the last one; who was restarted although he lived.
async fn freeze_while_requests_fan_out(fleet: &Fleet, freeze: Duration) -> Vec<String> {
    let before = fleet.runs().await;
    let removed = fleet.names.last().unwrap().clone();
    let starved = json!({"close_early": true});
    for name in &fleet.names {
        fleet.switch(name, &starved).await;
    }
    fleet.engine.freeze().await;
    let mut removal = fleet.engine.docker_command();
    let removal = removal.args(["rm", "-f", &removed]).kill_on_drop(true).output();
    let story = async {
        let mut got = fleet.ping_all().await;
        sleep(freeze).await;
        got.extend(fleet.ping_all().await);
        fleet.engine.thaw().await;
        // They have air again, before attempts at delivery are used up.
        for name in &fleet.names {
            fleet.relieve(name).await;
        }
        got
    };
    let (got, removal) = tokio::join!(story, removal);
    assert!(removal.unwrap().status.success());
    fleet.until("the removed one is back", || fleet.are_all_running()).await;
    sleep(AFTERMATH).await;
    let now = fleet.runs().await;
    assert_ne!(now[&removed], before[&removed], "it is another container");
    for (name, got) in fleet.names.iter().chain(&fleet.names).zip(&got) {
        let is_promised =
            got.status == StatusCode::SERVICE_UNAVAILABLE && got.body["restarting"] == true;
        assert!(got.is_queued() || is_promised, "{name}: {got:?}");
        if got.is_queued() {
            fleet.until("what was queued is delivered", || fleet.is_delivered(name, got)).await;
        }
    }
    let lived = fleet.names.iter().filter(|name| **name != removed);
    lived.filter(|name| now[*name] != before[*name]).cloned().collect()
}

#[tokio::test]
async fn a_frozen_engine_costs_no_live_container_its_life() {
    let Some(fleet) = Fleet::set(FLEET, "default", SHORT_WINDOWS).await else { return };
    let killed = freeze_while_requests_fan_out(&fleet, FREEZE).await;
    assert_eq!(killed, Vec::<String>::new());
    assert_eq!(fleet.restarts(), 1, "that of the one that was removed");
    fleet.end().await;
}

/// The story bites.
#[tokio::test]
async fn under_the_policy_of_its_day_a_frozen_engine_costs_several_lives() {
    let Some(fleet) = Fleet::set(6, "trust-the-probe", "").await else { return };
    let killed = freeze_while_requests_fan_out(&fleet, Duration::from_secs(5)).await;
    assert!(killed.len() >= 3, "only {killed:?}");
    fleet.end().await;
}

#[tokio::test]
async fn an_engine_that_died_gets_its_fleet_back_each_once_and_a_few_at_a_time() {
    let settings = format!("{SHORT_WINDOWS}max_restarting_percent = 25\n");
    let Some(fleet) = Fleet::set(FLEET, "default", &settings).await else { return };
    let most_at_once = most_restarting_at_once(&fleet.host.supervisor);
    let before = fleet.runs().await;
    fleet.engine.kill().await;
    fleet.engine.start_again().await;
    fleet.until("the fleet is back", || fleet.are_all_running()).await;
    sleep(AFTERMATH).await;
    let now = fleet.runs().await;
    let same: Vec<_> = fleet.names.iter().filter(|name| now[*name] == before[*name]).collect();
    assert!(same.is_empty(), "they cannot have survived: {same:?}");
    assert_eq!(
        fleet.restarts(),
        u64::from(FLEET),
        "each once: {:?}",
        fleet.host.supervisor.tally()
    );
    assert!(*most_at_once.lock() <= 4, "a quarter of 16, not {}", most_at_once.lock());
    fleet.end().await;
}

/// Of the whole fleet, from now on.
fn most_restarting_at_once(supervisor: &Supervisor) -> Arc<Mutex<usize>> {
    let most = Arc::new(Mutex::new(0));
    let (supervisor, seen) = (supervisor.clone(), Arc::clone(&most));
    tokio::spawn(async move {
        let mut look = interval(Duration::from_millis(10));
        loop {
            look.tick().await;
            let statuses = supervisor.statuses().await;
            let now = statuses.iter().filter(|status| status.restart_in_flight).count();
            let mut most = seen.lock();
            *most = now.max(*most);
        }
    });
    most
}
