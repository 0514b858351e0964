//! A runtime that shows what it is told to show.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use reprieve_core::{
    evidence::{Health, ProbeFault, Sighting, Status},
    ids::{LifeId, WorkspaceId},
    judgement::RestartCause,
    ports::{
        Clock, LifeMark, Look, Probe, Report, RestartFailure, RestartOrder, Restarter,
        RuntimeEvent, RuntimeEventKind, Started,
    },
    time::{Millis, UnixMillis},
};
use tokio::sync::mpsc;

/// How long a restart command takes, as with Docker.
const RESTART_TAKES: Millis = Millis(250);

/// What the mark of a run that a person started has on top of the last one's.
const STARTED_BY_HAND: u64 = 1_000;

/// A start that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub workspace: WorkspaceId,
    pub at: UnixMillis,
    pub life: LifeId,
    pub cause: RestartCause,
    /// A run that was up was ended for it.
    pub killed_a_live_one: bool,
}

#[derive(Debug)]
struct Run {
    status: Status,
    mark: u64,
    began: UnixMillis,
    up_at: UnixMillis,
    ended: Option<UnixMillis>,
    health: Option<Health>,
    /// What the next looks show instead of the truth.
    lies: VecDeque<Sighting>,
}

pub struct FakeRuntime {
    clock: Arc<dyn Clock>,
    /// From start to `running`.
    pub boot: Mutex<Millis>,
    /// From the moment that a look is of to its answer.
    pub look_takes: Mutex<Millis>,
    /// Does it report when a run ended?
    reports_ends: bool,
    stalled: Mutex<Option<ProbeFault>>,
    runs: Mutex<HashMap<WorkspaceId, Run>>,
    starts: Mutex<Vec<Start>>,
    looks: Mutex<HashMap<WorkspaceId, u32>>,
    events: mpsc::Sender<RuntimeEvent>,
}

impl std::fmt::Debug for FakeRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeRuntime").field("runs", &self.runs).finish_non_exhaustive()
    }
}

impl FakeRuntime {
    pub fn new(
        clock: Arc<dyn Clock>,
        boot: Millis,
        reports_ends: bool,
    ) -> (Arc<Self>, mpsc::Receiver<RuntimeEvent>) {
        let (events, receiver) = mpsc::channel(1_024);
        let runtime = Self {
            clock,
            boot: Mutex::new(boot),
            look_takes: Mutex::default(),
            reports_ends,
            stalled: Mutex::default(),
            runs: Mutex::default(),
            starts: Mutex::default(),
            looks: Mutex::default(),
            events,
        };
        (Arc::new(runtime), receiver)
    }

    /// From now on no probe sees anything: it fails with that fault, or, if it is
    /// a time-out, never answers.
    pub fn stall(&self, fault: ProbeFault) {
        *self.stalled.lock() = Some(fault);
    }

    pub fn recover(&self) {
        *self.stalled.lock() = None;
    }

    /// The next looks at it show these instead of the truth.
    pub fn lie(&self, workspace: &WorkspaceId, sightings: impl IntoIterator<Item = Sighting>) {
        if let Some(run) = self.runs.lock().get_mut(workspace) {
            run.lies.extend(sightings);
        }
    }

    /// The run ends by itself; reported, if this runtime reports.
    pub fn crash(&self, workspace: &WorkspaceId) {
        self.end(workspace, Status::Stopped);
    }

    /// The same, and the report shows what a look would.
    pub fn crash_in_sight(&self, workspace: &WorkspaceId) {
        if let Some(run) = self.runs.lock().get_mut(workspace) {
            (run.status, run.ended) = (Status::Stopped, Some(self.clock.now()));
        }
        self.show_an_end(workspace);
    }

    /// It reports an end of the run, whether that has ended or not.
    pub fn show_an_end(&self, workspace: &WorkspaceId) {
        let ended = Some(Millis::default());
        let sighting = Sighting { ended, ..Sighting::bare(Status::Stopped) };
        let report = Report { sighting, at: self.clock.now() };
        self.tell(workspace, RuntimeEventKind::Stopped, Some(report));
    }

    /// Somebody removes it with everything that the runtime knew of it.
    pub fn remove(&self, workspace: &WorkspaceId) {
        self.end(workspace, Status::Missing);
    }

    /// Its health check fails from now on.
    pub fn turn_unhealthy(&self, workspace: &WorkspaceId) {
        if let Some(run) = self.runs.lock().get_mut(workspace) {
            run.health = Some(Health::Unhealthy);
        }
        self.report(workspace, RuntimeEventKind::Unhealthy);
    }

    /// A person has the runtime end the run.
    pub fn stop_by_hand(&self, workspace: &WorkspaceId) {
        self.end(workspace, Status::Stopped);
        self.report(workspace, RuntimeEventKind::StoppedByHand);
    }

    /// A person has the runtime begin another run.
    pub fn start_by_hand(&self, workspace: &WorkspaceId) {
        let (now, boot) = (self.clock.now(), *self.boot.lock());
        let mut runs = self.runs.lock();
        let mark = runs.get(workspace).map_or(0, |run| run.mark) + STARTED_BY_HAND;
        let run = Run {
            status: Status::Running,
            mark,
            began: now,
            up_at: now + boot,
            ended: None,
            health: None,
            lies: VecDeque::new(),
        };
        runs.insert(workspace.clone(), run);
        drop(runs);
        self.report(workspace, RuntimeEventKind::Started);
    }

    fn end(&self, workspace: &WorkspaceId, status: Status) {
        let now = self.clock.now();
        let mut runs = self.runs.lock();
        let Some(run) = runs.get_mut(workspace) else { return };
        run.status = status;
        run.ended = Some(now);
        drop(runs);
        if self.reports_ends {
            self.report(workspace, RuntimeEventKind::Stopped);
        }
    }

    fn report(&self, workspace: &WorkspaceId, kind: RuntimeEventKind) {
        self.tell(workspace, kind, None);
    }

    fn tell(&self, workspace: &WorkspaceId, kind: RuntimeEventKind, report: Option<Report>) {
        let mark = self.runs.lock().get(workspace).map(|run| mark(run.mark));
        let workspace = workspace.clone();
        let event = RuntimeEvent { workspace, kind, mark, address: None, report };
        self.events.try_send(event).expect("room for an event");
    }

    /// It is up and would answer.
    pub fn is_up(&self, workspace: &WorkspaceId) -> bool {
        let now = self.clock.now();
        self.runs
            .lock()
            .get(workspace)
            .is_some_and(|run| run.status == Status::Running && run.up_at <= now)
    }

    pub fn starts(&self) -> Vec<Start> {
        self.starts.lock().clone()
    }

    /// How often it was started.
    pub fn starts_of(&self, workspace: &WorkspaceId) -> usize {
        self.starts.lock().iter().filter(|start| start.workspace == *workspace).count()
    }

    pub fn looks(&self, workspace: &WorkspaceId) -> u32 {
        self.looks.lock().get(workspace).copied().unwrap_or_default()
    }

    fn see(&self, workspace: &WorkspaceId) -> Look {
        let now = self.clock.now();
        let mut runs = self.runs.lock();
        match runs.get_mut(workspace) {
            None => Look { sighting: Sighting::bare(Status::Missing), mark: None },
            Some(run) => Look { sighting: self.sight(run, now), mark: Some(mark(run.mark)) },
        }
    }

    fn sight(&self, run: &mut Run, now: UnixMillis) -> Sighting {
        if let Some(lie) = run.lies.pop_front() {
            return lie;
        }
        let status = match run.status {
            Status::Running if run.up_at > now => Status::Starting,
            status => status,
        };
        let up = !status.is_down();
        Sighting {
            uptime: up.then(|| run.began.age(now)),
            ended: run.ended.filter(|_| self.reports_ends && !up).map(|at| at.age(now)),
            exit_code: (!up).then_some(137),
            health: run.health.filter(|_| up),
            ..Sighting::bare(status)
        }
    }
}

fn mark(number: u64) -> LifeMark {
    LifeMark(format!("run-{number}"))
}

#[async_trait]
impl Probe for FakeRuntime {
    async fn look(&self, workspace: &WorkspaceId) -> Result<Look, ProbeFault> {
        *self.looks.lock().entry(workspace.clone()).or_default() += 1;
        let stalled = *self.stalled.lock();
        match stalled {
            Some(ProbeFault::TimedOut) => std::future::pending().await,
            Some(fault) => return Err(fault),
            None => {}
        }
        let look = self.see(workspace);
        let takes = self.look_takes.lock().as_duration();
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        Ok(look)
    }
}

#[async_trait]
impl Restarter for FakeRuntime {
    async fn restart(&self, order: &RestartOrder) -> Result<Started, RestartFailure> {
        tokio::time::sleep(RESTART_TAKES.as_duration()).await;
        let now = self.clock.now();
        let killed_a_live_one = self.is_live(&order.workspace);
        let run = Run {
            status: Status::Running,
            mark: order.life.0,
            began: now,
            up_at: now + *self.boot.lock(),
            ended: None,
            health: None,
            lies: VecDeque::new(),
        };
        self.runs.lock().insert(order.workspace.clone(), run);
        self.starts.lock().push(Start {
            workspace: order.workspace.clone(),
            at: now,
            life: order.life,
            cause: order.cause,
            killed_a_live_one,
        });
        let address = format!("http://{}.test:80/", order.workspace).parse().ok();
        Ok(Started { address, mark: Some(mark(order.life.0)) })
    }

    async fn stop(&self, workspace: &WorkspaceId) -> Result<(), RestartFailure> {
        if let Some(run) = self.runs.lock().get_mut(workspace) {
            run.status = Status::Stopped;
        }
        Ok(())
    }
}

impl FakeRuntime {
    /// Running, or on its way up: a restart would hit it.
    fn is_live(&self, workspace: &WorkspaceId) -> bool {
        self.runs.lock().get(workspace).is_some_and(|run| !run.status.is_down())
    }
}
