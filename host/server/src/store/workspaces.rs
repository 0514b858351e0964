//! What the host knows of each workspace, across restarts of the host. The
//! content is the supervisor's; here it is text.

use std::sync::Arc;

use reprieve_core::{evidence::StoreFault, ids::WorkspaceId};

use super::{readers::Readers, row, writer::Writer};

/// One record per workspace.
#[derive(Debug)]
pub struct WorkspaceStore {
    writer: Writer,
    readers: Arc<Readers>,
}

impl WorkspaceStore {
    pub(super) fn new(writer: &Writer, readers: &Arc<Readers>) -> Self {
        Self { writer: writer.clone(), readers: Arc::clone(readers) }
    }

    /// On disk before it returns.
    pub async fn save(&self, workspace: &WorkspaceId, json: String) -> Result<(), StoreFault> {
        let workspace = workspace.clone();
        let saved = self.writer.write(json.len(), move |connection| {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO workspaces (workspace, record) VALUES (?1, ?2)",
                )?
                .execute([workspace.as_str(), &json])
        });
        saved.await.map(|_| ())
    }

    pub async fn forget(&self, workspace: &WorkspaceId) -> Result<(), StoreFault> {
        let workspace = workspace.clone();
        let forgotten = self.writer.write(0, move |connection| {
            connection
                .prepare_cached("DELETE FROM workspaces WHERE workspace = ?1")?
                .execute([workspace.as_str()])
        });
        forgotten.await.map(|_| ())
    }

    /// In the order of their names.
    pub async fn load_all(&self) -> Result<Vec<(WorkspaceId, String)>, StoreFault> {
        self.readers
            .read(|connection| {
                let sql = "SELECT workspace, record FROM workspaces ORDER BY workspace";
                let mut statement = connection.prepare_cached(sql)?;
                let records =
                    statement.query_map([], |found| Ok((row::name(found, 0)?, found.get(1)?)))?;
                records.collect()
            })
            .await
    }
}
