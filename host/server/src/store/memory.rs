//! Each workspace's note, on disk and at hand.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::RwLock;
use reprieve_core::{
    evidence::{Note, StoreFault},
    ids::WorkspaceId,
    ports::Memory,
    time::UnixMillis,
};
use rusqlite::{Connection, params};

use super::{row, writer::Writer};

/// What a note holds, and when it was written.
pub(super) type Notes = HashMap<WorkspaceId, (Arc<[u8]>, UnixMillis)>;

/// The notes of every workspace.
#[derive(Debug)]
pub struct MemoryStore {
    writer: Writer,
    notes: Arc<RwLock<Notes>>,
}

impl MemoryStore {
    pub(super) fn new(writer: &Writer, notes: Notes) -> Self {
        Self { writer: writer.clone(), notes: Arc::new(RwLock::new(notes)) }
    }

    pub async fn forget(&self, workspace: &WorkspaceId) -> Result<(), StoreFault> {
        let (of, in_memory) = (workspace.clone(), workspace.clone());
        let notes = Arc::clone(&self.notes);
        let forgotten = self.writer.write_then(
            0,
            move |connection| {
                connection
                    .prepare_cached("DELETE FROM notes WHERE workspace = ?1")?
                    .execute([of.as_str()])
            },
            move |_| {
                notes.write().remove(&in_memory);
            },
        );
        forgotten.await.map(|_| ())
    }

    fn note(&self, workspace: &WorkspaceId, now: UnixMillis) -> Option<Note> {
        let notes = self.notes.read();
        let (bytes, written) = notes.get(workspace)?;
        Some(Note { bytes: bytes.to_vec(), age: written.age(now) })
    }
}

#[async_trait]
impl Memory for MemoryStore {
    fn at_hand(&self, workspace: &WorkspaceId, now: UnixMillis) -> Option<Option<Note>> {
        Some(self.note(workspace, now))
    }

    async fn fetch(
        &self,
        workspace: &WorkspaceId,
        now: UnixMillis,
    ) -> Result<Option<Note>, StoreFault> {
        Ok(self.note(workspace, now))
    }

    async fn write(
        &self,
        workspace: &WorkspaceId,
        bytes: Vec<u8>,
        now: UnixMillis,
    ) -> Result<(), StoreFault> {
        if bytes.is_empty() {
            return self.forget(workspace).await;
        }
        let bytes: Arc<[u8]> = bytes.into();
        let (of, on_disk) = (workspace.clone(), Arc::clone(&bytes));
        let (in_memory, notes) = (workspace.clone(), Arc::clone(&self.notes));
        let written = self.writer.write_then(
            bytes.len(),
            move |connection| {
                connection
                    .prepare_cached(
                        "INSERT INTO notes (workspace, bytes, written) VALUES (?1, ?2, ?3)
                         ON CONFLICT (workspace) DO UPDATE
                         SET bytes = excluded.bytes, written = excluded.written",
                    )?
                    .execute(params![of.as_str(), &*on_disk, now.0])
            },
            move |_| {
                notes.write().insert(in_memory, (bytes, now));
            },
        );
        written.await.map(|_| ())
    }
}

pub(super) fn load(connection: &Connection) -> rusqlite::Result<Notes> {
    let mut statement = connection.prepare("SELECT workspace, bytes, written FROM notes")?;
    let notes = statement.query_map([], |found| {
        let bytes = found.get_ref(1)?.as_blob()?.into();
        Ok((row::name(found, 0)?, (bytes, UnixMillis(found.get(2)?))))
    })?;
    notes.collect()
}
