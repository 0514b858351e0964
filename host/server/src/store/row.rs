//! Reads words of the core from columns.

use std::{error::Error, str::FromStr};

use reprieve_core::{ids::LifeId, time::UnixMillis};
use rusqlite::{Row, types::Type};
use serde::de::DeserializeOwned;

/// A column whose text is not what this code ever wrote there.
pub(super) fn malformed(column: usize, why: impl Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(why))
}

pub(super) fn name<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    row.get_ref(column)?.as_str()?.parse().map_err(|why| malformed(column, why))
}

pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|why| malformed(column, why))
}

pub(super) fn to_json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|why| rusqlite::Error::ToSqlConversionFailure(Box::new(why)))
}

/// A point in time and a life, where both are given.
pub(super) fn sign(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<(UnixMillis, LifeId)>> {
    let at: Option<u64> = row.get(column)?;
    let life: Option<u64> = row.get(column + 1)?;
    Ok(at.zip(life).map(|(at, life)| (UnixMillis(at), LifeId(life))))
}
