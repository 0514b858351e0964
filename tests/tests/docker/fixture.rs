//! A real Engine, and the backend that watches it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use reprieve_core::{
    evidence::{ProbeFault, Sighting},
    ids::{LifeId, Revision, WorkspaceId},
    judgement::RestartCause,
    ports::{
        Clock, Look, Probe as _, RestartFailure, RestartOrder, Restarter as _, RuntimeEvent,
        RuntimeEventKind, Started,
    },
};
use reprieve_server::{
    backend::{
        discovery::{Discovery, Found},
        docker::{CallLimits, Docker, DockerOptions},
    },
    clock::HostClock,
};
use reprieve_tests::engine::{ContainerSpec, Engine};
use tokio::{
    sync::mpsc,
    time::{interval, timeout},
};

/// Engines share two cores with each other.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const KEPT: usize = 4_096;

/// A backend and what it reports.
pub(crate) struct Watch {
    pub(crate) docker: Arc<Docker>,
    pub(crate) clock: Arc<dyn Clock>,
    events: mpsc::Receiver<RuntimeEvent>,
    discoveries: mpsc::Receiver<Discovery>,
    /// What was received while something else was waited for.
    put_by: (Vec<RuntimeEvent>, Vec<Found>),
}

impl Watch {
    pub(crate) async fn of(engine: &Engine, state_dir: PathBuf) -> Self {
        Self::through(engine.socket(), state_dir, CallLimits::default()).await
    }

    pub(crate) async fn through(socket: PathBuf, state_dir: PathBuf, limits: CallLimits) -> Self {
        let (events, received) = mpsc::channel(KEPT);
        let (discoveries, discovered) = mpsc::channel(KEPT);
        let clock: Arc<dyn Clock> = Arc::new(HostClock::start());
        let options =
            DockerOptions::new(socket, state_dir, Arc::clone(&clock), events, discoveries);
        let docker = Docker::connect(DockerOptions { limits, ..options }).await.expect("a daemon");
        docker.follow();
        Self {
            docker,
            clock,
            events: received,
            discoveries: discovered,
            put_by: Default::default(),
        }
    }

    /// The next discovery.
    pub(crate) async fn discovery(&mut self) -> Discovery {
        let next = timeout(PATIENCE, self.discoveries.recv()).await;
        next.expect("a discovery in time").expect("a backend that lasts")
    }

    pub(crate) async fn found(&mut self, id: &str) -> Found {
        if let Some(at) = self.put_by.1.iter().position(|found| found.id.as_str() == id) {
            return self.put_by.1.remove(at);
        }
        loop {
            match self.discovery().await {
                Discovery::Found(found) if found.id.as_str() == id => return found,
                Discovery::Found(other) => self.put_by.1.push(other),
                Discovery::Withdrawn(_) => {}
            }
        }
    }

    /// The next event of that workspace.
    pub(crate) async fn event(&mut self, id: &str) -> RuntimeEvent {
        let is_about_it = |event: &RuntimeEvent| event.workspace.as_str() == id;
        if let Some(at) = self.put_by.0.iter().position(is_about_it) {
            return self.put_by.0.remove(at);
        }
        loop {
            let next = timeout(PATIENCE, self.events.recv()).await;
            let event = next.expect("an event in time").expect("a backend that lasts");
            if is_about_it(&event) {
                return event;
            }
            self.put_by.0.push(event);
        }
    }

    /// The next one that tells of the end of a run, and what it shows of that.
    pub(crate) async fn end(&mut self, id: &str) -> Sighting {
        let event = self.event(id).await;
        assert_eq!(event.kind, RuntimeEventKind::Stopped, "{event:?}");
        event.report.expect("it shows the end").sighting
    }

    pub(crate) async fn kinds(&mut self, id: &str, count: usize) -> Vec<RuntimeEventKind> {
        let mut kinds = Vec::new();
        while kinds.len() < count {
            kinds.push(self.event(id).await.kind);
        }
        kinds
    }

    /// What is reported already, and not yet taken.
    pub(crate) fn reported(&mut self) -> (Vec<RuntimeEvent>, Vec<Discovery>) {
        let events = std::iter::from_fn(|| self.events.try_recv().ok()).collect();
        (events, std::iter::from_fn(|| self.discoveries.try_recv().ok()).collect())
    }

    pub(crate) async fn look(&self, id: &str) -> Result<Look, ProbeFault> {
        self.docker.look(&ws(id)).await
    }

    /// Once it looks like that.
    pub(crate) async fn looks_like(&self, id: &str, is_it: impl Fn(&Look) -> bool) -> Look {
        let mut last = None;
        let waiting = async {
            let mut tick = interval(LOOK_EVERY);
            loop {
                tick.tick().await;
                last = Some(self.look(id).await);
                if let Some(Ok(look)) = &last
                    && is_it(look)
                {
                    return look.clone();
                }
            }
        };
        let look = timeout(PATIENCE, waiting).await;
        look.unwrap_or_else(|_| panic!("{id} never looked like that, but {last:?}"))
    }

    pub(crate) async fn restart(&self, id: &str, life: u64) -> Result<Started, RestartFailure> {
        self.docker.restart(&order(id, life)).await
    }
}

pub(crate) fn order(id: &str, life: u64) -> RestartOrder {
    RestartOrder {
        workspace: ws(id),
        life: LifeId(life),
        cause: RestartCause::DeadVerdict,
        revision: Revision(0),
    }
}

pub(crate) fn ws(id: &str) -> WorkspaceId {
    id.parse().unwrap()
}

/// A workspace that does nothing but live.
pub(crate) fn idle(name: &str) -> ContainerSpec {
    let spec = ContainerSpec::idle(name);
    spec.label("reprieve.workspace", name).label("reprieve.port", "8000")
}

/// Runs a command instead.
pub(crate) fn running(name: &str, command: &str) -> ContainerSpec {
    idle(name).command(&["sh", "-c", command])
}
