//! Requests on record, as far as operators see them: without what was asked and
//! answered.

use reprieve_core::{
    ids::{DecisionId, QueueId, WorkspaceId},
    queue::Priority,
    time::{Millis, UnixMillis},
};
use rusqlite::Row;

use crate::store::row;

/// What waits in all queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub depth: u32,
    /// Age of the oldest that waits. Zero: none does.
    pub oldest: Millis,
}

/// A request on record, as far as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueEntry {
    pub id: QueueId,
    pub workspace: WorkspaceId,
    pub message_id: String,
    pub priority: Priority,
    pub accepted: UnixMillis,
    pub attempts: u32,
    pub last_failure: Option<String>,
    pub decision: Option<DecisionId>,
    pub stage: EntryStage,
}

/// Where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryStage {
    Waiting,
    Taken,
    Delivered { at: UnixMillis },
    Dropped { at: UnixMillis, reason: String },
}

pub(super) const SELECT_ENTRY: &str = "
SELECT id, workspace, message_id, priority, accepted, attempts, last_failure, decision,
       stage, ended, drop_reason FROM queue_items";

pub(super) fn entry(found: &Row<'_>) -> rusqlite::Result<QueueEntry> {
    let stage = match (found.get::<_, u8>(8)?, found.get::<_, Option<String>>(10)?) {
        (0, _) => EntryStage::Waiting,
        (1, _) => EntryStage::Taken,
        // The table's check admits nothing else.
        (_, None) => EntryStage::Delivered { at: UnixMillis(found.get(9)?) },
        (_, Some(reason)) => EntryStage::Dropped { at: UnixMillis(found.get(9)?), reason },
    };
    Ok(QueueEntry {
        id: QueueId(found.get(0)?),
        workspace: row::name(found, 1)?,
        message_id: found.get(2)?,
        priority: Priority(found.get(3)?),
        accepted: UnixMillis(found.get(4)?),
        attempts: found.get(5)?,
        last_failure: found.get(6)?,
        decision: found.get::<_, Option<String>>(7)?.map(DecisionId),
        stage,
    })
}
