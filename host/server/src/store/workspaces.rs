//! What the host knows of each workspace, across restarts of the host. The
//! content is the supervisor's; here it is JSON.

use std::sync::Arc;

use async_trait::async_trait;
use reprieve_core::{evidence::StoreFault, ids::WorkspaceId};
use rusqlite::OptionalExtension;

use serde::{Serialize, de::DeserializeOwned};

use super::{readers::Readers, row, writer::Writer};
use crate::supervisor::{Records, WorkspaceRecord};

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

    pub async fn forget(&self, workspace: &WorkspaceId) -> Result<(), StoreFault> {
        let workspace = workspace.clone();
        let forgotten = self.writer.write(0, move |connection| {
            connection
                .prepare_cached("DELETE FROM workspaces WHERE workspace = ?1")?
                .execute([workspace.as_str()])
        });
        forgotten.await.map(|_| ())
    }

    /// None: nothing is known of it.
    pub async fn load<T>(&self, workspace: &WorkspaceId) -> Result<Option<T>, StoreFault>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let workspace = workspace.clone();
        self.readers
            .read(move |connection| {
                connection
                    .prepare_cached("SELECT record FROM workspaces WHERE workspace = ?1")?
                    .query_row([workspace.as_str()], |found| row::json(found, 0))
                    .optional()
            })
            .await
    }

    /// On disk before it returns.
    pub async fn save<T>(&self, workspace: &WorkspaceId, record: T) -> Result<(), StoreFault>
    where
        T: Serialize + Send + 'static,
    {
        let workspace = workspace.clone();
        let saved = self.writer.write(0, move |connection| {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO workspaces (workspace, record) VALUES (?1, ?2)",
                )?
                .execute([workspace.as_str(), &row::to_json(&record)?])
        });
        saved.await.map(|_| ())
    }

    /// All of them, in the order of their names.
    pub async fn load_all<T>(&self) -> Result<Vec<(WorkspaceId, T)>, StoreFault>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.readers
            .read(|connection| {
                let sql = "SELECT workspace, record FROM workspaces ORDER BY workspace";
                let mut statement = connection.prepare_cached(sql)?;
                let records = statement
                    .query_map([], |found| Ok((row::name(found, 0)?, row::json(found, 1)?)))?;
                records.collect()
            })
            .await
    }
}

#[async_trait]
impl Records for WorkspaceStore {
    async fn load(&self, workspace: &WorkspaceId) -> Result<Option<WorkspaceRecord>, StoreFault> {
        Self::load(self, workspace).await
    }

    async fn save(
        &self,
        workspace: &WorkspaceId,
        record: WorkspaceRecord,
    ) -> Result<(), StoreFault> {
        Self::save(self, workspace, record).await
    }
}
