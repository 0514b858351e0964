//! Accepted requests, on disk until they have ended and a day longer.

mod entry;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use reprieve_core::{
    evidence::StoreFault,
    ids::{DecisionId, QueueId, WorkspaceId},
    ports::{Accepted, Clock, Queue, QueueRefusal},
    queue::{
        ATTEMPTS_EXHAUSTED, Ending, GivenUp, Item, KEEP_ENDED, MAX_ATTEMPTS, NewItem, Priority,
        STALE, Stage, StoredAnswer, StoredRequest,
    },
    time::{Millis, UnixMillis},
};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

pub use self::entry::{Backlog, EntryStage, QueueEntry};
use self::entry::{SELECT_ENTRY, entry};
use super::{readers::Readers, row, writer::Writer};

/// Items that one statement ends or removes at most, so that none holds up the
/// writer.
const MAX_AT_ONCE: u32 = 500;

/// How often it is repeated at most; the next round goes on.
const MAX_ROUNDS: u32 = 100;

/// What is on record of an item whose host died while it delivered.
const HOST_DIED: &str = "the host ended during the delivery";

/// The queue of every workspace.
pub struct QueueStore {
    writer: Writer,
    readers: Arc<Readers>,
    clock: Arc<dyn Clock>,
    capacity: u32,
}

impl std::fmt::Debug for QueueStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueStore").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl QueueStore {
    pub(super) fn new(
        writer: &Writer,
        readers: &Arc<Readers>,
        clock: &Arc<dyn Clock>,
        capacity: u32,
    ) -> Self {
        Self {
            writer: writer.clone(),
            readers: Arc::clone(readers),
            clock: Arc::clone(clock),
            capacity,
        }
    }

    /// Ends what a workspace still has waiting as dropped. What is being
    /// delivered ends by itself.
    pub async fn drop_all(
        &self,
        workspace: &WorkspaceId,
        reason: &'static str,
    ) -> Result<u32, StoreFault> {
        let (workspace, now) = (workspace.clone(), self.clock.now());
        let sql = "UPDATE queue_items SET stage = 2, ended = ?2, drop_reason = ?3
                   WHERE workspace = ?1 AND stage = 0";
        let changed = self.writer.write(0, move |connection| {
            connection.prepare_cached(sql)?.execute(params![workspace.as_str(), now.0, reason])
        });
        changed.await.map(count)
    }

    /// What is on record of a workspace's requests, oldest first, without their
    /// bodies: at most `limit`, after the item `after`.
    pub async fn list(
        &self,
        workspace: &WorkspaceId,
        after: Option<&QueueId>,
        limit: u32,
    ) -> Result<Vec<QueueEntry>, StoreFault> {
        let (workspace, after) = (workspace.clone(), after.cloned());
        let sql = format!("{SELECT_ENTRY} WHERE workspace = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
        self.readers
            .read(move |connection| {
                let after = after.map(|id| id.0).unwrap_or_default();
                let mut statement = connection.prepare_cached(&sql)?;
                let entries =
                    statement.query_map(params![workspace.as_str(), after, limit], entry)?;
                entries.collect()
            })
            .await
    }

    /// One request, without its body.
    pub async fn entry(&self, id: &QueueId) -> Result<Option<QueueEntry>, StoreFault> {
        let (id, sql) = (id.clone(), format!("{SELECT_ENTRY} WHERE id = ?1"));
        self.readers
            .read(move |connection| {
                connection.prepare_cached(&sql)?.query_row([&id.0], entry).optional()
            })
            .await
    }

    /// What waits, of all workspaces together.
    pub async fn backlog(&self) -> Result<Backlog, StoreFault> {
        let now = self.clock.now();
        self.readers
            .read(move |connection| {
                let sql = "SELECT count(*), min(accepted) FROM queue_items WHERE stage = 0";
                connection.prepare_cached(sql)?.query_row([], |found| {
                    let oldest: Option<u64> = found.get(1)?;
                    let oldest = oldest.map_or(Millis::ZERO, |at| UnixMillis(at).age(now));
                    Ok(Backlog { depth: found.get(0)?, oldest })
                })
            })
            .await
    }

    /// Ends an item that waits as dropped. False: it does not wait (any more).
    pub async fn drop_waiting(&self, id: &QueueId, reason: &str) -> Result<bool, StoreFault> {
        let (id, reason, now) = (id.clone(), reason.to_owned(), self.clock.now());
        let sql = "UPDATE queue_items SET stage = 2, ended = ?2, drop_reason = ?3
                   WHERE id = ?1 AND stage = 0";
        let changed = self.writer.write(0, move |connection| {
            connection.prepare_cached(sql)?.execute(params![id.0, now.0, reason])
        });
        changed.await.map(|changed| changed > 0)
    }

    /// What waits for a workspace has all its attempts before it again. Returns how
    /// many items that are.
    pub async fn renew_attempts(&self, workspace: &WorkspaceId) -> Result<u32, StoreFault> {
        let workspace = workspace.clone();
        let sql = "UPDATE queue_items SET attempts = 0 WHERE workspace = ?1 AND stage = 0";
        let changed = self.writer.write(0, move |connection| {
            connection.prepare_cached(sql)?.execute([workspace.as_str()])
        });
        changed.await.map(count)
    }

    /// Removes items that ended longer ago than [`KEEP_ENDED`].
    pub(super) async fn remove_ended(&self, now: UnixMillis) -> Result<u32, StoreFault> {
        let before = now.0.saturating_sub(KEEP_ENDED.0);
        let sql = "DELETE FROM queue_items WHERE seq IN
                   (SELECT seq FROM queue_items WHERE stage = 2 AND ended < ?1 LIMIT ?2)";
        self.in_rounds(move |connection| {
            connection.prepare_cached(sql)?.execute(params![before, MAX_AT_ONCE])
        })
        .await
    }

    /// Repeats a statement that is limited to [`MAX_AT_ONCE`] until it finds no
    /// more.
    async fn in_rounds(
        &self,
        statement: impl Fn(&Connection) -> rusqlite::Result<usize> + Clone + Send + 'static,
    ) -> Result<u32, StoreFault> {
        let mut total = 0;
        for _ in 0..MAX_ROUNDS {
            let changed = count(self.writer.write(0, statement.clone()).await?);
            total += changed;
            if changed < MAX_AT_ONCE {
                break;
            }
        }
        Ok(total)
    }
}

#[async_trait]
impl Queue for QueueStore {
    async fn accept(&self, item: NewItem, now: UnixMillis) -> Result<Accepted, QueueRefusal> {
        let bytes = item.request.body.len();
        let limit = self.capacity;
        let accepted =
            self.writer.write(bytes, move |connection| accept(connection, &item, limit, now));
        match accepted.await {
            Ok(Some(accepted)) => Ok(accepted),
            Ok(None) => Err(QueueRefusal::Full { limit }),
            Err(StoreFault::Unavailable) => Err(QueueRefusal::Unavailable),
        }
    }

    async fn take(
        &self,
        workspace: &WorkspaceId,
        _now: UnixMillis,
    ) -> Result<Option<Item>, StoreFault> {
        let workspace = workspace.clone();
        self.writer.write(0, move |connection| take(connection, &workspace)).await
    }

    async fn put_back(&self, id: &QueueId, why: &str) -> Result<(), StoreFault> {
        let (id, why, now) = (id.clone(), why.to_owned(), self.clock.now());
        let sql = "UPDATE queue_items SET last_failure = :why,
                       stage = iif(attempts < :most, 0, 2),
                       ended = iif(attempts < :most, NULL, :now),
                       drop_reason = iif(attempts < :most, NULL, :exhausted)
                   WHERE id = :id AND stage = 1";
        let changed = self.writer.write(0, move |connection| {
            connection.prepare_cached(sql)?.execute(named_params! {
                ":why": why,
                ":most": MAX_ATTEMPTS,
                ":now": now.0,
                ":exhausted": ATTEMPTS_EXHAUSTED,
                ":id": id.0,
            })
        });
        changed.await.map(|_| ())
    }

    async fn end(&self, id: &QueueId, ending: Ending, now: UnixMillis) -> Result<(), StoreFault> {
        let id = id.clone();
        let bytes = match &ending {
            Ending::Delivered(answer) => answer.body.len(),
            Ending::Dropped { .. } => 0,
        };
        self.writer.write(bytes, move |connection| end(connection, &id, &ending, now)).await
    }

    async fn get(&self, id: &QueueId) -> Result<Option<Item>, StoreFault> {
        let id = id.clone();
        self.readers
            .read(move |connection| {
                let sql = format!("{SELECT_ITEM} WHERE id = ?1");
                connection.prepare_cached(&sql)?.query_row([&id.0], item).optional()
            })
            .await
    }

    async fn depth(&self, workspace: &WorkspaceId) -> Result<u32, StoreFault> {
        let workspace = workspace.clone();
        self.readers.read(move |connection| depth(connection, &workspace)).await
    }

    async fn depths(&self) -> Result<BTreeMap<WorkspaceId, u32>, StoreFault> {
        self.readers
            .read(|connection| {
                let sql = "SELECT workspace, count(*) FROM queue_items
                           WHERE stage = 0 GROUP BY workspace";
                let mut statement = connection.prepare_cached(sql)?;
                let depths =
                    statement.query_map([], |found| Ok((row::name(found, 0)?, found.get(1)?)))?;
                depths.collect()
            })
            .await
    }

    async fn recover(&self) -> Result<u32, StoreFault> {
        let now = self.clock.now();
        let recovered = self.writer.write(0, move |connection| recover(connection, now));
        recovered.await.map(|(waiting, _)| waiting)
    }

    async fn drop_stale(
        &self,
        max_age: Millis,
        now: UnixMillis,
    ) -> Result<Vec<GivenUp>, StoreFault> {
        let before = UnixMillis(now.0.saturating_sub(max_age.0));
        let mut all = Vec::new();
        for _ in 0..MAX_ROUNDS {
            let round =
                self.writer.write(0, move |connection| drop_older(connection, before, now)).await?;
            let is_last = round.len() < MAX_AT_ONCE as usize;
            all.extend(round);
            if is_last {
                break;
            }
        }
        Ok(all)
    }
}

/// At most [`MAX_AT_ONCE`].
fn drop_older(
    connection: &Connection,
    before: UnixMillis,
    now: UnixMillis,
) -> rusqlite::Result<Vec<GivenUp>> {
    let mut statement = connection.prepare_cached(
        "UPDATE queue_items SET stage = 2, ended = ?1, drop_reason = ?2
         WHERE seq IN (SELECT seq FROM queue_items
                       WHERE stage = 0 AND accepted < ?3 LIMIT ?4)
         RETURNING workspace, message_id, accepted",
    )?;
    let dropped = statement.query_map(params![now.0, STALE, before.0, MAX_AT_ONCE], |found| {
        Ok(GivenUp {
            workspace: row::name(found, 0)?,
            message_id: found.get(1)?,
            accepted: UnixMillis(found.get(2)?),
        })
    })?;
    dropped.collect()
}

/// None: the queue is full.
fn accept(
    connection: &Connection,
    new: &NewItem,
    limit: u32,
    now: UnixMillis,
) -> rusqlite::Result<Option<Accepted>> {
    let waiting = depth(connection, &new.workspace)?;
    let known: Option<String> = connection
        .prepare_cached("SELECT id FROM queue_items WHERE workspace = ?1 AND message_id = ?2")?
        .query_row([new.workspace.as_str(), &new.message_id], |found| found.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(Some(Accepted { id: QueueId(id), depth: waiting, repeated: true }));
    }
    if waiting >= limit {
        return Ok(None);
    }
    let id = QueueId(uuid::Uuid::now_v7().to_string());
    connection
        .prepare_cached(
            "INSERT INTO queue_items (id, workspace, message_id, priority, accepted, decision)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            id.0,
            new.workspace.as_str(),
            new.message_id,
            new.priority.0,
            now.0,
            new.decision.as_ref().map(|decision| &decision.0),
        ])?;
    let request = &new.request;
    connection
        .prepare_cached(
            "INSERT INTO queue_requests (seq, method, path, headers, body)
             VALUES (last_insert_rowid(), ?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            request.method,
            request.path,
            row::to_json(&request.headers)?,
            request.body
        ])?;
    Ok(Some(Accepted { id, depth: waiting + 1, repeated: false }))
}

fn take(connection: &Connection, workspace: &WorkspaceId) -> rusqlite::Result<Option<Item>> {
    let taken: Option<i64> = connection
        .prepare_cached(
            "UPDATE queue_items SET stage = 1, attempts = attempts + 1
             WHERE seq = (SELECT seq FROM queue_items WHERE workspace = ?1 AND stage = 0
                          ORDER BY priority DESC, seq LIMIT 1)
               AND NOT EXISTS (SELECT 1 FROM queue_items WHERE workspace = ?1 AND stage = 1)
             RETURNING seq",
        )?
        .query_row([workspace.as_str()], |found| found.get(0))
        .optional()?;
    let Some(seq) = taken else { return Ok(None) };
    let sql = format!("{SELECT_ITEM} WHERE seq = ?1");
    connection.prepare_cached(&sql)?.query_row([seq], item).map(Some)
}

/// The first ending stands.
fn end(
    connection: &Connection,
    id: &QueueId,
    ending: &Ending,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    let reason = match ending {
        Ending::Delivered(_) => None,
        Ending::Dropped { reason } => Some(reason),
    };
    let ended: Option<i64> = connection
        .prepare_cached(
            "UPDATE queue_items SET stage = 2, ended = ?2, drop_reason = ?3
             WHERE id = ?1 AND stage < 2 RETURNING seq",
        )?
        .query_row(params![id.0, now.0, reason], |found| found.get(0))
        .optional()?;
    if let (Some(seq), Ending::Delivered(answer)) = (ended, ending) {
        connection
            .prepare_cached(
                "INSERT INTO queue_answers (seq, status, headers, body) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![seq, answer.status, row::to_json(&answer.headers)?, answer.body])?;
    }
    Ok(())
}

/// What was taken waits again, or ends if its attempts are exhausted. Returns
/// how many of each.
pub(super) fn recover(connection: &Connection, now: UnixMillis) -> rusqlite::Result<(u32, u32)> {
    let exhausted = connection.execute(
        "UPDATE queue_items SET stage = 2, ended = ?1, drop_reason = ?2, last_failure = ?3
         WHERE stage = 1 AND attempts >= ?4",
        params![now.0, ATTEMPTS_EXHAUSTED, HOST_DIED, MAX_ATTEMPTS],
    )?;
    let waiting = connection.execute(
        "UPDATE queue_items SET stage = 0, last_failure = ?1 WHERE stage = 1",
        [HOST_DIED],
    )?;
    Ok((count(waiting), count(exhausted)))
}

fn depth(connection: &Connection, workspace: &WorkspaceId) -> rusqlite::Result<u32> {
    connection
        .prepare_cached("SELECT count(*) FROM queue_items WHERE workspace = ?1 AND stage = 0")?
        .query_row([workspace.as_str()], |found| found.get(0))
}

fn count(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

const SELECT_ITEM: &str = "
SELECT id, workspace, message_id, priority, accepted, attempts, last_failure, decision,
       stage, ended, drop_reason,
       r.method, r.path, r.headers, r.body, a.status, a.headers, a.body
FROM queue_items JOIN queue_requests r USING (seq) LEFT JOIN queue_answers a USING (seq)";

fn item(found: &Row<'_>) -> rusqlite::Result<Item> {
    Ok(Item {
        id: QueueId(found.get(0)?),
        workspace: row::name(found, 1)?,
        message_id: found.get(2)?,
        priority: Priority(found.get(3)?),
        accepted: UnixMillis(found.get(4)?),
        attempts: found.get(5)?,
        last_failure: found.get(6)?,
        decision: found.get::<_, Option<String>>(7)?.map(DecisionId),
        stage: stage(found)?,
        request: StoredRequest {
            method: found.get(11)?,
            path: found.get(12)?,
            headers: row::json(found, 13)?,
            body: found.get(14)?,
        },
    })
}

fn stage(found: &Row<'_>) -> rusqlite::Result<Stage> {
    match found.get::<_, u8>(8)? {
        0 => return Ok(Stage::Waiting),
        1 => return Ok(Stage::Taken),
        // The table's check admits nothing else.
        _ => {}
    }
    let ending = match found.get(10)? {
        Some(reason) => Ending::Dropped { reason },
        None => Ending::Delivered(StoredAnswer {
            status: found.get(15)?,
            headers: row::json(found, 16)?,
            body: found.get(17)?,
        }),
    };
    Ok(Stage::Ended { at: UnixMillis(found.get(9)?), ending })
}
