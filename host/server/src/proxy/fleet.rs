//! What the proxy needs of the fleet behind it.

use async_trait::async_trait;
use reprieve_core::{
    decision::Finding,
    ids::{DecisionId, LifeId, QueueId, Revision, TenantId, WorkspaceId},
    incident::WorkspaceState,
    judgement::ForwardFailure,
    ports::{Accepted, QueueRefusal},
    queue::{Item, NewItem},
    time::Millis,
};
use serde::{Deserialize, Serialize};
use url::Url;

/// One snapshot of where a workspace's requests go. A request takes it once.
#[derive(Clone, Debug)]
pub struct Route {
    pub tenant: TenantId,
    pub life: LifeId,
    pub state: WorkspaceState,
    /// None while nobody knows where it listens.
    pub address: Option<Url>,
    /// The workspace's backend gave it that address, so it may lie on a private
    /// network. Any other is checked again at every connect.
    pub owned: bool,
    /// It queues for itself: it gets 503 busy instead of 202 queued.
    pub queues_for_itself: bool,
}

/// A judged failure: what it comes down to, and the decision to name in the
/// answer's header.
#[derive(Clone, Debug)]
pub struct Judged {
    pub decision: DecisionId,
    pub finding: Finding,
}

/// What a workspace says of itself when it registers: the body of `PUT
/// /workspaces/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registration {
    /// Where it listens. Must be an address that the workspace's backend owns,
    /// or a public one.
    pub url: Option<Url>,
    pub queues_for_itself: Option<bool>,
    /// The newest revision of its settings. A newer one than the running life's
    /// brings one restart.
    pub revision: Option<Revision>,
}

/// The body of `POST /workspaces/{id}/heartbeat`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Heartbeat {
    /// Requests that it could take now, beside those that it has. None: unknown,
    /// taken as some.
    pub spare_capacity: Option<u32>,
    /// The life that beats, where the workspace was told its number at start
    /// (`REPRIEVE_LIFE`). None: the running one.
    pub life: Option<LifeId>,
}

/// Why a workspace's own report was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportRefused {
    #[error("there is no workspace {0}")]
    UnknownWorkspace(WorkspaceId),
    #[error("the workspace's token is missing or wrong")]
    WrongToken,
    #[error("{0}")]
    AddressNotAllowed(String),
    #[error("the store is unavailable; nothing was changed")]
    StoreUnavailable,
}

#[async_trait]
pub trait Fleet: Send + Sync + 'static {
    /// None: there is no such workspace.
    fn route(&self, workspace: &WorkspaceId) -> Option<Route>;

    /// Judges a failed forward to that life, acts on the verdict, and waits for
    /// re-probes. Never fails: in doubt it finds BUSY.
    async fn forward_failed(
        &self,
        workspace: &WorkspaceId,
        life: LifeId,
        failure: ForwardFailure,
    ) -> Judged;

    /// Asks before forwarding. None where preflight checks are off.
    async fn preflight(&self, workspace: &WorkspaceId) -> Option<Judged>;

    /// That life answered a forwarded request.
    fn answered(&self, workspace: &WorkspaceId, life: LifeId);

    /// How long ago the workspace last gave a sign of life.
    fn newest_sign(&self, workspace: &WorkspaceId) -> Option<Millis>;

    /// Queues a request, on disk before this returns.
    async fn accept(&self, item: NewItem) -> Result<Accepted, QueueRefusal>;

    /// A queued item. `Ok(None)`: there is none of that name.
    async fn item(&self, id: &QueueId) -> Result<Option<Item>, QueueRefusal>;

    /// A request came for a hibernated workspace.
    async fn wake(&self, workspace: &WorkspaceId);

    async fn register(
        &self,
        workspace: &WorkspaceId,
        token: Option<&str>,
        registration: Registration,
    ) -> Result<(), ReportRefused>;

    async fn heartbeat(
        &self,
        workspace: &WorkspaceId,
        token: Option<&str>,
        heartbeat: Heartbeat,
    ) -> Result<(), ReportRefused>;
}
