//! Signs of life: in memory, written down every so often and at the end.
//!
//! Losing the newest to a crash costs a longer silence, never a death: after a
//! start every silence is counted afresh.

use async_trait::async_trait;
use parking_lot::Mutex;
use reprieve_core::{
    evidence::StoreFault,
    ids::{LifeId, WorkspaceId},
    liveness::Liveness,
    ports::{Heartbeats, Signs},
    time::{Millis, UnixMillis},
};
use rusqlite::{Connection, params};

use super::{row, writer::Writer};

/// Workspaces written down in one job: about 20 ms of the writer's time.
const MAX_FLUSHED_AT_ONCE: usize = 4_096;

pub(super) type AllSigns = Vec<(WorkspaceId, Signs)>;

/// The signs of life of every workspace, and who has been silent for too long.
#[derive(Debug)]
pub struct HeartbeatStore {
    writer: Writer,
    liveness: Mutex<Liveness>,
    /// One flush at a time.
    flushing: tokio::sync::Mutex<()>,
}

impl HeartbeatStore {
    pub(super) fn new(writer: &Writer, signs: &AllSigns, now: UnixMillis) -> Self {
        let mut liveness = Liveness::new();
        for (workspace, signs) in signs {
            liveness.restore(workspace, signs, now);
        }
        Self {
            writer: writer.clone(),
            liveness: Mutex::new(liveness),
            flushing: tokio::sync::Mutex::new(()),
        }
    }

    /// When the next workspace becomes overdue if it gives no sign.
    pub fn next_deadline(&self) -> Option<UnixMillis> {
        self.liveness.lock().next_deadline()
    }

    pub async fn forget(&self, workspace: &WorkspaceId) -> Result<(), StoreFault> {
        // No flush may bring it back.
        let _flushing = self.flushing.lock().await;
        self.liveness.lock().remove(workspace);
        let workspace = workspace.clone();
        let forgotten = self.writer.write(0, move |connection| {
            connection
                .prepare_cached("DELETE FROM signs WHERE workspace = ?1")?
                .execute([workspace.as_str()])
        });
        forgotten.await.map(|_| ())
    }

    /// Writes down what changed since the last flush.
    pub async fn flush(&self) -> Result<(), StoreFault> {
        let _flushing = self.flushing.lock().await;
        // Bounded: what changes meanwhile is the next flush's.
        let rounds = self.liveness.lock().len() / MAX_FLUSHED_AT_ONCE + 1;
        for _ in 0..rounds {
            let changed = self.liveness.lock().take_changed(MAX_FLUSHED_AT_ONCE);
            if changed.is_empty() {
                break;
            }
            let names: Vec<_> = changed.iter().map(|(workspace, _)| workspace.clone()).collect();
            let written = self.writer.write(0, move |connection| save(connection, &changed));
            if let Err(fault) = written.await {
                let mut liveness = self.liveness.lock();
                names.iter().for_each(|workspace| liveness.mark_changed(workspace));
                return Err(fault);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Heartbeats for HeartbeatStore {
    fn at_hand(&self, workspace: &WorkspaceId) -> Option<Signs> {
        Some(self.liveness.lock().signs(workspace))
    }

    async fn fetch(&self, workspace: &WorkspaceId) -> Result<Signs, StoreFault> {
        Ok(self.liveness.lock().signs(workspace))
    }

    fn beat(&self, workspace: &WorkspaceId, life: LifeId, at: UnixMillis) {
        self.liveness.lock().beat(workspace, life, at);
    }

    fn contact(&self, workspace: &WorkspaceId, life: LifeId, at: UnixMillis) {
        self.liveness.lock().contact(workspace, life, at);
    }

    fn watch(&self, workspace: &WorkspaceId, limit: Option<Millis>, now: UnixMillis) {
        let mut liveness = self.liveness.lock();
        liveness.set_limit(workspace, limit);
        liveness.rearm(workspace, now);
    }

    fn limit_silence(&self, workspace: &WorkspaceId, limit: Option<Millis>) {
        self.liveness.lock().set_limit(workspace, limit);
    }

    fn overdue(&self, now: UnixMillis, at_most: usize) -> Vec<WorkspaceId> {
        self.liveness.lock().expired(now, at_most)
    }
}

fn save(connection: &Connection, changed: &AllSigns) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO signs
             (workspace, beat, beat_life, contact, contact_life, intervals)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (workspace, signs) in changed {
        let (beat, beat_life) = signs.beat.map(|(at, life)| (at.0, life.0)).unzip();
        let (contact, contact_life) = signs.contact.map(|(at, life)| (at.0, life.0)).unzip();
        statement.execute(params![
            workspace.as_str(),
            beat,
            beat_life,
            contact,
            contact_life,
            row::to_json(&signs.intervals)?,
        ])?;
    }
    Ok(())
}

pub(super) fn load(connection: &Connection) -> rusqlite::Result<AllSigns> {
    let sql = "SELECT workspace, beat, beat_life, contact, contact_life, intervals FROM signs";
    let mut statement = connection.prepare(sql)?;
    let signs = statement.query_map([], |found| {
        let signs = Signs {
            beat: row::sign(found, 1)?,
            contact: row::sign(found, 3)?,
            intervals: row::json(found, 5)?,
        };
        Ok((row::name(found, 0)?, signs))
    })?;
    signs.collect()
}
