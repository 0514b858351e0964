//! Workspaces as child processes of the host.
mod spec;

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use reprieve_core::{
    evidence::{ProbeFault, Sighting, Status},
    ids::{LifeId, WorkspaceId},
    ports::{
        Clock, LifeMark, Look, Probe, RestartFailure, RestartOrder, Restarter, RuntimeEvent,
        Started,
    },
    time::UnixMillis,
};
use tokio::sync::mpsc;
use url::Url;

pub use self::spec::{Listen, Output, ProcessSpec};

/// What the backend needs of its host.
pub struct ProcessesOptions {
    /// Records go to `run/`, the children's output to `log/` below it.
    pub state_dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    /// Starts and ends, reported unasked.
    pub events: mpsc::Sender<RuntimeEvent>,
    /// A program that calls [`exec_child_if_asked`] first thing in `main`.
    pub trampoline: PathBuf,
}

impl ProcessesOptions {
    /// With this very program as the trampoline.
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
    #[error("another host uses {}; give each its own state_dir", path.display())]
    InUse { path: PathBuf },
    #[error("cannot use {}", path.display())]
    Unusable { path: PathBuf, source: std::io::Error },
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

/// All child processes of one host.
#[derive(Debug)]
pub struct Processes {
    specs: Vec<ProcessSpec>,
}

impl Processes {
    /// Takes over the children that an earlier host left behind, and ends those
    /// that the configuration no longer names.
    pub async fn open(
        _options: ProcessesOptions,
        specs: Vec<ProcessSpec>,
    ) -> Result<Self, OpenFailure> {
        Ok(Self { specs })
    }

    /// The run of a workspace, if one lasts: started by this host or taken over
    /// from an earlier one.
    pub fn run(&self, _workspace: &WorkspaceId) -> Option<Run> {
        None
    }

    /// Ends every run, all at once, each with its own grace.
    pub async fn shutdown(&self) {}
}

#[async_trait]
impl Probe for Processes {
    async fn look(&self, workspace: &WorkspaceId) -> Result<Look, ProbeFault> {
        let known = self.specs.iter().any(|spec| &spec.workspace == workspace);
        let status = if known { Status::Stopped } else { Status::Missing };
        Ok(Look { sighting: Sighting::bare(status), mark: None })
    }
}

#[async_trait]
impl Restarter for Processes {
    async fn restart(&self, order: &RestartOrder) -> Result<Started, RestartFailure> {
        Err(RestartFailure::NotOurs { workspace: order.workspace.clone() })
    }

    async fn stop(&self, workspace: &WorkspaceId) -> Result<(), RestartFailure> {
        Err(RestartFailure::NotOurs { workspace: workspace.clone() })
    }
}

/// Becomes a child, if the command line asks for it; else returns at once. Must
/// be the first thing that `main` does, before any thread is started.
pub fn exec_child_if_asked() {}
