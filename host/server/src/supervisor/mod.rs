//! Gathers evidence, asks the policy, and carries out what it rules.
//!
//! One failed forward runs through here like this: [`sharing`] joins the judgement
//! of the workspace that is under way, or begins one; [`judging`] takes one snapshot
//! of the generation in force and asks it, answered by a [`witness`]. A
//! DEAD verdict goes to the workspace's restart machine (`reprieve_core::
//! incident`), whose steps [`acting`] carries out. [`watching`] notices silence,
//! exits and the host's own lateness; [`elsewhere`] follows what people do with
//! the runtime itself, and [`dependents`] what a restart means for others;
//! [`draining`] delivers what was queued; [`fleet`] is the face that the proxy
//! sees.

mod acting;
mod dependents;
mod draining;
mod elsewhere;
mod fleet;
mod judging;
mod records;
mod sharing;
mod status;
mod surroundings;
mod survey;
mod tally;
mod timers;
mod watching;
mod witness;
mod workspace;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool},
};

use parking_lot::RwLock;
use reprieve_core::{
    decision::Decision,
    ids::WorkspaceId,
    ports::{Clock, Decisions, Heartbeats, Memory, Probe, Queue, Restarter, Restarts},
    supervision::{JITTER_PER_MILLE, MAX_PROBES},
    time::{Millis, UnixMillis},
};
use reprieve_runtime::Current;
use tokio::sync::{Semaphore, broadcast};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::tally::verdict_name;
pub use self::{
    draining::Courier,
    elsewhere::NotTakenOn,
    records::{Records, WorkspaceRecord},
    status::{IncidentStatus, WorkspaceStatus},
    survey::Standings,
    tally::{BEYOND, Counts, QueueDrop, Tally},
    workspace::WorkspaceSpec,
};
use self::{surroundings::Surroundings, workspace::Workspace};
use crate::experiments::Observer;

/// Fleet events that a slow listener may lag behind.
const EVENTS_KEPT: usize = 1_024;

/// Decisions that a slow reader of the live stream may lag behind; who lags
/// further is told how many it missed.
const DECISIONS_KEPT: usize = 1_024;

/// The world that a supervisor works on.
pub struct Ports {
    pub clock: Arc<dyn Clock>,
    pub probe: Arc<dyn Probe>,
    pub restarter: Arc<dyn Restarter>,
    pub heartbeats: Arc<dyn Heartbeats>,
    pub restarts: Arc<dyn Restarts>,
    pub memory: Arc<dyn Memory>,
    pub queue: Arc<dyn Queue>,
    pub decisions: Arc<dyn Decisions>,
    pub records: Arc<dyn Records>,
    pub courier: Arc<dyn Courier>,
    pub experiments: Arc<Observer>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// How a supervisor behaves where the policy has no say.
#[derive(Clone, Copy, Debug)]
pub struct SupervisorOptions {
    /// Ask the policy before each forward.
    pub preflight: bool,
    /// Tell each new life when and why it was restarted.
    pub tell_restarts: bool,
    /// How long a backend may take over a restart before it counts as not
    /// carried out in time. Must exceed the longest stop grace.
    pub restart_deadline: Millis,
    /// How long the runtime may take to show, before a death is acted on, that
    /// another run has taken the place of the one that was judged.
    pub look_again_deadline: Millis,
    /// Waiting items older than this are dropped, "stale".
    pub max_queue_age: Millis,
    /// Spreads deferrals: a factor in per mille, drawn anew for each.
    pub jitter_per_mille: fn() -> u64,
}

impl Default for SupervisorOptions {
    fn default() -> Self {
        Self {
            preflight: false,
            tell_restarts: true,
            restart_deadline: Millis::from_secs(120),
            look_again_deadline: Millis::from_secs(5),
            max_queue_age: Millis::from_secs(24 * 3600),
            jitter_per_mille: || rand::random_range(JITTER_PER_MILLE),
        }
    }
}

/// What happened to a workspace, for whoever listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetEvent {
    pub at: UnixMillis,
    pub workspace: WorkspaceId,
    pub what: String,
}

/// Watches over a fleet. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Supervisor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ports: Ports,
    options: SupervisorOptions,
    current: Arc<Current>,
    workspaces: RwLock<HashMap<WorkspaceId, Arc<Workspace>>>,
    surroundings: Surroundings,
    probes: Semaphore,
    tally: Tally,
    since: UnixMillis,
    events: broadcast::Sender<FleetEvent>,
    decisions: broadcast::Sender<Arc<Decision>>,
    /// Workspaces are watched; before it they are only taken on.
    started: AtomicBool,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Supervisor {
    pub fn new(ports: Ports, current: Arc<Current>, options: SupervisorOptions) -> Self {
        let since = ports.clock.now();
        Self(Arc::new(Inner {
            ports,
            options,
            current,
            workspaces: RwLock::default(),
            surroundings: Surroundings::default(),
            probes: Semaphore::new(MAX_PROBES),
            tally: Tally::default(),
            since,
            events: broadcast::channel(EVENTS_KEPT).0,
            decisions: broadcast::channel(DECISIONS_KEPT).0,
            started: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// What has happened since the host started, counted.
    pub fn tally(&self) -> &Tally {
        &self.0.tally
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<FleetEvent> {
        self.0.events.subscribe()
    }

    /// What is recorded from now on.
    pub fn decisions(&self) -> broadcast::Receiver<Arc<Decision>> {
        self.0.decisions.subscribe()
    }

    /// Ends what runs in the background: no judgement begins any more. What was
    /// begun is carried out.
    pub async fn stop(&self) {
        self.0.stop.cancel();
        for workspace in self.all() {
            workspace.timers.clear();
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn now(&self) -> UnixMillis {
        self.0.ports.clock.now()
    }

    fn workspace(&self, id: &WorkspaceId) -> Option<Arc<Workspace>> {
        self.0.workspaces.read().get(id).cloned()
    }

    fn all(&self) -> Vec<Arc<Workspace>> {
        self.0.workspaces.read().values().cloned().collect()
    }

    fn announce(&self, workspace: &WorkspaceId, what: String) {
        // Nobody listening is no error.
        let _ =
            self.0.events.send(FleetEvent { at: self.now(), workspace: workspace.clone(), what });
    }

    /// A store of the host failed: counted, and part of how well the host sees.
    fn store_failed(&self) {
        self.0.surroundings.store_failed(self.now());
        self.0.tally.store_failed();
    }

    /// Does `work` to its end, even if whoever asked for it goes away meanwhile;
    /// [`Supervisor::stop`] waits for it. A caller that hangs up must leave
    /// nothing half done.
    pub(crate) async fn see_through<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match self.0.tasks.spawn(work).await {
            Ok(done) => done,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Nobody aborts it: the runtime itself ends, and this with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Runs in the background until it ends by itself or the host stops.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(task);
    }
}
