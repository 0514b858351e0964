//! Connections that only read: none waits for the writer, none delays it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use reprieve_core::evidence::StoreFault;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::folder;

/// Reads at once; more wait. Each holds a blocking thread and a page cache.
const MAX_READERS: usize = 4;

#[derive(Debug)]
pub(super) struct Readers {
    source: Arc<Source>,
    room: Arc<Semaphore>,
    faults: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Source {
    /// Connections of their own; the idle ones wait here.
    File { path: PathBuf, idle: Mutex<Vec<Connection>> },
    /// A database in memory has but one connection.
    Writer(Arc<Mutex<Connection>>),
}

impl Readers {
    pub(super) fn new(
        path: Option<PathBuf>,
        writer: Arc<Mutex<Connection>>,
        faults: Arc<AtomicU64>,
    ) -> Self {
        let source = match path {
            Some(path) => Source::File { path, idle: Mutex::new(Vec::new()) },
            None => Source::Writer(writer),
        };
        Self { source: Arc::new(source), room: Arc::new(Semaphore::new(MAX_READERS)), faults }
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let room = Arc::clone(&self.room).acquire_owned().await;
        let source = Arc::clone(&self.source);
        let ran = tokio::task::spawn_blocking(move || {
            let _room = room;
            source.read(work)
        });
        let failure = match ran.await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(failure)) => failure.to_string(),
            Err(panicked) => panicked.to_string(),
        };
        self.faults.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(failure, "a read failed");
        Err(StoreFault::Unavailable)
    }
}

impl Source {
    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        match self {
            Self::Writer(connection) => work(&connection.lock()),
            Self::File { path, idle } => {
                let waiting = idle.lock().pop();
                let connection = match waiting {
                    Some(connection) => connection,
                    None => folder::connect_to_read(path)?,
                };
                // Kept only if it served: a broken one is opened afresh.
                let value = work(&connection)?;
                idle.lock().push(connection);
                Ok(value)
            }
        }
    }
}
