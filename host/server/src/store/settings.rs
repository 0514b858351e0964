//! What people applied to the running host: every change, and what is applied in
//! each layer now. Both are written in one transaction.

use std::{collections::BTreeMap, sync::Arc};

use reprieve_core::{
    evidence::StoreFault,
    settings::{AppliedLayer, Change, ChangeNumber, Layer},
};
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::{readers::Readers, row, writer::Writer};

/// Changes that are kept, the newest: years of tuning by hand.
const MAX_CHANGES: u64 = 100_000;

/// Changes that one reading returns at most.
pub const MAX_CHANGES_LISTED: u32 = 10_000;

/// Which changes to list, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeFilter {
    pub layer: Option<Layer>,
    pub who: Option<String>,
    /// Only those after it.
    pub after: ChangeNumber,
    pub limit: u32,
}

impl Default for ChangeFilter {
    fn default() -> Self {
        Self { layer: None, who: None, after: ChangeNumber(0), limit: MAX_CHANGES_LISTED }
    }
}

/// Everything that is applied now.
pub type AllApplied = BTreeMap<Layer, AppliedLayer>;

/// The record of changes.
#[derive(Debug)]
pub struct SettingsStore {
    writer: Writer,
    readers: Arc<Readers>,
}

impl SettingsStore {
    pub(super) fn new(writer: &Writer, readers: &Arc<Readers>) -> Self {
        Self { writer: writer.clone(), readers: Arc::clone(readers) }
    }

    /// On disk before it returns: the change, and what is applied in its layer
    /// from now on.
    pub async fn record(&self, change: &Change, applied: &AppliedLayer) -> Result<(), StoreFault> {
        let (change, applied) = (change.clone(), applied.clone());
        self.writer.write(0, move |connection| record(connection, &change, &applied)).await
    }

    pub async fn applied(&self) -> Result<AllApplied, StoreFault> {
        self.readers
            .read(|connection| {
                let sql = "SELECT layer, applied FROM settings_applied";
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement
                    .query_map([], |found| Ok((row::name(found, 0)?, row::json(found, 1)?)))?;
                rows.collect()
            })
            .await
    }

    /// None: it is not on record, or not any more.
    pub async fn change(&self, number: ChangeNumber) -> Result<Option<Change>, StoreFault> {
        self.readers
            .read(move |connection| {
                connection
                    .prepare_cached("SELECT change FROM settings_changes WHERE number = ?1")?
                    .query_row([number.0], |found| row::json(found, 0))
                    .optional()
            })
            .await
    }

    pub async fn changes(&self, filter: &ChangeFilter) -> Result<Vec<Change>, StoreFault> {
        let filter = filter.clone();
        self.readers.read(move |connection| list(connection, &filter)).await
    }
}

fn record(
    connection: &Connection,
    change: &Change,
    applied: &AppliedLayer,
) -> rusqlite::Result<()> {
    let layer = change.layer.to_path();
    connection
        .prepare_cached(
            "INSERT INTO settings_changes (number, who, layer, change) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![change.number.0, change.who, layer, row::to_json(change)?])?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO settings_applied (layer, applied) VALUES (?1, ?2)")?
        .execute(params![layer, row::to_json(applied)?])?;
    connection
        .prepare_cached("DELETE FROM settings_changes WHERE number <= ?1")?
        .execute([change.number.0.saturating_sub(MAX_CHANGES)])?;
    Ok(())
}

fn list(connection: &Connection, filter: &ChangeFilter) -> rusqlite::Result<Vec<Change>> {
    let (layer, who) = (filter.layer.as_ref().map(Layer::to_path), &filter.who);
    let limit = filter.limit.min(MAX_CHANGES_LISTED);
    let mut sql = "SELECT change FROM settings_changes WHERE number > ?".to_owned();
    let mut values: Vec<&dyn ToSql> = vec![&filter.after.0];
    if let Some(layer) = &layer {
        sql += " AND layer = ?";
        values.push(layer);
    }
    if let Some(who) = who {
        sql += " AND who = ?";
        values.push(who);
    }
    sql += " ORDER BY number DESC LIMIT ?";
    values.push(&limit);
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(&values[..], |found| row::json(found, 0))?.collect()
}
