//! Workspaces as child processes of the host, on Linux.
//!
//! What holds, and by what:
//! - **Never two children for one workspace.** Orders about a workspace run one
//!   at a time; the next run begins only once the kernel says that the last one
//!   has ended ([`slot`]).
//! - **No orphan, even after `kill -9` of the host.** A run is on disk before its
//!   program starts ([`trampoline`], [`record`]); the next host takes it over or
//!   ends it ([`adopt`]). Every child leads a process group of its own, and the
//!   group ends with its leader. What left the group (`setsid`) is on its own.
//! - **No zombie, and never the wrong process.** Ends are noticed through pidfds;
//!   a group is signalled only while its leader is not reaped, so a pid that the
//!   kernel gives away again is never hit ([`child`]).
//! - **A host that dies takes nobody along.** Children print into files, never
//!   into pipes to the host ([`output`]).
//!
//! [`exec_child_if_asked`] must be the first thing in `main` of a program that
//! starts children through this backend.

mod adopt;
mod child;
mod output;
mod port;
mod proc;
mod record;
mod slot;
mod spec;
mod trampoline;

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use futures::future::join_all;
use reprieve_core::{
    evidence::{ProbeFault, Sighting, Status},
    ids::{LifeId, WorkspaceId},
    ports::{
        Clock, LifeMark, Look, Probe, RestartFailure, RestartOrder, Restarter, RuntimeEvent,
        Started,
    },
    time::UnixMillis,
};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use self::{
    record::Record,
    slot::{Host, Slot},
};
pub use self::{
    spec::{Listen, Output, ProcessSpec},
    trampoline::exec_child_if_asked,
};
use super::records;

/// Two seconds in all: far more than a process takes from its birth to `exec`.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What the backend needs of its host.
pub struct ProcessesOptions {
    /// Records go to `run/`, the children's output to `log/` below it.
    pub state_dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    /// Starts and ends, reported unasked. A full channel delays the report of an
    /// end and drops that of a start.
    pub events: mpsc::Sender<RuntimeEvent>,
    /// A program that calls [`exec_child_if_asked`] first thing in `main`.
    pub trampoline: PathBuf,
}

impl ProcessesOptions {
    /// With this very program as the trampoline, even if its file was replaced.
    pub fn new(
        state_dir: PathBuf,
        clock: Arc<dyn Clock>,
        events: mpsc::Sender<RuntimeEvent>,
    ) -> Self {
        Self { state_dir, clock, events, trampoline: PathBuf::from("/proc/self/exe") }
    }
}

impl std::fmt::Debug for ProcessesOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessesOptions")
            .field("state_dir", &self.state_dir)
            .finish_non_exhaustive()
    }
}

/// Why the backend cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenFailure {
    #[error("another host uses {}; stop it, or give each its own state_dir", path.display())]
    InUse { path: PathBuf },
    #[error("cannot use {}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error(
        "the record {} is not readable; make sure that no process of that workspace runs, then remove it",
        path.display()
    )]
    BrokenRecord { path: PathBuf, source: io::Error },
    #[error(
        "cannot take over process {pid}, which runs workspace {workspace}; end it, then start again"
    )]
    NotTakenOver { workspace: WorkspaceId, pid: i32, source: io::Error },
    #[error("workspace {workspace} is described twice")]
    Twice { workspace: WorkspaceId },
}

/// A run that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub workspace: WorkspaceId,
    pub life: LifeId,
    pub address: Url,
    pub mark: LifeMark,
    pub pid: u32,
    pub began: UnixMillis,
}

/// All child processes of one host. Dropped without [`Processes::shutdown`], it
/// leaves them running for the next host to take over.
pub struct Processes {
    slots: BTreeMap<WorkspaceId, Arc<Slot>>,
    /// Runs of workspaces that the configuration no longer names, on their way
    /// out.
    leaving: Vec<Arc<Slot>>,
    host: Arc<Host>,
    _copying: AbortOnDropHandle<()>,
}

impl std::fmt::Debug for Processes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processes").field("workspaces", &self.slots.keys()).finish_non_exhaustive()
    }
}

impl Processes {
    /// Takes over the children that an earlier host left behind, and ends those
    /// that the configuration no longer names. Starts none.
    pub async fn open(
        options: ProcessesOptions,
        specs: Vec<ProcessSpec>,
    ) -> Result<Self, OpenFailure> {
        let run_dir = folder(&options.state_dir, "run")?;
        let log_dir = folder(&options.state_dir, "log")?;
        let lock = lock(&run_dir).await?;
        let copying = output::follow(log_dir.clone())
            .map_err(|source| OpenFailure::Unusable { path: log_dir.clone(), source })?;
        let boot_id = proc::boot_id()
            .map_err(|source| OpenFailure::Unusable { path: "/proc".into(), source })?;
        let records: Vec<Record> = records::read_all(&run_dir)
            .map_err(|(path, source)| OpenFailure::BrokenRecord { path, source })?;
        let host = Arc::new(Host::new(options, run_dir, log_dir, boot_id, lock));
        let mut slots = BTreeMap::new();
        for spec in specs {
            let workspace = spec.workspace.clone();
            let slot = Arc::new(Slot::new(spec, host.clone()));
            if slots.insert(workspace.clone(), slot).is_some() {
                return Err(OpenFailure::Twice { workspace });
            }
        }
        let mut leaving = Vec::new();
        for record in records {
            match slots.get(&record.workspace) {
                Some(slot) => adopt::take_over(slot, record).await?,
                None => leaving.push(adopt::send_away(&host, record).await?),
            }
        }
        Ok(Self { slots, leaving, host, _copying: copying })
    }

    /// The run of a workspace, if one lasts: started by this host or taken over
    /// from an earlier one.
    pub fn run(&self, workspace: &WorkspaceId) -> Option<Run> {
        self.slots.get(workspace)?.run()
    }

    /// Ends every run, all at once, each with its own grace. No run begins from
    /// now on.
    pub async fn shutdown(&self) {
        self.host.is_closing.store(true, Ordering::SeqCst);
        let slots = self.slots.values().chain(&self.leaving);
        for stopped in join_all(slots.map(|slot| slot.stop())).await {
            if let Err(error) = stopped {
                tracing::error!(%error, "a process outlived the host");
            }
        }
    }

    fn slot(&self, workspace: &WorkspaceId) -> Result<Arc<Slot>, RestartFailure> {
        let not_ours = || RestartFailure::NotOurs { workspace: workspace.clone() };
        self.slots.get(workspace).cloned().ok_or_else(not_ours)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.host.is_dropped.cancel();
    }
}

#[async_trait]
impl Probe for Processes {
    async fn look(&self, workspace: &WorkspaceId) -> Result<Look, ProbeFault> {
        match self.slots.get(workspace) {
            Some(slot) => Ok(slot.look().await),
            None => Ok(Look { sighting: Sighting::bare(Status::Missing), mark: None }),
        }
    }
}

/// A caller that stops waiting does not stop the order.
#[async_trait]
impl Restarter for Processes {
    async fn restart(&self, order: &RestartOrder) -> Result<Started, RestartFailure> {
        let (slot, order) = (self.slot(&order.workspace)?, order.clone());
        carry_out(tokio::spawn(async move { slot.restart(&order).await })).await
    }

    async fn stop(&self, workspace: &WorkspaceId) -> Result<(), RestartFailure> {
        let slot = self.slot(workspace)?;
        carry_out(tokio::spawn(async move { slot.stop().await })).await
    }
}

async fn carry_out<T>(
    order: tokio::task::JoinHandle<Result<T, RestartFailure>>,
) -> Result<T, RestartFailure> {
    order.await.unwrap_or_else(|error| {
        Err(RestartFailure::Refused { detail: format!("the order was broken off: {error}") })
    })
}

fn folder(state_dir: &Path, name: &str) -> Result<PathBuf, OpenFailure> {
    let path = state_dir.join(name);
    match fs::create_dir_all(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err(OpenFailure::Unusable { path, source }),
    }
}

/// The kernel lets go of it when this host dies, however it dies. A trampoline
/// that the last host was just starting may hold it a moment longer, until its
/// `exec`.
async fn lock(run_dir: &Path) -> Result<File, OpenFailure> {
    let path = run_dir.join(".lock");
    let unusable = |source| OpenFailure::Unusable { path: path.clone(), source };
    let file = File::options().create(true).append(true).open(&path).map_err(unusable)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => sleep(LOCK_PAUSE).await,
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
    }
    Err(OpenFailure::InUse { path })
}
