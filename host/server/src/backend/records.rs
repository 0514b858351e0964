//! Folders with one record for each workspace: what a backend must still know
//! after `kill -9`.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use reprieve_core::ids::WorkspaceId;
use serde::{Serialize, de::DeserializeOwned};

/// Replaces the workspace's record, whole or not at all. Only its owner may read
/// it.
pub(super) fn write(
    dir: &Path,
    workspace: &WorkspaceId,
    record: &impl Serialize,
) -> io::Result<()> {
    let unfinished = dir.join(format!(".{workspace}.tmp"));
    let mut options = File::options();
    let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    file.sync_data()?;
    fs::rename(unfinished, path(dir, workspace))
}

/// Fine as well if there is none.
pub(super) fn remove(dir: &Path, workspace: &WorkspaceId) -> io::Result<()> {
    match fs::remove_file(path(dir, workspace)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Every record, or the path of the first that cannot be read and why.
pub(super) fn read_all<T: DeserializeOwned>(dir: &Path) -> Result<Vec<T>, (PathBuf, io::Error)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_record_is_named() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("ws-1.json"), "{\"workspace\":")?;
        let Err((path, _)) = read_all::<serde_json::Value>(dir.path()) else {
            panic!("it was read");
        };
        assert!(path.ends_with("ws-1.json"), "{}", path.display());
        Ok(())
    }
}
