//! The rules of the queue: what an item is, and how it ends.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{DecisionId, QueueId, WorkspaceId},
    time::{Millis, UnixMillis},
};

/// Deliveries tried at most. As many as the platform's own proxy tried.
pub const MAX_ATTEMPTS: u32 = 5;

/// Items of one workspace that may wait at once.
pub const CAPACITY: u32 = 1_000;

/// How long an item stays on record after its end: so long its answer can be
/// fetched, and so long the same message id is the same request.
pub const KEEP_ENDED: Millis = Millis::from_secs(24 * 3_600);

/// Why an item was dropped whose last attempt came to nothing.
pub const ATTEMPTS_EXHAUSTED: &str = "attempts exhausted";

/// Why an item was dropped that waited for too long.
pub const STALE: &str = "stale";

/// How the ids of the host's own messages to workspaces begin. Nobody waits for them.
pub const OWN_MESSAGES: &str = "reprieve-restart-";

/// Larger goes first; equal: the older first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Priority(pub u8);

impl Priority {
    pub const CRITICAL: Self = Self(100);
    pub const TASK: Self = Self(50);
    pub const INFO: Self = Self(10);
}

impl Default for Priority {
    fn default() -> Self {
        Self::TASK
    }
}

/// A request as it will be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRequest {
    pub method: String,
    /// Below the workspace's address, with the query.
    pub path: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAnswer {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// A request to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewItem {
    pub workspace: WorkspaceId,
    /// The idempotency key.
    pub message_id: String,
    pub priority: Priority,
    pub request: StoredRequest,
    /// The decision that sent it here, if one did.
    pub decision: Option<DecisionId>,
}

/// A request that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub id: QueueId,
    pub workspace: WorkspaceId,
    pub message_id: String,
    pub priority: Priority,
    pub accepted: UnixMillis,
    pub attempts: u32,
    /// Why the last attempt came to nothing.
    pub last_failure: Option<String>,
    pub request: StoredRequest,
    pub decision: Option<DecisionId>,
    pub stage: Stage,
}

impl Item {
    pub fn given_up(&self) -> GivenUp {
        let (workspace, message_id) = (self.workspace.clone(), self.message_id.clone());
        GivenUp { workspace, message_id, accepted: self.accepted }
    }
}

/// What is told of an item that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    pub workspace: WorkspaceId,
    pub message_id: String,
    pub accepted: UnixMillis,
}

/// Where an item stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    Waiting,
    /// Being delivered.
    Taken,
    Ended {
        at: UnixMillis,
        ending: Ending,
    },
}

/// How an item ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Delivered(StoredAnswer),
    Dropped { reason: String },
}
