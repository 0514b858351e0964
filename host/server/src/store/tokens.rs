//! The tokens of the admin API: on disk only as digests, and all in memory, so
//! that a request is let in or not without waiting.

use std::sync::Arc;

use parking_lot::RwLock;
use reprieve_core::{
    access::{Grant, TokenDigest},
    evidence::StoreFault,
    ids::TokenName,
    time::{Millis, UnixMillis},
};
use rusqlite::{Connection, OptionalExtension as _, params};
use subtle::ConstantTimeEq as _;

use super::{row, writer::Writer};

/// Tokens at once. Each is looked at for every request.
const MAX_TOKENS: usize = 1_000;

/// How exactly it is kept when a token was last used.
const USE_PRECISION: Millis = Millis::from_secs(60);

/// What is known of a token. What it is, is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    pub name: TokenName,
    pub grant: Grant,
    pub created: UnixMillis,
    /// The token that made it.
    pub created_by: TokenName,
    /// None: never.
    pub expires: Option<UnixMillis>,
    /// To within a minute.
    pub last_used: Option<UnixMillis>,
}

/// Why a token was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenNotCreated {
    #[error("there is a token {0} already; revoke it first, or choose another name")]
    NameTaken(TokenName),
    #[error("there are {MAX_TOKENS} tokens already; revoke some that nobody uses")]
    TooMany,
    #[error("the store is unavailable")]
    StoreUnavailable,
}

#[derive(Debug)]
pub(super) struct Held {
    digest: TokenDigest,
    record: TokenRecord,
    /// `last_used` has changed since it was written down.
    unsaved: bool,
}

/// The tokens of this host.
#[derive(Debug)]
pub struct TokenStore {
    writer: Writer,
    held: Arc<RwLock<Vec<Held>>>,
}

impl TokenStore {
    pub(super) fn new(writer: &Writer, held: Vec<Held>) -> Self {
        Self { writer: writer.clone(), held: Arc::new(RwLock::new(held)) }
    }

    /// The token with this digest, expired or not. Takes as long whichever it is,
    /// and if it is none.
    pub fn find(&self, digest: &TokenDigest) -> Option<TokenRecord> {
        let held = self.held.read();
        let mut found = None;
        for token in &*held {
            if bool::from(token.digest.0.ct_eq(&digest.0)) {
                found = Some(&token.record);
            }
        }
        found.cloned()
    }

    pub fn get(&self, name: &TokenName) -> Option<TokenRecord> {
        let held = self.held.read();
        held.iter().find(|token| token.record.name == *name).map(|token| token.record.clone())
    }

    /// By name.
    pub fn list(&self) -> Vec<TokenRecord> {
        let mut tokens: Vec<_> =
            self.held.read().iter().map(|token| token.record.clone()).collect();
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        tokens
    }

    /// On disk before it returns.
    pub async fn create(
        &self,
        record: TokenRecord,
        digest: TokenDigest,
    ) -> Result<(), TokenNotCreated> {
        let name = record.name.clone();
        let (to_save, held) = (record.clone(), Arc::clone(&self.held));
        let created = self.writer.write_then(
            0,
            move |connection| insert(connection, &to_save, &digest),
            move |outcome| {
                if *outcome == Inserted::Yes {
                    held.write().push(Held { digest, record, unsaved: false });
                }
            },
        );
        match created.await {
            Ok(Inserted::Yes) => Ok(()),
            Ok(Inserted::NameTaken) => Err(TokenNotCreated::NameTaken(name)),
            Ok(Inserted::TooMany) => Err(TokenNotCreated::TooMany),
            Err(StoreFault::Unavailable) => Err(TokenNotCreated::StoreUnavailable),
        }
    }

    /// Nobody is let in with it any more. False: there is none of that name.
    pub async fn revoke(&self, name: &TokenName) -> Result<bool, StoreFault> {
        let (of, revoked, held) = (name.clone(), name.clone(), Arc::clone(&self.held));
        self.writer
            .write_then(
                0,
                move |connection| {
                    let sql = "DELETE FROM tokens WHERE name = ?1";
                    Ok(connection.prepare_cached(sql)?.execute([of.as_str()])? > 0)
                },
                move |_| held.write().retain(|token| token.record.name != revoked),
            )
            .await
    }

    /// It was used; written down with the next [`TokenStore::flush`].
    pub fn used(&self, name: &TokenName, now: UnixMillis) {
        let is_known =
            |token: &Held| token.record.last_used.is_some_and(|used| used.age(now) < USE_PRECISION);
        let of = |token: &&Held| token.record.name == *name;
        if self.held.read().iter().find(of).is_none_or(is_known) {
            return;
        }
        if let Some(token) = self.held.write().iter_mut().find(|token| token.record.name == *name) {
            token.record.last_used = Some(now);
            token.unsaved = true;
        }
    }

    pub(super) async fn flush(&self) -> Result<(), StoreFault> {
        let mut uses = Vec::new();
        for token in self.held.write().iter_mut().filter(|token| token.unsaved) {
            token.unsaved = false;
            uses.push((token.record.name.clone(), token.record.last_used.map(|at| at.0)));
        }
        if uses.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE tokens SET last_used = ?2 WHERE name = ?1";
        let written = self.writer.write(0, move |connection| {
            let mut statement = connection.prepare_cached(sql)?;
            uses.iter().try_for_each(|(name, at)| {
                statement.execute(params![name.as_str(), at]).map(|_| ())
            })
        });
        written.await
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inserted {
    Yes,
    NameTaken,
    TooMany,
}

fn insert(
    connection: &Connection,
    record: &TokenRecord,
    digest: &TokenDigest,
) -> rusqlite::Result<Inserted> {
    let taken = connection
        .prepare_cached("SELECT 1 FROM tokens WHERE name = ?1")?
        .query_row([record.name.as_str()], |_| Ok(()))
        .optional()?;
    if taken.is_some() {
        return Ok(Inserted::NameTaken);
    }
    let count: usize =
        connection.query_row("SELECT count(*) FROM tokens", [], |found| found.get(0))?;
    if count >= MAX_TOKENS {
        return Ok(Inserted::TooMany);
    }
    connection
        .prepare_cached(
            "INSERT INTO tokens (name, digest, access, created, created_by, expires, last_used)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            record.name.as_str(),
            digest.0,
            row::to_json(&record.grant)?,
            record.created.0,
            record.created_by.as_str(),
            record.expires.map(|at| at.0),
            record.last_used.map(|at| at.0),
        ])?;
    Ok(Inserted::Yes)
}

pub(super) fn load(connection: &Connection) -> rusqlite::Result<Vec<Held>> {
    let sql = "SELECT name, digest, access, created, created_by, expires, last_used FROM tokens";
    let mut statement = connection.prepare_cached(sql)?;
    let held = statement.query_map([], |found| {
        let at = |column| found.get::<_, Option<u64>>(column).map(|at| at.map(UnixMillis));
        Ok(Held {
            digest: TokenDigest(found.get(1)?),
            record: TokenRecord {
                name: row::name(found, 0)?,
                grant: row::json(found, 2)?,
                created: UnixMillis(found.get(3)?),
                created_by: row::name(found, 4)?,
                expires: at(5)?,
                last_used: at(6)?,
            },
            unsaved: false,
        })
    })?;
    held.collect()
}
