//! The decision log: buffered, written in batches, kept within limits.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use reprieve_core::{
    decision::Decision,
    evidence::StoreFault,
    ids::DecisionId,
    ports::{Clock, DecisionFilter, Decisions},
    settings::Change,
    time::{Millis, UnixMillis},
};
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use tokio::sync::{mpsc, oneshot};

use super::{
    folder::{self, DATABASE, StoreOpenFailure},
    readers::Readers,
    row, schema,
    writer::Writer,
};

/// Decisions that wait to be written; who records one more waits.
const MAX_BUFFERED: usize = 4_096;

/// Decisions written by one job.
const MAX_BATCH: usize = 256;

/// How much of the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// At most so many decisions, the newest.
    pub newest: u64,
    /// None that are older.
    pub max_age: Millis,
}

impl Default for Retention {
    /// A million decisions, about 2 GB, and two weekends of a person on call.
    fn default() -> Self {
        Self { newest: 1_000_000, max_age: Millis::from_secs(14 * 24 * 3_600) }
    }
}

/// Decisions that one batch removes beyond as many as it adds, so that a log
/// that is too long shrinks without ever holding up the writer.
const PRUNED_BESIDE: usize = 64;

/// Decisions that one reading returns at most.
const MAX_LISTED: u32 = 10_000;

/// What a decision is reckoned to take in the writer's buffer.
const USUAL_BYTES: usize = 2_048;

enum Entry {
    Decision(Box<Decision>),
    Flush(oneshot::Sender<()>),
}

/// The decisions of this host.
#[derive(Debug)]
pub struct DecisionLog {
    entries: mpsc::Sender<Entry>,
    writer: Writer,
    readers: Arc<Readers>,
    retention: Retention,
    lost: Arc<AtomicU64>,
}

impl DecisionLog {
    pub(super) fn start(
        writer: &Writer,
        readers: &Arc<Readers>,
        clock: &Arc<dyn Clock>,
        retention: Retention,
    ) -> Self {
        let (entries, received) = mpsc::channel(MAX_BUFFERED);
        let lost = Arc::new(AtomicU64::new(0));
        let log = run(received, writer.clone(), Arc::clone(clock), retention, Arc::clone(&lost));
        tokio::spawn(log);
        Self { entries, writer: writer.clone(), readers: Arc::clone(readers), retention, lost }
    }

    /// Decisions that could not be written.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Returns when what was recorded before is on disk, or known to be lost.
    pub async fn flush(&self) -> Result<(), StoreFault> {
        let (done, answer) = oneshot::channel();
        let sent = self.entries.send(Entry::Flush(done)).await;
        sent.map_err(|_| StoreFault::Unavailable)?;
        answer.await.map_err(|_| StoreFault::Unavailable)
    }

    /// Removes the oldest beyond the limits, some at a time.
    pub(super) async fn prune(&self, now: UnixMillis) -> Result<(), StoreFault> {
        let retention = self.retention;
        self.writer.write(0, move |connection| prune(connection, retention, MAX_BATCH, now)).await
    }
}

#[async_trait]
impl Decisions for DecisionLog {
    async fn record(&self, decision: Decision) {
        if self.entries.send(Entry::Decision(Box::new(decision))).await.is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn get(&self, id: &DecisionId) -> Result<Option<Decision>, StoreFault> {
        // What was recorded is there, even if the rest cannot be written.
        let _ = self.flush().await;
        let id = id.clone();
        self.readers.read(move |connection| get(connection, &id)).await
    }

    async fn list(&self, filter: &DecisionFilter) -> Result<Vec<Decision>, StoreFault> {
        let _ = self.flush().await;
        let filter = filter.clone();
        self.readers.read(move |connection| list(connection, &filter)).await
    }
}

/// Writes what is buffered until the log is dropped. While one batch waits for
/// the disk the next one gathers.
async fn run(
    mut entries: mpsc::Receiver<Entry>,
    writer: Writer,
    clock: Arc<dyn Clock>,
    retention: Retention,
    lost: Arc<AtomicU64>,
) {
    let mut received = Vec::with_capacity(MAX_BATCH);
    while entries.recv_many(&mut received, MAX_BATCH).await > 0 {
        let (mut batch, mut flushes) = (Vec::new(), Vec::new());
        for entry in received.drain(..) {
            match entry {
                Entry::Decision(decision) => batch.push(decision),
                Entry::Flush(done) => flushes.push(done),
            }
        }
        if !batch.is_empty() {
            let (size, now) = (batch.len(), clock.now());
            let written = writer.write(size * USUAL_BYTES, move |connection| {
                save(connection, &batch)?;
                prune(connection, retention, size + PRUNED_BESIDE, now)
            });
            if written.await.is_err() {
                lost.fetch_add(size as u64, Ordering::Relaxed);
            }
        }
        for done in flushes {
            let _ = done.send(());
        }
    }
}

/// A decision as it was written down, whatever stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRow {
    /// In the log; larger is newer.
    pub place: u64,
    pub id: String,
    pub json: Vec<u8>,
}

/// Reads decisions beside the host that writes them, for the command line.
#[derive(Debug)]
pub struct DecisionReader {
    connection: Connection,
}

impl DecisionReader {
    /// Opens the database in that state folder to read it, whether a host runs
    /// or not.
    pub fn open(folder: &Path) -> Result<Self, StoreOpenFailure> {
        let path = folder.join(DATABASE);
        if !path.exists() {
            return Err(StoreOpenFailure::Missing { path });
        }
        let failed = |source| StoreOpenFailure::database(Some(&path), source);
        let connection = folder::connect_to_read(&path).map_err(failed)?;
        match schema::check(&connection, Some(&path))? {
            schema::FORMAT => Ok(Self { connection }),
            // Nothing was ever written.
            0 => Err(StoreOpenFailure::Missing { path }),
            found => Err(StoreOpenFailure::Older { path, found, known: schema::FORMAT }),
        }
    }

    pub fn get(&self, id: &DecisionId) -> Result<Option<Decision>, rusqlite::Error> {
        get(&self.connection, id)
    }

    /// Oldest first.
    pub fn list(&self, filter: &DecisionFilter) -> Result<Vec<Decision>, rusqlite::Error> {
        list(&self.connection, filter)
    }

    /// The next so many after that place in the log, oldest first. From 0 on they are
    /// all there is, whoever writes meanwhile.
    pub fn page(&self, after: u64, limit: u32) -> Result<Vec<DecisionRow>, rusqlite::Error> {
        let sql = "SELECT seq, id, decision FROM decisions WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let limit = limit.min(MAX_LISTED);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let rows = statement.query_map(params![after, limit], |row| {
            let id = row.get_ref(1)?.as_bytes().map(text).unwrap_or_default();
            let json = row.get_ref(2)?.as_bytes().map(<[u8]>::to_vec).unwrap_or_default();
            Ok(DecisionRow { place: row.get(0)?, id, json })
        })?;
        rows.collect()
    }

    /// How many there are.
    pub fn count(&self) -> Result<u64, rusqlite::Error> {
        let sql = "SELECT count(*) FROM decisions";
        self.connection.query_row(sql, [], |found| found.get(0))
    }

    /// Every change of settings on record, the oldest first.
    pub fn settings_changes(&self) -> Result<Vec<Change>, rusqlite::Error> {
        let sql = "SELECT change FROM settings_changes ORDER BY number";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.query_map([], |found| row::json(found, 0))?.collect()
    }
}

/// Recorded again, a decision keeps its place: what was done may be known later.
fn save(connection: &Connection, batch: &[Box<Decision>]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO decisions (id, at, workspace, tenant, decision) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE SET decision = excluded.decision",
    )?;
    for decision in batch {
        statement.execute(params![
            decision.id.0,
            decision.at.0,
            decision.workspace.as_str(),
            decision.tenant.as_str(),
            row::to_json(decision)?,
        ])?;
    }
    Ok(())
}

/// Looks only at the oldest, so it costs the same however long the log is.
fn prune(
    connection: &Connection,
    retention: Retention,
    at_most: usize,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    let oldest = now.0.saturating_sub(retention.max_age.0);
    let newest = i64::try_from(retention.newest).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "DELETE FROM decisions
             WHERE seq IN (SELECT seq FROM decisions ORDER BY seq LIMIT ?1)
               AND (at < ?2 OR seq <= (SELECT max(seq) FROM decisions) - ?3)",
        )?
        .execute(params![at_most, oldest, newest])?;
    Ok(())
}

fn get(connection: &Connection, id: &DecisionId) -> rusqlite::Result<Option<Decision>> {
    connection
        .prepare_cached("SELECT decision FROM decisions WHERE id = ?1")?
        .query_row([&id.0], |found| row::json(found, 0))
        .optional()
}

fn list(connection: &Connection, filter: &DecisionFilter) -> rusqlite::Result<Vec<Decision>> {
    let mut conditions = vec!["1".to_owned()];
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut narrow = |condition: &str, value: &str| {
        values.push(Box::new(value.to_owned()));
        conditions.push(condition.replace('?', &format!("?{}", values.len())));
    };
    if let Some(workspace) = &filter.workspace {
        narrow("workspace = ?", workspace.as_str());
    }
    if let Some(tenants) = &filter.tenants {
        let tenants: Vec<&str> = tenants.iter().map(|tenant| tenant.as_str()).collect();
        let tenants = row::to_json(&tenants)?;
        narrow("tenant IN (SELECT value FROM json_each(?))", &tenants);
    }
    // Ids sort by time: one that was pruned still has its place.
    if let Some(after) = &filter.after {
        narrow(
            "seq > coalesce((SELECT seq FROM decisions WHERE id = ?),
                            (SELECT max(seq) FROM decisions WHERE id < ?), 0)",
            &after.0,
        );
    }
    if let Some(before) = &filter.before {
        narrow(
            "seq < coalesce((SELECT seq FROM decisions WHERE id = ?),
                            (SELECT min(seq) FROM decisions WHERE id > ?), 9e18)",
            &before.0,
        );
    }
    let limit = filter.limit.min(MAX_LISTED);
    let sql = format!(
        "SELECT decision FROM decisions WHERE {} ORDER BY seq DESC LIMIT {limit}",
        conditions.join(" AND ")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let values = rusqlite::params_from_iter(values.iter());
    let newest_first = statement.query_map(values, |found| row::json(found, 0))?;
    let mut decisions = newest_first.collect::<rusqlite::Result<Vec<_>>>()?;
    decisions.reverse();
    Ok(decisions)
}
