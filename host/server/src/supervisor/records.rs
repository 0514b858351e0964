//! What must be known of a workspace when the host comes back.

use async_trait::async_trait;
use reprieve_core::{
    evidence::StoreFault,
    ids::{Revision, WorkspaceId},
    incident::Standing,
    ports::LifeMark,
};
use serde::{Deserialize, Serialize};
use url::Url;

/// What outlives the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkspaceRecord {
    pub standing: Standing,
    /// Where the backend put it, and where it says that it listens.
    pub owned_address: Option<Url>,
    pub own_word: Option<Url>,
    pub queues_for_itself: Option<bool>,
    pub wanted: Revision,
    /// The run of the newest life. None while it is being started.
    pub mark: Option<LifeMark>,
    /// The run that a person ended through the runtime itself.
    pub ended_by_hand: Option<LifeMark>,
    /// The host stopped the workspace when it stopped itself, and is to start it
    /// when it comes back.
    pub stopped_with_host: bool,
}

/// Keeps the records.
#[async_trait]
pub trait Records: Send + Sync {
    async fn load(&self, workspace: &WorkspaceId) -> Result<Option<WorkspaceRecord>, StoreFault>;

    /// On disk before it returns.
    async fn save(
        &self,
        workspace: &WorkspaceId,
        record: WorkspaceRecord,
    ) -> Result<(), StoreFault>;
}
