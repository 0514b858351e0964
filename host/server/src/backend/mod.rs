//! Who runs workspaces. Each backend implements the ports `Probe` and
//! `Restarter` of `reprieve_core::ports` and reports ends unasked as
//! `RuntimeEvent`s; nothing above this folder knows how a run is made.
//!
//! - [`process`]: child processes described by the configuration
//! - [`docker`]: containers of one Docker daemon, found by their labels
//! - [`http`]: cloud instances behind a control plane
//! - [`Backends`]: all backends of a host behind the two ports
//! - [`discovery`]: workspaces that a backend finds by itself

pub mod discovery;
pub mod docker;
pub mod http;
mod kernel;
pub mod process;
mod records;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::RwLock;
use reprieve_core::{
    evidence::{ProbeFault, Sighting, Status},
    ids::WorkspaceId,
    ports::{Look, Probe, RestartFailure, RestartOrder, Restarter, Started},
};

/// Runs workspaces of one kind.
pub trait Backend: Probe + Restarter {}

impl<T: Probe + Restarter> Backend for T {}

/// All backends of a host: whoever asks about a workspace reaches the backend
/// that runs it.
#[derive(Default)]
pub struct Backends(RwLock<HashMap<WorkspaceId, Arc<dyn Backend>>>);

impl std::fmt::Debug for Backends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backends").field("workspaces", &self.0.read().len()).finish()
    }
}

impl Backends {
    /// From now on this backend runs the workspace.
    pub fn assign(&self, workspace: WorkspaceId, backend: Arc<dyn Backend>) {
        self.0.write().insert(workspace, backend);
    }

    /// Nobody runs it any more.
    pub fn release(&self, workspace: &WorkspaceId) {
        self.0.write().remove(workspace);
    }

    fn of(&self, workspace: &WorkspaceId) -> Option<Arc<dyn Backend>> {
        self.0.read().get(workspace).cloned()
    }

    fn restarter(&self, workspace: &WorkspaceId) -> Result<Arc<dyn Backend>, RestartFailure> {
        let not_ours = || RestartFailure::NotOurs { workspace: workspace.clone() };
        self.of(workspace).ok_or_else(not_ours)
    }
}

#[async_trait]
impl Probe for Backends {
    async fn look(&self, workspace: &WorkspaceId) -> Result<Look, ProbeFault> {
        match self.of(workspace) {
            Some(backend) => backend.look(workspace).await,
            None => Ok(Look { sighting: Sighting::bare(Status::Missing), mark: None }),
        }
    }
}

#[async_trait]
impl Restarter for Backends {
    async fn restart(&self, order: &RestartOrder) -> Result<Started, RestartFailure> {
        self.restarter(&order.workspace)?.restart(order).await
    }

    async fn stop(&self, workspace: &WorkspaceId) -> Result<(), RestartFailure> {
        self.restarter(workspace)?.stop(workspace).await
    }
}
