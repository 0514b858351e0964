//! What survives the host: an embedded SQLite database in the state folder.
//!
//! [`Store`] implements the ports of `reprieve_core` for one host. SQL stands
//! only in this folder, one file per noun. Writes go through one writer
//! (`writer.rs`) that commits whatever waits in one transaction, so a thousand
//! callers share one wait for the disk; reads have connections of their own.
//! Heartbeats, notes and restarts are in memory too, so the facts that policies
//! ask for are at hand.
//!
//! [`Store::in_memory`] is the same code on a database that nobody else sees.

mod audit;
mod decisions;
mod experiments;
mod folder;
mod heartbeats;
mod memory;
mod queue;
mod readers;
mod restarts;
mod row;
mod schema;
mod settings;
mod tokens;
mod workspaces;
mod writer;

use std::{path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
use reprieve_core::{
    evidence::StoreFault,
    ids::{LifeId, WorkspaceId},
    ports::Clock,
    queue::CAPACITY,
    time::{Millis, UnixMillis},
};
use rusqlite::Connection;
use tokio_util::task::AbortOnDropHandle;

pub use self::{
    audit::{AuditEntry, AuditFilter, AuditLog, AuditRecord},
    decisions::{DecisionLog, DecisionReader, DecisionRow, Retention},
    experiments::{ExperimentStore, MAX_EXPERIMENTS},
    folder::{DATABASE, StoreOpenFailure},
    heartbeats::HeartbeatStore,
    memory::MemoryStore,
    queue::{Backlog, EntryStage, QueueEntry, QueueStore},
    restarts::RestartStore,
    settings::{AllApplied, ChangeFilter, MAX_CHANGES_LISTED, SettingsStore},
    tokens::{TokenNotCreated, TokenRecord, TokenStore},
    workspaces::WorkspaceStore,
};
use self::{folder::Folder, readers::Readers, writer::Writer};

/// How often heartbeats are written down and old records removed: what a crash
/// may cost of the beats on record.
pub const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(15);

/// What an operator may choose.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// Items of one workspace that may wait at once.
    pub queue_capacity: u32,
    /// How much of the log of decisions is kept.
    pub retention: Retention,
    /// For how long it stays on record what was done with the admin API.
    pub audit_max_age: Millis,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            queue_capacity: CAPACITY,
            retention: Retention::default(),
            audit_max_age: AuditLog::DEFAULT_MAX_AGE,
        }
    }
}

/// How the store has fared since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreHealth {
    /// Reads and writes that failed.
    pub faults: u64,
    /// Decisions that could not be recorded.
    pub decisions_lost: u64,
    /// What was to be written last was not, or the store is closed.
    pub is_failing: bool,
}

/// The stores of one host. Cheap to clone: all clones are one store.
#[derive(Clone, Debug)]
pub struct Store {
    pub queue: Arc<QueueStore>,
    pub restarts: Arc<RestartStore>,
    pub memory: Arc<MemoryStore>,
    pub heartbeats: Arc<HeartbeatStore>,
    pub decisions: Arc<DecisionLog>,
    pub workspaces: Arc<WorkspaceStore>,
    pub settings: Arc<SettingsStore>,
    pub experiments: Arc<ExperimentStore>,
    pub tokens: Arc<TokenStore>,
    pub audit: Arc<AuditLog>,
    writer: Writer,
    interrupted: Arc<[(WorkspaceId, LifeId)]>,
    _housekeeping: Arc<AbortOnDropHandle<()>>,
}

impl Store {
    /// Opens the store in that folder and makes it if it is not there. Restarts
    /// that a crashed host left in flight are over, and the items that it was
    /// delivering wait again.
    ///
    /// Must be called inside a tokio runtime.
    pub async fn open(
        folder: &Path,
        options: StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreOpenFailure> {
        let path = folder.to_owned();
        let opened = move || {
            let folder = Folder::claim(&path)?;
            let connection = folder.connect()?;
            Ok((Some(folder), connection))
        };
        Self::start(opened, options, clock).await
    }

    /// A store that is gone with its last clone.
    pub async fn in_memory(
        options: StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreOpenFailure> {
        let opened = || Ok((None, folder::connect_in_memory()?));
        Self::start(opened, options, clock).await
    }

    /// Restarts that were in flight when the last host of this store died: the
    /// life that each was beginning. Whether it came about, only the runtime
    /// knows.
    pub fn interrupted(&self) -> &[(WorkspaceId, LifeId)] {
        &self.interrupted
    }

    pub fn health(&self) -> StoreHealth {
        StoreHealth {
            faults: self.writer.faults(),
            decisions_lost: self.decisions.lost(),
            is_failing: self.writer.is_failing(),
        }
    }

    /// Forgets a workspace: its registration, signs and note. What it still had
    /// waiting ends dropped. Decisions stay on record, and so does the number of
    /// its last life: a verdict about it must never fit a later workspace of
    /// the same name.
    pub async fn forget(&self, workspace: &WorkspaceId) -> Result<(), StoreFault> {
        self.queue.drop_all(workspace, "workspace removed").await?;
        self.memory.forget(workspace).await?;
        self.heartbeats.forget(workspace).await?;
        self.workspaces.forget(workspace).await
    }

    /// Writes down what is only in memory yet.
    pub async fn flush(&self) -> Result<(), StoreFault> {
        let heartbeats = self.heartbeats.flush().await;
        let tokens = self.tokens.flush().await;
        self.decisions.flush().await.and(heartbeats).and(tokens)
    }

    /// Flushes, and lets the folder go to the next host. Every later use of any
    /// clone is a fault.
    pub async fn close(self) -> Result<(), StoreFault> {
        let flushed = self.flush().await;
        self.writer.stop().await;
        flushed
    }

    async fn start(
        open: impl FnOnce() -> Result<(Option<Folder>, Connection), StoreOpenFailure> + Send + 'static,
        options: StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreOpenFailure> {
        let now = clock.now();
        let prepared = tokio::task::spawn_blocking(move || {
            let (folder, mut connection) = open()?;
            let path = folder.as_ref().map(Folder::database);
            let failed = |source| StoreOpenFailure::database(path.as_deref(), source);
            schema::migrate(&mut connection, path.as_deref())?;
            let left = Left::recover(&connection, now).map_err(failed)?;
            Ok((folder, connection, left))
        });
        let (folder, connection, left) =
            prepared.await.map_err(StoreOpenFailure::Interrupted)??;

        let path = folder.as_ref().map(Folder::database);
        let connection = Arc::new(Mutex::new(connection));
        let writer = Writer::start(Arc::clone(&connection), folder);
        let readers = Arc::new(Readers::new(path, connection, writer.fault_count()));
        let store_queue = QueueStore::new(&writer, &readers, &clock, options.queue_capacity);
        let queue = Arc::new(store_queue);
        let heartbeats = Arc::new(HeartbeatStore::new(&writer, &left.signs, now));
        let decisions = Arc::new(DecisionLog::start(&writer, &readers, &clock, options.retention));
        let tokens = Arc::new(TokenStore::new(&writer, left.tokens));
        let audit = Arc::new(AuditLog::new(&writer, &readers, options.audit_max_age));
        let housekeeping = tokio::spawn(keep_house(
            Rooms {
                queue: Arc::clone(&queue),
                heartbeats: Arc::clone(&heartbeats),
                decisions: Arc::clone(&decisions),
                tokens: Arc::clone(&tokens),
                audit: Arc::clone(&audit),
            },
            Arc::clone(&clock),
        ));
        Ok(Self {
            restarts: Arc::new(RestartStore::new(&writer, &clock, left.restarts)),
            memory: Arc::new(MemoryStore::new(&writer, left.notes)),
            workspaces: Arc::new(WorkspaceStore::new(&writer, &readers)),
            settings: Arc::new(SettingsStore::new(&writer, &readers)),
            experiments: Arc::new(ExperimentStore::new(&writer, &readers)),
            queue,
            heartbeats,
            decisions,
            tokens,
            audit,
            writer,
            interrupted: left.interrupted.into(),
            _housekeeping: Arc::new(AbortOnDropHandle::new(housekeeping)),
        })
    }
}

/// What the last host of this store left.
struct Left {
    interrupted: Vec<(WorkspaceId, LifeId)>,
    restarts: restarts::Histories,
    notes: memory::Notes,
    signs: heartbeats::AllSigns,
    tokens: Vec<tokens::Held>,
}

impl Left {
    fn recover(connection: &Connection, now: UnixMillis) -> rusqlite::Result<Self> {
        let (waiting, exhausted) = queue::recover(connection, now)?;
        let interrupted = restarts::finish_all(connection)?;
        if waiting + exhausted > 0 || !interrupted.is_empty() {
            tracing::info!(
                waiting,
                exhausted,
                interrupted = interrupted.len(),
                "recovered what the last host left unfinished"
            );
        }
        Ok(Self {
            interrupted,
            restarts: restarts::load(connection)?,
            notes: memory::load(connection)?,
            signs: heartbeats::load(connection)?,
            tokens: tokens::load(connection)?,
        })
    }
}

/// What is kept in order.
struct Rooms {
    queue: Arc<QueueStore>,
    heartbeats: Arc<HeartbeatStore>,
    decisions: Arc<DecisionLog>,
    tokens: Arc<TokenStore>,
    audit: Arc<AuditLog>,
}

/// Faults are counted where they arise; the next round tries again.
async fn keep_house(rooms: Rooms, clock: Arc<dyn Clock>) {
    let mut rounds = tokio::time::interval(HOUSEKEEPING_INTERVAL);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let _ = rooms.heartbeats.flush().await;
        let _ = rooms.queue.remove_ended(clock.now()).await;
        let _ = rooms.decisions.prune(clock.now()).await;
        let _ = rooms.tokens.flush().await;
        let _ = rooms.tokens.tidy_up(clock.now()).await;
        let _ = rooms.audit.prune(clock.now()).await;
    }
}
