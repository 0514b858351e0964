//! Workspaces that a backend finds by itself, instead of being told by the
//! configuration.

use reprieve_core::{
    ids::{TenantId, WorkspaceId},
    ports::LifeMark,
    settings::Settings,
};
use url::Url;

use crate::config::Secret;

/// What a backend reports of the workspaces that it finds.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are the large one")]
pub enum Discovery {
    /// It is there, or what is said about it has changed.
    Found(Found),
    /// A person took it away: stopped first, then removed. What vanishes while it
    /// runs is no matter of discovery; it is judged.
    Withdrawn(WorkspaceId),
}

/// A workspace as its runtime describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub id: WorkspaceId,
    pub tenant: TenantId,
    /// Labels that the policy may look at.
    pub labels: Vec<(String, String)>,
    /// Settings of the policy for this workspace. Not checked yet.
    pub settings: Settings,
    pub depends_on: Vec<WorkspaceId>,
    pub queues_for_itself: bool,
    /// What it shows in its heartbeats, if it was given something.
    pub token: Option<Secret>,
    /// Where it listens, while it runs.
    pub address: Option<Url>,
    /// Its newest run, if it ever ran.
    pub mark: Option<LifeMark>,
    /// It runs now. What is found stopped, and was never seen to run, is nobody's
    /// wish: it stays stopped.
    pub runs: bool,
}
