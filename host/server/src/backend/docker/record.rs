//! What outlives the host: one file for each workspace, `docker/<workspace>.json`
//! in the state folder. It says how to make the container again, and which order
//! about it may still be under way. Nobody else may read it: environments hold
//! secrets.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use reprieve_core::{
    ids::{LifeId, WorkspaceId},
    ports::LifeMark,
    time::{Millis, UnixMillis},
};
use serde::{Deserialize, Serialize};

use super::{
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
    /// Replaces the workspace's record, whole or not at all.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let unfinished = dir.join(format!(".{}.tmp", self.workspace));
        let mut options = File::options();
        let mut file =
            options.create(true).write(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_data()?;
        fs::rename(unfinished, path(dir, &self.workspace))
    }
}

/// The folder of records, which only its owner may look into.
pub(super) fn folder(state_dir: &Path) -> io::Result<PathBuf> {
    let dir = state_dir.join("docker");
    DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    Ok(dir)
}

/// Fine as well if there is none.
pub(super) fn remove(dir: &Path, workspace: &WorkspaceId) -> io::Result<()> {
    match fs::remove_file(path(dir, workspace)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Every record, or the path of the first that cannot be read and why.
pub(super) fn read_all(dir: &Path) -> Result<Vec<Record>, (PathBuf, io::Error)> {
    let whole = |error| (dir.to_path_buf(), error);
    let mut records = Vec::new();
    for entry in fs::read_dir(dir).map_err(whole)? {
        let path = entry.map_err(whole)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let record = fs::read(&path)
                .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
                .map_err(|error| (path, error))?;
            records.push(record);
        }
    }
    Ok(records)
}

fn path(dir: &Path, workspace: &WorkspaceId) -> PathBuf {
    dir.join(format!("{workspace}.json"))
}
