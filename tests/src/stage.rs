//! A fleet on virtual time.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use reprieve_core::{
    decision::Finding,
    ids::{Revision, WorkspaceId},
    incident::{Wish, WorkspaceState},
    judgement::{ForwardFailure, RestartCause},
    ports::{Accepted, Clock, DecisionFilter, Decisions as _},
    queue::{NewItem, Priority, StoredRequest},
    settings::SettingsBook,
    time::Millis,
};
use reprieve_runtime::Current;
use reprieve_server::{
    clock::HostClock,
    config::Config,
    experiments::{ExperimentParts, Experiments, Observer},
    policies::Policies,
    proxy::fleet::{Fleet, Heartbeat, Registration, ReportRefused},
    settings::{LiveSettings, SettingsParts, files::FileSettings},
    store::{AllApplied, Store, StoreOptions},
    supervisor::{Ports, Supervisor, SupervisorOptions, WorkspaceSpec},
};

use crate::{FakeCourier, FakeRuntime, PolicyName, Start, generation};

/// Of a length of time that passes, before it is looked after what goes on beside.
const STEP: Duration = Duration::from_secs(1);
/// Every workspace of a stage shows this token.
const TOKEN: &str = "a token of the stage";

pub struct StageOptions {
    pub policy: PolicyName,
    pub workspaces: u32,
    /// Between heartbeats.
    pub beat_every: Duration,
    pub boot: Millis,
    /// Does the runtime report when a run ended?
    pub reports_ends: bool,
    pub settings: SettingsBook,
    /// What judges, if it was made elsewhere; `policy` and `settings` are its then.
    pub current: Option<Arc<Current>>,
    /// Whose files are followed.
    pub config: Config,
    /// Who depends on whom.
    pub depends_on: Vec<(u32, u32)>,
    /// How long a request may wait.
    pub max_queue_age: Millis,
}

impl Default for StageOptions {
    fn default() -> Self {
        Self {
            policy: PolicyName::Default,
            workspaces: 1,
            beat_every: Duration::from_secs(10),
            boot: Millis(500),
            reports_ends: false,
            settings: SettingsBook::default(),
            current: None,
            config: Config::default(),
            depends_on: Vec::new(),
            max_queue_age: SupervisorOptions::default().max_queue_age,
        }
    }
}

/// A fleet that was started, beats, and is left alone otherwise.
pub struct Stage {
    pub supervisor: Supervisor,
    pub current: Arc<Current>,
    pub settings: LiveSettings,
    pub observer: Arc<Observer>,
    pub runtime: Arc<FakeRuntime>,
    pub courier: Arc<FakeCourier>,
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    beat_every: Duration,
    /// Who beats no more: for good, or as long as it was started no more often.
    silent: Arc<Mutex<HashMap<WorkspaceId, Option<usize>>>>,
    started: usize,
}

impl Stage {
    /// Starts a fleet and lets it run until every workspace has long settled.
    /// Must run on a paused clock.
    pub async fn set(options: StageOptions) -> Self {
        let workspaces = options.workspaces as usize;
        let mut stage = Self::set_at_once(options).await;
        stage.pass(Duration::from_secs(300)).await;
        stage.started = stage.runtime.starts().len();
        assert_eq!(stage.started, workspaces, "each is started once");
        stage
    }

    /// Starts a fleet, and waits for nothing.
    pub async fn set_at_once(options: StageOptions) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(HostClock::start());
        let store = Store::in_memory(StoreOptions::default(), Arc::clone(&clock))
            .await
            .expect("a store in memory opens");
        let (runtime, events) =
            FakeRuntime::new(Arc::clone(&clock), options.boot, options.reports_ends);
        let courier = FakeCourier::new(Arc::clone(&runtime));
        let observer = Arc::<Observer>::default();
        let ports = Ports {
            clock: Arc::clone(&clock),
            probe: runtime.clone(),
            restarter: runtime.clone(),
            heartbeats: store.heartbeats.clone(),
            restarts: store.restarts.clone(),
            memory: store.memory.clone(),
            queue: store.queue.clone(),
            decisions: store.decisions.clone(),
            records: store.workspaces.clone(),
            courier: courier.clone(),
            experiments: Arc::clone(&observer),
        };
        let (policy, book) = (options.policy, options.settings);
        let made = || Arc::new(Current::new(generation(policy, book)));
        let current = options.current.unwrap_or_else(made);
        let max_queue_age = options.max_queue_age;
        let behaviour = SupervisorOptions {
            jitter_per_mille: || 1_000,
            max_queue_age,
            ..SupervisorOptions::default()
        };
        let supervisor = Supervisor::new(ports, Arc::clone(&current), behaviour);
        let settings = LiveSettings::new(SettingsParts {
            current: Arc::clone(&current),
            supervisor: supervisor.clone(),
            store: store.settings.clone(),
            clock: Arc::clone(&clock),
            config: options.config,
            files: FileSettings::default(),
            applied: AllApplied::default(),
        });
        let stage = Self {
            supervisor,
            current,
            settings,
            observer,
            runtime,
            courier,
            store,
            clock,
            beat_every: options.beat_every,
            silent: Arc::default(),
            started: 0,
        };
        for number in 1..=options.workspaces {
            stage
                .supervisor
                .take_on(spec(number, &options.depends_on))
                .await
                .expect("the store is there");
        }
        stage.supervisor.start(events).await;
        for number in 1..=options.workspaces {
            stage.keep_beating(number);
        }
        stage
    }

    /// Experiments on its fleet, with candidates that are kept there.
    pub async fn experiments(&self, policies: &Policies) -> Experiments {
        let parts = ExperimentParts {
            current: Arc::clone(&self.current),
            policies: policies.clone(),
            settings: self.settings.clone(),
            supervisor: self.supervisor.clone(),
            observer: Arc::clone(&self.observer),
            store: Arc::clone(&self.store.experiments),
            clock: Arc::clone(&self.clock),
        };
        Experiments::open(parts).await.expect("none is on record")
    }

    /// Beats as long as the workspace is up. Workspaces do not beat in step.
    fn keep_beating(&self, number: u32) {
        let (supervisor, runtime) = (self.supervisor.clone(), Arc::clone(&self.runtime));
        let (every, id, silent) = (self.beat_every, ws(number), Arc::clone(&self.silent));
        tokio::spawn(async move {
            tokio::time::sleep(every * (number % 7) / 7).await;
            loop {
                let is_silent = silent.lock().get(&id).is_some_and(|starts| {
                    starts.is_none_or(|starts| starts == runtime.starts_of(&id))
                });
                if runtime.is_up(&id) && !is_silent {
                    let _ = supervisor.heartbeat(&id, Some(TOKEN), Heartbeat::default()).await;
                }
                tokio::time::sleep(every).await;
            }
        });
    }

    /// A workspace as the stage describes it; it need not be there.
    pub fn spec(&self, number: u32) -> WorkspaceSpec {
        spec(number, &[])
    }

    /// It runs on, and beats no more.
    pub fn silence(&self, number: u32) {
        self.silent.lock().insert(ws(number), None);
    }

    /// The same, until it is restarted.
    pub fn hang(&self, number: u32) {
        let starts = self.runtime.starts_of(&ws(number));
        self.silent.lock().insert(ws(number), Some(starts));
    }

    pub async fn pass(&self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            tokio::time::sleep_until(end.min(tokio::time::Instant::now() + STEP)).await;
            self.until_judged_beside().await;
        }
    }

    /// Threads of their own judge beside: virtual time stands still meanwhile.
    pub async fn until_judged_beside(&self) {
        let observer = Arc::clone(&self.observer);
        tokio::task::spawn_blocking(move || observer.wait_for_beside()).await.unwrap();
    }

    /// Waits, on virtual time, until one more heartbeat has come and is that old.
    pub async fn until_last_beat_is(&self, number: u32, age: Duration) {
        let newest = || self.supervisor.newest_sign(&ws(number));
        for _ in 0..10_000 {
            let now = newest().map(Millis::as_duration);
            if now.is_some_and(|now| now >= age && now < age + Duration::from_millis(20)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no beat of ws-{number} became {age:?} old");
    }

    /// A forwarded request fails; what its caller comes to.
    pub async fn fail(&self, number: u32, failure: ForwardFailure) -> Finding {
        let life = self.supervisor.route(&ws(number)).expect("it is known").life;
        let finding = self.supervisor.forward_failed(&ws(number), life, failure).await.finding;
        self.until_judged_beside().await;
        finding
    }

    /// A forwarded request is answered.
    pub fn answer(&self, number: u32) {
        let life = self.supervisor.route(&ws(number)).expect("it is known").life;
        self.supervisor.answered(&ws(number), life);
    }

    /// Queues a request, as the proxy does for BUSY.
    pub async fn queue(&self, number: u32, message_id: &str) -> Accepted {
        let item = NewItem {
            workspace: ws(number),
            message_id: message_id.to_owned(),
            priority: Priority::TASK,
            request: StoredRequest {
                method: "POST".to_owned(),
                path: String::new(),
                headers: vec![],
                body: message_id.as_bytes().to_vec(),
            },
            decision: None,
        };
        self.supervisor.accept(item).await.expect("the queue takes it")
    }

    /// The workspace's settings change.
    pub async fn revise(&self, number: u32, revision: u64) {
        let registration =
            Registration { revision: Some(Revision(revision)), ..Registration::default() };
        self.register(number, registration).await.expect("the registration is taken");
    }

    /// The workspace reports, with its token.
    pub async fn register(
        &self,
        number: u32,
        registration: Registration,
    ) -> Result<(), ReportRefused> {
        self.supervisor.register(&ws(number), Some(TOKEN), registration).await
    }

    pub async fn want_restart(&self, number: u32, cause: RestartCause) -> Wish {
        self.supervisor.want_restart(&ws(number), cause).await.expect("it is known")
    }

    pub fn state(&self, number: u32) -> WorkspaceState {
        self.supervisor.route(&ws(number)).expect("it is known").state
    }

    /// Starts since the stage was set.
    pub fn restarts(&self) -> Vec<Start> {
        self.runtime.starts().split_off(self.started)
    }

    pub fn restarts_of(&self, number: u32) -> Vec<Start> {
        let id = ws(number);
        self.restarts().into_iter().filter(|start| start.workspace == id).collect()
    }

    /// The reasons of a workspace's newest decisions, oldest first.
    pub async fn reasons(&self, number: u32, newest: u32) -> Vec<String> {
        self.store.decisions.flush().await.expect("decisions are written");
        let filter =
            DecisionFilter { workspace: Some(ws(number)), limit: newest, ..Default::default() };
        let decisions = self.store.decisions.list(&filter).await.expect("decisions are read");
        decisions.iter().map(|decision| decision.outcome.reason_code().to_owned()).collect()
    }
}

pub fn ws(number: u32) -> WorkspaceId {
    format!("ws-{number}").parse().expect("a name")
}

/// The label that tells which half of a fleet a workspace belongs to.
pub const HALF: &str = "half";

/// What that label says.
const fn half(number: u32) -> &'static str {
    if number.is_multiple_of(2) { "even" } else { "odd" }
}

fn spec(number: u32, depends_on: &[(u32, u32)]) -> WorkspaceSpec {
    let depends_on = depends_on.iter().filter(|(dependent, _)| *dependent == number);
    WorkspaceSpec {
        depends_on: depends_on.map(|(_, on)| ws(*on)).collect(),
        discovered: false,
        ends_with_host: true,
        id: ws(number),
        tenant: "acme".parse().expect("a name"),
        kind: "fake".to_owned(),
        labels: vec![(HALF.to_owned(), half(number).to_owned())],
        queues_for_itself: false,
        token: TOKEN.to_owned(),
        address: None,
    }
}
