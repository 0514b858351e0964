//! What came into force and when, on disk: a host that was killed comes back with
//! the policy that judged, or with the one that was just coming.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use reprieve_core::{ids::Digest, time::UnixMillis};
use serde::{Deserialize, Serialize};

use super::shelf;

/// Activations that are remembered.
const MAX_ACTIVATIONS: usize = 100;
/// The largest record that is read.
const MAX_RECORD_BYTES: usize = 1 << 20;
/// The longest account of who or why.
pub const MAX_WORDS_BYTES: usize = 512;

/// How a policy came into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The configuration names it.
    Configured,
    /// Somebody wanted it.
    Activated,
    /// Somebody wanted the one before back.
    RolledBack,
    /// Its source changed, and is watched.
    Watched,
    /// It was the last good one when the host started and the configured one was
    /// not.
    LastGood,
}

/// One time that a policy came into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    pub component: Digest,
    /// Name and version.
    pub policy: String,
    /// What messages call where it came from.
    pub source: String,
    pub how: How,
    pub at: UnixMillis,
    pub by: String,
    pub why: String,
}

/// All that is remembered between starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// Grows with every change of the record: what an operator's `If-Match` is
    /// held against.
    pub(super) revision: u64,
    /// The newest first; that one is in force.
    pub(super) activations: Vec<Activation>,
    /// What each source held when it was last acted on. Only a change of it is
    /// acted on again, so that a restart does not undo what people did.
    pub(super) seen: BTreeMap<String, Digest>,
}

impl Record {
    /// None: there is none yet. One that cannot be read is none, and is said so:
    /// it was written whole, so somebody else wrote it.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        match shelf::read(path, MAX_RECORD_BYTES) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(record) => Ok(Some(record)),
                Err(error) => {
                    tracing::error!(path = %path.display(), %error,
                        "the record of activations is damaged; beginning a new one");
                    Ok(None)
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        shelf::write_whole(path, &text)
    }

    pub(super) fn path(state_dir: &Path) -> PathBuf {
        state_dir.join("policies").join("active.json")
    }

    pub(super) fn active(&self) -> Option<&Activation> {
        self.activations.first()
    }

    /// The newest activation of another component than the one in force.
    pub(super) fn before(&self) -> Option<&Activation> {
        let active = self.active()?;
        self.activations.iter().find(|earlier| earlier.component != active.component)
    }

    /// The same with one more activation.
    pub(super) fn with(&self, activation: Activation) -> Self {
        let mut next = self.clone();
        next.revision += 1;
        next.activations.insert(0, activation);
        next.activations.truncate(MAX_ACTIVATIONS);
        next
    }

    /// Components in the order in which they were last in force, the newest first.
    pub(super) fn components(&self) -> Vec<Digest> {
        let mut components = Vec::new();
        for activation in &self.activations {
            if !components.contains(&activation.component) {
                components.push(activation.component);
            }
        }
        components
    }

    /// What must stay on the shelf: what judges, what judged before, and what the
    /// sources held.
    pub(super) fn wanted(&self) -> BTreeSet<Digest> {
        let newest = self.components().into_iter().take(3);
        newest.chain(self.seen.values().copied().take(4)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activation(of: &[u8]) -> Activation {
        Activation {
            component: Digest::of(of),
            policy: "default 0.1.0".to_owned(),
            source: "a test".to_owned(),
            how: How::Activated,
            at: UnixMillis(1),
            by: "somebody".to_owned(),
            why: String::new(),
        }
    }

    #[test]
    fn the_one_before_is_the_newest_of_another_component() {
        let mut record = Record::default();
        assert_eq!(record.before(), None);
        for of in [b"a", b"a", b"b", b"b"] {
            record = record.with(activation(of));
        }
        assert_eq!(record.before().unwrap().component, Digest::of(b"a"));
        record = record.with(activation(b"a"));
        assert_eq!(record.before().unwrap().component, Digest::of(b"b"), "back and forth");
        assert_eq!(record.revision, 5);
        assert_eq!(record.components(), [Digest::of(b"a"), Digest::of(b"b")]);
    }

    #[test]
    fn a_record_comes_back_as_it_was_written_and_a_damaged_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("active.json");
        assert_eq!(Record::read(&path).unwrap(), None);
        let mut record = Record::default();
        for _ in 0..MAX_ACTIVATIONS + 5 {
            record = record.with(activation(b"a"));
        }
        assert_eq!(record.activations.len(), MAX_ACTIVATIONS);
        record.seen.insert("policy.file".to_owned(), Digest::of(b"a"));
        record.write(&path).unwrap();
        assert_eq!(Record::read(&path).unwrap(), Some(record));
        std::fs::write(&path, "{\"revision\": ").unwrap();
        assert_eq!(Record::read(&path).unwrap(), None);
    }
}
