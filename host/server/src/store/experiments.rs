//! Experiments, those that run and those that ended, each with what was seen.

use std::{collections::BTreeSet, sync::Arc};

use reprieve_core::{
    evidence::StoreFault,
    ids::{Digest, ExperimentName},
};
use rusqlite::{Connection, params};

use super::{readers::Readers, row, writer::Writer};
use crate::experiments::{Page, Record};

/// Experiments that are kept, the newest, and whatever runs. A name that was used is
/// free again only when its experiment is not kept any more.
pub const MAX_EXPERIMENTS: u32 = 1_000;

/// The record of experiments.
#[derive(Debug)]
pub struct ExperimentStore {
    writer: Writer,
    readers: Arc<Readers>,
}

impl ExperimentStore {
    pub(super) fn new(writer: &Writer, readers: &Arc<Readers>) -> Self {
        Self { writer: writer.clone(), readers: Arc::clone(readers) }
    }

    /// On disk before it returns: how the experiment stands, and what was seen.
    pub async fn write(&self, record: &Record, page: &Page) -> Result<(), StoreFault> {
        let (record, page) = (record.clone(), page.clone());
        self.writer.write(0, move |connection| write(connection, &record, &page)).await
    }

    /// What was seen, of an experiment that is on record.
    pub async fn write_page(&self, name: &ExperimentName, page: &Page) -> Result<(), StoreFault> {
        let (name, page) = (name.clone(), page.clone());
        self.writer
            .write(0, move |connection| {
                connection
                    .prepare_cached("UPDATE experiments SET page = ?2 WHERE name = ?1")?
                    .execute(params![name.as_str(), row::to_json(&page)?])?;
                Ok(())
            })
            .await
    }

    /// Components of those that are not over.
    pub async fn tried(&self) -> Result<BTreeSet<Digest>, StoreFault> {
        let all = self.all().await?.into_iter();
        let tried = all.filter(|(record, _)| !record.state.is_over());
        Ok(tried.filter_map(|(record, _)| record.experiment.candidate.component).collect())
    }

    /// The oldest first.
    pub async fn all(&self) -> Result<Vec<(Record, Page)>, StoreFault> {
        self.readers
            .read(|connection| {
                let sql = "SELECT record, page FROM experiments ORDER BY seq";
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement
                    .query_map([], |found| Ok((row::json(found, 0)?, row::json(found, 1)?)))?;
                rows.collect()
            })
            .await
    }
}

fn write(connection: &Connection, record: &Record, page: &Page) -> rusqlite::Result<()> {
    let name = record.experiment.name.as_str();
    connection
        .prepare_cached(
            "INSERT INTO experiments (name, record, page) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET record = excluded.record, page = excluded.page",
        )?
        .execute(params![name, row::to_json(record)?, row::to_json(page)?])?;
    connection
        .prepare_cached(
            "DELETE FROM experiments WHERE seq <=
                 (SELECT seq FROM experiments ORDER BY seq DESC LIMIT 1 OFFSET ?1)
             AND json_extract(record, '$.state') IS NOT 'running'
             AND json_type(record, '$.state.promoting') IS NULL",
        )?
        .execute([MAX_EXPERIMENTS])?;
    Ok(())
}
