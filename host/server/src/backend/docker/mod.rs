//! Workspaces as Docker containers, found by their labels.
//!
//! What holds, and by what:
//! - **No error is a death.** Everything is decided on types and status codes
//!   ([`failure`]); a container is missing only if two calls agree ([`seeing`]).
//! - **A run is known by its mark,** the container's id and `StartedAt`
//!   ([`sighting`]).
//! - **One order at a time, and each begins one run.** An order is on disk before
//!   it leaves ([`record`]); one that nobody was told the outcome of is followed
//!   up, never repeated while the daemon may be at it ([`orders`], [`making`]).
//! - **Events are triggers** ([`events`], [`discovery`]), and so is the end of a
//!   first process that this host can see ([`first_process`]). Whoever misses some
//!   closes the gap with a list. A fleet that is well costs no inspects.
//! - **Containers belong to their people.** A host that stops leaves them alone;
//!   what a person stopped or took away is reported as that.

mod container;
mod daemon;
mod discovery;
mod events;
mod failure;
mod first_process;
mod labels;
mod making;
mod names;
mod orders;
mod recipe;
mod record;
mod seeing;
mod sighting;
mod slot;

use std::{
    collections::{BTreeMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use reprieve_core::{
    evidence::ProbeFault,
    ids::WorkspaceId,
    ports::{Clock, Look, Probe, RestartFailure, RestartOrder, Restarter, RuntimeEvent, Started},
    time::Millis,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::daemon::CallLimits;
use self::{daemon::Daemon, failure::CallFailure, names::ContainerId, slot::Slot};
use super::{discovery::Discovery, records};

/// Where the daemon listens if nothing else is said.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// First processes that are watched at once, a file descriptor each: half of what a
/// process usually may have open. Ends of others are known by the daemon's events.
const MAX_FIRST_PROCESSES: usize = 512;

/// What the backend needs of its host.
pub struct DockerOptions {
    /// The daemon's Unix socket.
    pub socket: PathBuf,
    /// Records go to `docker/` below it.
    pub state_dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    /// Starts, ends and failed health checks, reported unasked. A full channel
    /// delays the reports.
    pub events: mpsc::Sender<RuntimeEvent>,
    /// Workspaces that come and go.
    pub discoveries: mpsc::Sender<Discovery>,
    /// For containers that name no stop timeout of their own.
    pub stop_grace: Millis,
    /// Also watch the containers' first processes, where this host sees them: in
    /// the daemon's PID namespace.
    pub watch_processes: bool,
    pub limits: CallLimits,
}

impl DockerOptions {
    /// Docker's own.
    pub const STOP_GRACE: Millis = Millis::from_secs(10);

    pub fn new(
        socket: PathBuf,
        state_dir: PathBuf,
        clock: Arc<dyn Clock>,
        events: mpsc::Sender<RuntimeEvent>,
        discoveries: mpsc::Sender<Discovery>,
    ) -> Self {
        let (stop_grace, limits) = (Self::STOP_GRACE, CallLimits::default());
        let watch_processes = true;
        Self { socket, state_dir, clock, events, discoveries, stop_grace, watch_processes, limits }
    }
}

impl std::fmt::Debug for DockerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerOptions")
            .field("socket", &self.socket)
            .field("state_dir", &self.state_dir)
            .finish_non_exhaustive()
    }
}

/// Why the backend cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFailure {
    #[error(
        "docker does not answer at {}: {fault}; start it, or name its socket in DOCKER_HOST, as unix:///path",
        socket.display()
    )]
    NoAnswer { socket: PathBuf, fault: ProbeFault },
    #[error("docker at {} refuses to talk: {detail}", socket.display())]
    Refused { socket: PathBuf, detail: String },
    #[error("cannot use {}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error("the record {} is not readable; remove it: its container is found again by its label", path.display())]
    BrokenRecord { path: PathBuf, source: io::Error },
}

/// All containers of one daemon that name a workspace. Dropped, it leaves them as
/// they are.
pub struct Docker(Arc<Shared>);

/// What the tasks of one backend share.
struct Shared {
    daemon: Daemon,
    clock: Arc<dyn Clock>,
    events: mpsc::Sender<RuntimeEvent>,
    discoveries: mpsc::Sender<Discovery>,
    stop_grace: Millis,
    records: PathBuf,
    slots: RwLock<BTreeMap<WorkspaceId, Arc<Slot>>>,
    /// Containers that a person was told about because of their labels.
    complained: Mutex<HashSet<ContainerId>>,
    /// A place for each first process that is watched.
    first_processes: Arc<Semaphore>,
    tasks: TaskTracker,
    is_over: CancellationToken,
}

impl std::fmt::Debug for Docker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Docker").field("workspaces", &self.0.slots.read().len()).finish()
    }
}

impl Docker {
    /// Reads what an earlier host knew, and makes sure that there is a daemon. One
    /// that is there and does not answer has a bad day: it is waited for.
    /// Reports nothing yet; see [`Docker::follow`].
    pub async fn connect(options: DockerOptions) -> Result<Arc<Self>, ConnectFailure> {
        let DockerOptions { socket, state_dir, clock, events, discoveries, .. } = options;
        let (stop_grace, limits) = (options.stop_grace, options.limits);
        let first_processes = if options.watch_processes { MAX_FIRST_PROCESSES } else { 0 };
        let folder = record::folder(&state_dir)
            .map_err(|source| ConnectFailure::Unusable { path: state_dir, source })?;
        let known = records::read_all(&folder)
            .map_err(|(path, source)| ConnectFailure::BrokenRecord { path, source })?;
        let daemon = Daemon::at(&socket, limits).map_err(|failure| unmet(&socket, &failure))?;
        match daemon.agree().await {
            Ok(_) => {}
            Err(CallFailure::Fault(fault)) if may_pass(fault) => {
                tracing::warn!(socket = %socket.display(), %fault, "docker does not answer yet; it is waited for");
            }
            Err(failure) => return Err(unmet(&socket, &failure)),
        }
        let slot = |record: record::Record| (record.workspace.clone(), Arc::new(Slot::new(record)));
        Ok(Arc::new(Self(Arc::new(Shared {
            daemon,
            clock,
            events,
            discoveries,
            stop_grace,
            records: folder,
            slots: RwLock::new(known.into_iter().map(slot).collect()),
            complained: Mutex::default(),
            first_processes: Arc::new(Semaphore::new(first_processes)),
            tasks: TaskTracker::new(),
            is_over: CancellationToken::new(),
        }))))
    }

    /// From now on workspaces and what happens to them are reported, until
    /// [`Docker::shutdown`] or until this is dropped.
    pub fn follow(&self) {
        let shared = Arc::clone(&self.0);
        self.0.spawn(async move { shared.follow().await });
    }

    /// Ends what runs in the background. Containers keep running. An order that
    /// is broken off here is taken up by the next host.
    pub async fn shutdown(&self) {
        self.0.is_over.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.0.is_over.cancel();
    }
}

/// Somebody listens there, and has not the time.
const fn may_pass(fault: ProbeFault) -> bool {
    match fault {
        ProbeFault::TimedOut | ProbeFault::ClosedEarly | ProbeFault::Overloaded => true,
        ProbeFault::Unreachable | ProbeFault::Denied | ProbeFault::Malformed => false,
    }
}

fn unmet(socket: &Path, failure: &CallFailure) -> ConnectFailure {
    let socket = socket.to_owned();
    match failure {
        CallFailure::Fault(fault) => ConnectFailure::NoAnswer { socket, fault: *fault },
        CallFailure::Absent | CallFailure::Conflict { .. } | CallFailure::Refused { .. } => {
            ConnectFailure::Refused { socket, detail: failure.to_string() }
        }
    }
}

impl Shared {
    fn slot(&self, workspace: &WorkspaceId) -> Option<Arc<Slot>> {
        self.slots.read().get(workspace).cloned()
    }

    /// Until it is done, or the backend is over.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.is_over.clone().run_until_cancelled_owned(work));
    }

    /// Writes down what is known of a workspace.
    async fn keep(&self, slot: &Slot) -> io::Result<()> {
        let _newest_last = slot.writing.lock().await;
        let (record, dir) = (slot.record(), self.records.clone());
        let written = tokio::task::spawn_blocking(move || record.write(&dir)).await;
        written.map_err(io::Error::other)?
    }

    /// The same, for what costs a restart at worst a name or a volume.
    fn keep_soon(self: &Arc<Self>, slot: &Arc<Slot>) {
        let (shared, slot) = (Arc::clone(self), Arc::clone(slot));
        self.spawn(async move {
            if let Err(error) = shared.keep(&slot).await {
                tracing::warn!(workspace = %slot.workspace, %error, "cannot write down how to make its container again");
            }
        });
    }
}

#[async_trait]
impl Probe for Docker {
    async fn look(&self, workspace: &WorkspaceId) -> Result<Look, ProbeFault> {
        self.0.look(workspace).await
    }
}

/// A caller that stops waiting does not stop the order.
#[async_trait]
impl Restarter for Docker {
    async fn restart(&self, order: &RestartOrder) -> Result<Started, RestartFailure> {
        let (shared, order) = (Arc::clone(&self.0), order.clone());
        self.carry_out(async move { shared.restart(&order).await }).await
    }

    async fn stop(&self, workspace: &WorkspaceId) -> Result<(), RestartFailure> {
        let (shared, workspace) = (Arc::clone(&self.0), workspace.clone());
        self.carry_out(async move { shared.stop(&workspace).await }).await
    }
}

impl Docker {
    async fn carry_out<T: Send + 'static>(
        &self,
        order: impl Future<Output = Result<T, RestartFailure>> + Send + 'static,
    ) -> Result<T, RestartFailure> {
        let order = self.0.is_over.clone().run_until_cancelled_owned(order);
        match self.0.tasks.spawn(order).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => Err(RestartFailure::Refused { detail: "the host is stopping".to_owned() }),
            Err(error) => Err(RestartFailure::Refused {
                detail: format!("the order was broken off: {error}"),
            }),
        }
    }
}
