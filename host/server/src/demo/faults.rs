//! Faults that a kernel cannot be made to show on demand.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use parking_lot::Mutex;
use reprieve_core::{
    evidence::{ProbeFault, Sighting, Status},
    ids::WorkspaceId,
    ports::{Look, Probe},
};

/// What stands between the host and its runtime.
#[derive(Debug, Default)]
pub(super) struct Faults {
    stalled: AtomicBool,
    /// So many of the next looks say "not running".
    lies: Mutex<HashMap<WorkspaceId, u32>>,
    looks: Mutex<HashMap<WorkspaceId, u32>>,
}

impl Faults {
    /// From now on the runtime drops every connection, as a daemon that is
    /// starved of CPU does.
    pub(super) fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::SeqCst);
    }

    pub(super) fn lie(&self, workspace: &WorkspaceId, times: u32) {
        self.lies.lock().insert(workspace.clone(), times);
    }

    pub(super) fn looks(&self, workspace: &WorkspaceId) -> u32 {
        self.looks.lock().get(workspace).copied().unwrap_or_default()
    }

    fn lies_now(&self, workspace: &WorkspaceId) -> bool {
        match self.lies.lock().get_mut(workspace) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            Some(_) | None => false,
        }
    }
}

/// The runtime as seen through the faults.
pub(super) struct FaultyProbe {
    pub(super) faults: Arc<Faults>,
    pub(super) truth: Arc<dyn Probe>,
}

#[async_trait]
impl Probe for FaultyProbe {
    async fn look(&self, workspace: &WorkspaceId) -> Result<Look, ProbeFault> {
        *self.faults.looks.lock().entry(workspace.clone()).or_default() += 1;
        if self.faults.stalled.load(Ordering::SeqCst) {
            return Err(ProbeFault::ClosedEarly);
        }
        if self.faults.lies_now(workspace) {
            return Ok(Look { sighting: Sighting::bare(Status::Stopped), mark: None });
        }
        self.truth.look(workspace).await
    }
}
