//! What outlives the host: one file for each workspace, `docker/<workspace>.json`
//! in the state folder. It says how to make the container again, and which order
//! about it may still be under way. Nobody else may read it: environments hold
//! secrets.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use reprieve_core::{
    ids::{LifeId, WorkspaceId},
    ports::LifeMark,
    time::{Millis, UnixMillis},
};
use serde::{Deserialize, Serialize};

use super::{
    super::records,
    names::{ContainerId, ContainerName},
    recipe::Recipe,
};

/// What is known of a workspace's container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) workspace: WorkspaceId,
    pub(super) container: ContainerId,
    pub(super) name: ContainerName,
    /// The newest run that was seen.
    pub(super) mark: Option<LifeMark>,
    /// A container that is gone was seen to be taken away while it ran, or while
    /// it was being restarted: it is to come back.
    pub(super) recipe: Recipe,
    /// The workspace whose network it shares.
    pub(super) parent: Option<WorkspaceId>,
    pub(super) order: Option<OrderRecord>,
}

/// The newest order to begin a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OrderRecord {
    pub(super) life: LifeId,
    /// The run that it ends.
    pub(super) before: Option<LifeMark>,
    pub(super) sent_at: UnixMillis,
    /// Later than this after `sent_at`, the daemon is no longer at it.
    pub(super) within: Millis,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// The daemon may be at it.
    Open,
    /// It did not come about, and will not.
    Refused,
    /// This run came of it.
    Began(LifeMark),
}

impl Record {
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        records::write(dir, &self.workspace, self)
    }
}

/// The folder of records, which only its owner may look into.
pub(super) fn folder(state_dir: &Path) -> io::Result<PathBuf> {
    let dir = state_dir.join("docker");
    DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    Ok(dir)
}
