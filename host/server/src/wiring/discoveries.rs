//! Takes on the workspaces that a backend finds by itself.

use std::{collections::BTreeSet, sync::Arc};

use reprieve_core::ids::WorkspaceId;
use tokio::sync::mpsc;

use super::secrets;
use crate::{
    backend::{
        Backend, Backends,
        discovery::{Discovery, Found},
    },
    supervisor::{Supervisor, WorkspaceSpec},
};

/// What it takes to take a workspace on.
pub(super) struct Taker {
    pub(super) supervisor: Supervisor,
    pub(super) backends: Arc<Backends>,
    /// Who finds and runs them.
    pub(super) backend: Arc<dyn Backend>,
    pub(super) kind: &'static str,
    /// Those of the configuration: they are not for discovery.
    pub(super) configured: BTreeSet<WorkspaceId>,
    /// What tokens are made from.
    pub(super) key: String,
}

impl Taker {
    /// Until nobody reports any more.
    pub(super) async fn follow(self, mut discoveries: mpsc::Receiver<Discovery>) {
        while let Some(discovery) = discoveries.recv().await {
            match discovery {
                Discovery::Found(found) => self.take_on(found).await,
                Discovery::Withdrawn(id) if !self.configured.contains(&id) => {
                    self.supervisor.withdrawn(&id).await;
                    self.backends.release(&id);
                }
                Discovery::Withdrawn(_) => {}
            }
        }
    }

    async fn take_on(&self, found: Found) {
        let id = found.id.clone();
        if self.configured.contains(&id) {
            tracing::warn!(workspace = %id, kind = self.kind,
                "found, but the configuration describes a workspace of that name; left alone");
            return;
        }
        let spec = self.spec(&found);
        self.backends.assign(id.clone(), Arc::clone(&self.backend));
        match self.supervisor.found(spec, found.settings, found.address).await {
            Ok(()) => {
                tracing::info!(workspace = %id, tenant = %found.tenant, kind = self.kind, "found");
            }
            Err(failure) => {
                let failure = format!("{:#}", anyhow::Error::from(failure));
                tracing::error!(workspace = %id, failure,
                    "found, but not taken on: nobody watches over it; correct its labels");
            }
        }
    }

    fn spec(&self, found: &Found) -> WorkspaceSpec {
        let token = match &found.token {
            Some(token) => token.reveal().to_owned(),
            None => secrets::derived(&self.key, found.id.as_str()),
        };
        WorkspaceSpec {
            id: found.id.clone(),
            tenant: found.tenant.clone(),
            kind: self.kind.to_owned(),
            labels: found.labels.clone(),
            queues_for_itself: found.queues_for_itself,
            token,
            address: None,
            depends_on: found.depends_on.clone(),
            discovered: true,
            ends_with_host: false,
        }
    }
}
