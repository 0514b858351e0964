//! The same night as in `one_change_four_restarts`, with the real backend for
//! control planes against a real HTTP server: one change of a secret, and an
//! instance that stays pending for 25 s. Times are a twenty-fifth of the real
//! ones: 25 s are 1 s.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reprieve_core::{
    decision::Finding,
    ids::Revision,
    judgement::{ForwardFailure, RestartCause},
    ports::Clock,
    settings::SettingsBook,
};
use reprieve_runtime::Current;
use reprieve_server::{
    backend::http::{ControlPlane, ControlPlaneOptions},
    clock::HostClock,
    proxy::fleet::{Fleet as _, Heartbeat, Registration},
    store::{Store, StoreOptions},
    supervisor::{Ports, Supervisor, SupervisorOptions, WorkspaceSpec},
};
use reprieve_tests::{
    FakeCourier, FakeRuntime, PolicyName,
    control_plane::{Call, MockControlPlane},
    generation, ws,
};
use serde_json::json;
use tokio::{
    sync::mpsc,
    time::{interval, sleep_until, timeout},
};

/// 25 s.
const PENDING: Duration = Duration::from_secs(1);
/// 5 s.
const STOPPING: Duration = Duration::from_millis(200);
/// 60 s.
const SETTLE: Duration = Duration::from_millis(2_400);
const BEAT_EVERY: Duration = Duration::from_millis(200);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "a token of the instance";

/// One instance that a person started, and that beats while it runs.
struct Night {
    supervisor: Supervisor,
    plane: Arc<MockControlPlane>,
}

impl Night {
    async fn begin(policy: PolicyName, settle: Duration) -> Self {
        let plane = Arc::new(MockControlPlane::start(PENDING, STOPPING).await);
        let clock: Arc<dyn Clock> = Arc::new(HostClock::start());
        let (events, receiver) = mpsc::channel(64);
        let url = plane.url();
        let options = ControlPlaneOptions::new("cloud", url, None, Arc::clone(&clock), events);
        let backend = Arc::new(ControlPlane::new(options).unwrap());
        let store = Store::in_memory(StoreOptions::default(), Arc::clone(&clock)).await.unwrap();
        let (nowhere, _) = FakeRuntime::new(Arc::clone(&clock), Default::default(), false);
        let ports = Ports {
            clock,
            probe: backend.clone(),
            restarter: backend,
            heartbeats: store.heartbeats.clone(),
            restarts: store.restarts.clone(),
            memory: store.memory.clone(),
            queue: store.queue.clone(),
            decisions: store.decisions.clone(),
            records: store.workspaces.clone(),
            courier: FakeCourier::new(nowhere),
            experiments: Arc::default(),
        };
        let current = Arc::new(Current::new(generation(policy, settings(policy, settle))));
        let supervisor = Supervisor::new(ports, current, SupervisorOptions::default());
        plane.start_by_hand(&ws(1));
        let night = Self { supervisor, plane };
        night.until_state("running").await;
        night.supervisor.take_on(spec()).await.unwrap();
        night.supervisor.start(receiver).await;
        night.keep_beating();
        // A run that has just begun is left to settle, whoever began it.
        night.pass(settle).await;
        night
    }

    fn keep_beating(&self) {
        let (supervisor, plane) = (self.supervisor.clone(), Arc::clone(&self.plane));
        tokio::spawn(async move {
            let mut beat = interval(BEAT_EVERY);
            loop {
                beat.tick().await;
                if plane.state_of(&ws(1))["state"] == "running" {
                    let _ = supervisor.heartbeat(&ws(1), Some(TOKEN), Heartbeat::default()).await;
                }
            }
        });
    }

    async fn revise(&self, revision: u64) {
        let revision = Some(Revision(revision));
        let registration = Registration { revision, ..Registration::default() };
        self.supervisor.register(&ws(1), Some(TOKEN), registration).await.unwrap();
    }

    async fn fail(&self) -> Finding {
        let life = self.supervisor.route(&ws(1)).unwrap().life;
        self.supervisor.forward_failed(&ws(1), life, ForwardFailure::Unresolved).await.finding
    }

    /// Requests fail, one after the other, for so long.
    async fn poll(&self, time: Duration) -> Vec<Finding> {
        let (began, mut pace) = (Instant::now(), interval(BEAT_EVERY / 2));
        let mut findings = Vec::new();
        while began.elapsed() < time {
            pace.tick().await;
            findings.push(self.fail().await);
        }
        findings
    }

    async fn until_state(&self, state: &str) {
        let mut look = interval(LOOK_EVERY);
        let reached = timeout(PATIENCE, async {
            while self.plane.state_of(&ws(1))["state"] != state {
                look.tick().await;
            }
        });
        assert!(reached.await.is_ok(), "never {state}: {}", self.plane.state_of(&ws(1)));
    }

    async fn until_begun(&self, runs: u64) {
        let mut look = interval(LOOK_EVERY);
        let begun = timeout(PATIENCE, async {
            while self.plane.begun() < runs {
                look.tick().await;
            }
        });
        assert!(begun.await.is_ok(), "only {} runs: {:?}", self.plane.begun(), self.plane.orders());
    }

    /// Lets time pass in which nothing may happen.
    async fn pass(&self, time: Duration) {
        sleep_until(tokio::time::Instant::now() + time).await;
    }

    fn orders(&self) -> (usize, usize) {
        (self.plane.count(Call::Stop), self.plane.count(Call::Start))
    }
}

fn settings(policy: PolicyName, settle: Duration) -> SettingsBook {
    let length = |time: Duration| format!("{}ms", time.as_millis());
    let fleet = match policy {
        PolicyName::Default => json!({
            "settle": length(settle),
            "restart_debounce": length(settle),
            "reprobe_delay": "80ms",
            "recent_heartbeat": "600ms",
            "recent_heartbeat_max": "2400ms",
            "liveness_ttl": "7200ms",
        }),
        PolicyName::TrustTheProbe | PolicyName::CountDebounce | PolicyName::Unruly => json!({}),
    };
    let fleet = fleet.as_object().unwrap().clone();
    SettingsBook { fleet: fleet.into(), ..SettingsBook::default() }
}

fn spec() -> WorkspaceSpec {
    WorkspaceSpec {
        id: ws(1),
        tenant: "acme".parse().unwrap(),
        kind: "http".to_owned(),
        labels: vec![],
        queues_for_itself: false,
        token: TOKEN.to_owned(),
        address: None,
        depends_on: vec![],
        discovered: false,
        ends_with_host: false,
    }
}

#[tokio::test]
async fn one_change_is_one_start() {
    let night = Night::begin(PolicyName::Default, SETTLE).await;
    night.revise(1).await;
    let findings = night.poll(STOPPING + PENDING + BEAT_EVERY).await;
    assert!(findings.iter().all(|finding| matches!(finding, Finding::Busy { .. })), "{findings:?}");
    night.until_state("running").await;
    night.pass(SETTLE * 2).await;
    assert_eq!((night.orders(), night.plane.begun()), ((1, 1), 2), "{:?}", night.plane.orders());
    assert_eq!(night.plane.ended_live(), 1, "only the run that the change was about");
    let route = night.supervisor.route(&ws(1)).unwrap();
    assert!(route.address.is_some(), "its address came after the start");
}

#[tokio::test]
async fn two_changes_are_two_starts_the_second_after_the_settle_window() {
    let night = Night::begin(PolicyName::Default, SETTLE).await;
    let first = Instant::now();
    night.revise(1).await;
    night.pass(STOPPING).await;
    night.revise(2).await;
    night.until_begun(3).await;
    let apart = first.elapsed();
    assert!(apart >= SETTLE, "the second came {apart:?} after the first");
    night.until_state("running").await;
    night.pass(SETTLE * 2).await;
    assert_eq!((night.orders(), night.plane.begun()), ((2, 2), 3), "{:?}", night.plane.orders());
}

#[tokio::test]
async fn four_attempts_in_flight_are_dropped() {
    let night = Night::begin(PolicyName::Default, SETTLE).await;
    night.revise(1).await;
    for _ in 0..4 {
        night.supervisor.want_restart(&ws(1), RestartCause::DeadVerdict).await.unwrap();
    }
    night.until_state("pending").await;
    night.pass(SETTLE).await;
    assert_eq!(night.orders(), (1, 1));
    let drops = night.supervisor.tally().counts().drops;
    assert_eq!(drops.values().sum::<u64>(), 4, "{drops:?}");
}

/// The window protects nobody here: only what the probe says does.
#[tokio::test]
async fn pending_is_no_death_even_long_after_the_settle_window() {
    let night = Night::begin(PolicyName::Default, Duration::from_millis(100)).await;
    night.revise(1).await;
    night.until_state("pending").await;
    let mut findings = Vec::new();
    loop {
        let finding = night.poll(BEAT_EVERY / 4).await;
        if night.plane.state_of(&ws(1))["state"] != "pending" {
            break;
        }
        findings.extend(finding);
    }
    assert!(findings.len() > 2, "too slow to have seen it pending");
    assert!(findings.iter().all(|finding| matches!(finding, Finding::Busy { .. })), "{findings:?}");
    night.until_state("running").await;
    assert_eq!((night.orders(), night.plane.ended_live()), ((1, 1), 1));
}

#[tokio::test]
async fn an_instance_that_crashes_is_started_once() {
    let night = Night::begin(PolicyName::Default, SETTLE).await;
    night.plane.crash(&ws(1));
    let dead = timeout(PATIENCE, async {
        while !matches!(night.fail().await, Finding::Restarting { .. }) {
            night.pass(LOOK_EVERY).await;
        }
    });
    assert!(dead.await.is_ok(), "{:?}", night.plane.state_of(&ws(1)));
    night.until_state("running").await;
    assert_eq!((night.orders(), night.plane.begun()), ((0, 1), 2));
}

#[tokio::test]
async fn under_the_policy_of_its_day_what_was_just_launched_is_killed() {
    let night = Night::begin(PolicyName::TrustTheProbe, SETTLE).await;
    night.revise(1).await;
    night.poll(PENDING * 3).await;
    let killed = night.plane.ended_live();
    assert!(killed >= 3, "it must bite: {killed} killed, {:?}", night.plane.orders());
}
