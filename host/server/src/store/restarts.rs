//! Restarts, and with them the rule of one in flight per workspace.
//!
//! The database decides; the copy in memory follows each commit, so that the
//! facts about restarts are always at hand.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::RwLock;
use reprieve_core::{
    evidence::StoreFault,
    ids::{LifeId, Revision, WorkspaceId},
    judgement::RestartCause,
    ports::{Clock, NotBegun, RestartHistory, Restarts},
    time::UnixMillis,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{row, writer::Writer};

pub(super) type Histories = HashMap<WorkspaceId, RestartHistory>;

/// The restarts of every workspace.
pub struct RestartStore {
    writer: Writer,
    clock: Arc<dyn Clock>,
    histories: Arc<RwLock<Histories>>,
}

impl std::fmt::Debug for RestartStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RestartStore").finish_non_exhaustive()
    }
}

impl RestartStore {
    pub(super) fn new(writer: &Writer, clock: &Arc<dyn Clock>, histories: Histories) -> Self {
        Self {
            writer: writer.clone(),
            clock: Arc::clone(clock),
            histories: Arc::new(RwLock::new(histories)),
        }
    }

    async fn next_life(&self, start: Start) -> Result<LifeId, NotBegun> {
        let (histories, in_memory) = (Arc::clone(&self.histories), start.clone());
        let begun = self.writer.write_then(
            0,
            move |connection| start.begin(connection),
            move |begun| {
                if let Ok(life) = begun {
                    in_memory.apply(*life, &mut histories.write());
                }
            },
        );
        begun.await.unwrap_or(Err(NotBegun::StoreUnavailable))
    }

    /// As of now: what is further back than the history reaches is left out.
    fn history(&self, workspace: &WorkspaceId) -> RestartHistory {
        let mut history = self.histories.read().get(workspace).cloned().unwrap_or_default();
        let now = self.clock.now();
        history.unasked.retain(|began| began.age(now) <= RestartHistory::REACH);
        history
    }
}

#[async_trait]
impl Restarts for RestartStore {
    fn at_hand(&self, workspace: &WorkspaceId) -> Option<RestartHistory> {
        Some(self.history(workspace))
    }

    async fn fetch(&self, workspace: &WorkspaceId) -> Result<RestartHistory, StoreFault> {
        Ok(self.history(workspace))
    }

    async fn begin(
        &self,
        workspace: &WorkspaceId,
        of: LifeId,
        cause: RestartCause,
        revision: Revision,
        now: UnixMillis,
    ) -> Result<LifeId, NotBegun> {
        let revision = Some(revision);
        self.next_life(Start {
            workspace: workspace.clone(),
            of,
            cause: Some(cause),
            revision,
            now,
        })
        .await
    }

    async fn began_elsewhere(
        &self,
        workspace: &WorkspaceId,
        of: LifeId,
        began: UnixMillis,
    ) -> Result<LifeId, NotBegun> {
        let workspace = workspace.clone();
        self.next_life(Start { workspace, of, cause: None, revision: None, now: began }).await
    }

    async fn finish(&self, workspace: &WorkspaceId, life: LifeId) -> Result<(), StoreFault> {
        let (of, in_memory) = (workspace.clone(), workspace.clone());
        let histories = Arc::clone(&self.histories);
        let finished = self.writer.write_then(
            0,
            move |connection| {
                connection
                    .prepare_cached(
                        "UPDATE restarts SET in_flight = 0 WHERE workspace = ?1 AND life = ?2",
                    )?
                    .execute(params![of.as_str(), life.0])
            },
            move |_| {
                if let Some(history) = histories.write().get_mut(&in_memory)
                    && history.life == life
                {
                    history.in_flight = false;
                }
            },
        );
        finished.await.map(|_| ())
    }
}

/// The begin of a life.
#[derive(Clone)]
struct Start {
    workspace: WorkspaceId,
    of: LifeId,
    /// None: begun elsewhere, so that nothing is in flight here.
    cause: Option<RestartCause>,
    /// None: as before.
    revision: Option<Revision>,
    now: UnixMillis,
}

impl Start {
    fn begin(&self, connection: &Connection) -> rusqlite::Result<Result<LifeId, NotBegun>> {
        let name = self.workspace.as_str();
        let known: Option<(u64, bool, u64)> = connection
            .prepare_cached("SELECT life, in_flight, revision FROM restarts WHERE workspace = ?1")?
            .query_row([name], |found| Ok((found.get(0)?, found.get(1)?, found.get(2)?)))
            .optional()?;
        let (current, in_flight, revision) = known.unwrap_or_default();
        if in_flight {
            return Ok(Err(NotBegun::InFlight));
        }
        let current = LifeId(current);
        if current != self.of {
            let revision = Revision(revision);
            return Ok(Err(NotBegun::LifeEnded { current, revision }));
        }
        let life = current.next();
        connection
            .prepare_cached(
                "INSERT INTO restarts (workspace, life, in_flight, began, cause, revision)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (workspace) DO UPDATE SET life = excluded.life,
                     in_flight = excluded.in_flight, began = excluded.began,
                     cause = excluded.cause, revision = excluded.revision",
            )?
            .execute(params![
                name,
                life.0,
                self.cause.is_some(),
                self.now.0,
                row::to_json(&self.cause)?,
                self.revision.map_or(revision, |revision| revision.0)
            ])?;
        if self.cause.is_some_and(is_unasked) {
            self.note_unasked(connection, life)?;
        }
        Ok(Ok(life))
    }

    fn note_unasked(&self, connection: &Connection, life: LifeId) -> rusqlite::Result<()> {
        let name = self.workspace.as_str();
        connection
            .prepare_cached(
                "INSERT INTO unasked_restarts (workspace, life, began) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![name, life.0, self.now.0])?;
        connection
            .prepare_cached(
                "DELETE FROM unasked_restarts WHERE workspace = ?1 AND (began < ?2 OR life NOT IN
                 (SELECT life FROM unasked_restarts WHERE workspace = ?1
                  ORDER BY life DESC LIMIT ?3))",
            )?
            .execute(params![
                name,
                self.now.0.saturating_sub(RestartHistory::REACH.0),
                RestartHistory::MAX_UNASKED
            ])?;
        Ok(())
    }

    /// What `begin` did to the disk, done to the copy.
    fn apply(&self, life: LifeId, histories: &mut Histories) {
        let history = histories.entry(self.workspace.clone()).or_default();
        history.life = life;
        history.in_flight = self.cause.is_some();
        history.began = Some(self.now);
        history.cause = self.cause;
        if let Some(revision) = self.revision {
            history.revision = revision;
        }
        if self.cause.is_some_and(is_unasked) {
            history.unasked.insert(0, self.now);
            history.unasked.retain(|began| began.age(self.now) <= RestartHistory::REACH);
            history.unasked.truncate(RestartHistory::MAX_UNASKED);
        }
    }
}

/// No person asked for it.
fn is_unasked(cause: RestartCause) -> bool {
    match cause {
        RestartCause::Operator => false,
        RestartCause::DeadVerdict
        | RestartCause::SettingsChanged
        | RestartCause::Wake
        | RestartCause::Dependency => true,
    }
}

/// Ends every restart that is in flight: who carried it out is gone. Returns
/// which lives they were beginning.
pub(super) fn finish_all(connection: &Connection) -> rusqlite::Result<Vec<(WorkspaceId, LifeId)>> {
    let sql = "UPDATE restarts SET in_flight = 0 WHERE in_flight = 1 RETURNING workspace, life";
    let mut statement = connection.prepare(sql)?;
    let finished =
        statement.query_map([], |found| Ok((row::name(found, 0)?, LifeId(found.get(1)?))))?;
    finished.collect()
}

pub(super) fn load(connection: &Connection) -> rusqlite::Result<Histories> {
    let sql = "SELECT workspace, life, in_flight, began, cause, revision FROM restarts";
    let mut statement = connection.prepare(sql)?;
    let histories = statement.query_map([], |found| {
        let history = RestartHistory {
            life: LifeId(found.get(1)?),
            in_flight: found.get(2)?,
            began: Some(UnixMillis(found.get(3)?)),
            cause: row::json(found, 4)?,
            revision: Revision(found.get(5)?),
            unasked: Vec::new(),
        };
        Ok((row::name(found, 0)?, history))
    })?;
    let mut histories: Histories = histories.collect::<rusqlite::Result<_>>()?;
    let sql = "SELECT workspace, began FROM unasked_restarts ORDER BY workspace, life DESC";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(found) = rows.next()? {
        let workspace: WorkspaceId = row::name(found, 0)?;
        if let Some(history) = histories.get_mut(&workspace) {
            history.unasked.push(UnixMillis(found.get(1)?));
        }
    }
    Ok(histories)
}
