//! The tokens of the admin API: on disk only as digests, and all in memory, so
//! that a request is let in or not without waiting.

use std::sync::Arc;

use parking_lot::RwLock;
use rand::random;
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

/// Of one maker, as far as they are still good: what makes tokens in a loop leaves
/// room for everybody else.
const MAX_TOKENS_PER_MAKER: usize = 100;

/// For so long after its end a token is still listed, so that whoever asks why it is
/// refused finds it.
const LISTED_AFTER_END: Millis = Millis::from_secs(7 * 24 * 3_600);

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
    #[error(
        "token {0} has made {MAX_TOKENS_PER_MAKER} that are still good; revoke some, or let them \
         expire"
    )]
    TooManyOfOne(TokenName),
    #[error("the store is unavailable")]
    StoreUnavailable,
}

#[derive(Debug)]
pub(super) struct Held {
    digest: TokenDigest,
    /// What is on disk in its place. Of a token that has expired that is no token's:
    /// a wall clock that is set back between two runs of the host does not make it
    /// good again.
    stored: TokenDigest,
    record: TokenRecord,
    /// `last_used` has changed since it was written down.
    unsaved: bool,
    /// Revoked, and still on disk.
    revoked: bool,
}

impl Held {
    fn is_ended(&self, now: UnixMillis) -> bool {
        self.record.expires.is_some_and(|end| end <= now)
    }
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
            if bool::from(token.digest.0.ct_eq(&digest.0)) && !token.revoked {
                found = Some(&token.record);
            }
        }
        found.cloned()
    }

    /// The token of this name, and which one it is: another may have it later. Also
    /// one that was revoked and is still on disk.
    pub fn get(&self, name: &TokenName) -> Option<(TokenRecord, TokenDigest)> {
        let held = self.held.read();
        let found = held.iter().find(|token| token.record.name == *name);
        found.map(|token| (token.record.clone(), token.digest))
    }

    /// By name.
    pub fn list(&self) -> Vec<TokenRecord> {
        let held = self.held.read();
        let listed = held.iter().filter(|token| !token.revoked);
        let mut tokens: Vec<_> = listed.map(|token| token.record.clone()).collect();
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        tokens
    }

    /// On disk before it returns. Where there are too many, those that have expired
    /// make room.
    pub async fn create(
        &self,
        record: TokenRecord,
        digest: TokenDigest,
    ) -> Result<(), TokenNotCreated> {
        let (name, maker, now) = (record.name.clone(), record.created_by.clone(), record.created);
        let (to_save, held) = (record.clone(), Arc::clone(&self.held));
        let created = self.writer.write_then(
            0,
            move |connection| insert(connection, &to_save, &digest),
            move |outcome| {
                if let Inserted::Yes { expired_made_room } = *outcome {
                    let mut held = held.write();
                    held.retain(|token| !(expired_made_room && token.is_ended(now)));
                    let stored = digest;
                    held.push(Held { digest, stored, record, unsaved: false, revoked: false });
                }
            },
        );
        match created.await {
            Ok(Inserted::Yes { .. }) => Ok(()),
            Ok(Inserted::NameTaken) => Err(TokenNotCreated::NameTaken(name)),
            Ok(Inserted::TooMany) => Err(TokenNotCreated::TooMany),
            Ok(Inserted::TooManyOfOne) => Err(TokenNotCreated::TooManyOfOne(maker)),
            Err(StoreFault::Unavailable) => Err(TokenNotCreated::StoreUnavailable),
        }
    }

    /// Nobody is let in with it any more, from this call on, even if it fails: then
    /// it is still on disk, and good again if the host is started anew before it
    /// could be removed there, which is tried every so often. False: there is none,
    /// or that name has another one by now.
    pub async fn revoke(&self, name: &TokenName, digest: TokenDigest) -> Result<bool, StoreFault> {
        let is_it = |token: &&mut Held| token.record.name == *name && token.digest == digest;
        match self.held.write().iter_mut().find(is_it) {
            Some(token) => token.revoked = true,
            None => return Ok(false),
        }
        let removed = self.remove(|token| token.digest == digest).await;
        if removed.is_err() {
            tracing::error!(token = %name, "revoked, and still on disk: not to be started anew");
        }
        removed.map(|()| true)
    }

    /// What time and faults have left: tokens that have expired are made unusable on
    /// disk, too, and removed in the end; those whose removal failed are removed.
    pub(super) async fn tidy_up(&self, now: UnixMillis) -> Result<(), StoreFault> {
        let is_old =
            |token: &Held| token.record.expires.is_some_and(|end| end + LISTED_AFTER_END <= now);
        self.remove(|token| token.revoked || is_old(token)).await?;
        let ended: Vec<_> = {
            let held = self.held.read();
            let usable = held.iter().filter(|token| token.stored == token.digest);
            usable.filter(|token| token.is_ended(now)).map(|token| token.digest).collect()
        };
        if ended.is_empty() {
            return Ok(());
        }
        let held = Arc::clone(&self.held);
        let changes: Vec<_> =
            ended.into_iter().map(|digest| (digest, TokenDigest(random()))).collect();
        let to_write = changes.clone();
        let written = self.writer.write_then(
            0,
            move |connection| {
                let sql = "UPDATE tokens SET digest = ?2 WHERE digest = ?1";
                let mut statement = connection.prepare_cached(sql)?;
                to_write.iter().try_for_each(|(digest, nobodys)| {
                    statement.execute(params![digest.0, nobodys.0]).map(|_| ())
                })
            },
            move |()| {
                let mut held = held.write();
                for (digest, nobodys) in changes {
                    let token = held.iter_mut().find(|token| token.digest == digest);
                    token.into_iter().for_each(|token| token.stored = nobodys);
                }
            },
        );
        written.await
    }

    /// From the disk, and then from memory.
    async fn remove(&self, which: impl Fn(&Held) -> bool) -> Result<(), StoreFault> {
        let doomed: Vec<_> = {
            let held = self.held.read();
            held.iter().filter(|token| which(token)).map(|token| token.stored).collect()
        };
        if doomed.is_empty() {
            return Ok(());
        }
        let (held, gone) = (Arc::clone(&self.held), doomed.clone());
        let removed = self.writer.write_then(
            0,
            move |connection| {
                let sql = "DELETE FROM tokens WHERE digest = ?1";
                let mut statement = connection.prepare_cached(sql)?;
                doomed.iter().try_for_each(|stored| statement.execute([stored.0]).map(|_| ()))
            },
            move |()| held.write().retain(|token| !gone.contains(&token.stored)),
        );
        removed.await
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
    Yes { expired_made_room: bool },
    NameTaken,
    TooMany,
    TooManyOfOne,
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
    let (maker, now) = (record.created_by.as_str(), record.created.0);
    let made: usize = connection
        .prepare_cached(
            "SELECT count(*) FROM tokens
             WHERE created_by = ?1 AND (expires IS NULL OR expires > ?2)",
        )?
        .query_row(params![maker, now], |found| found.get(0))?;
    if made >= MAX_TOKENS_PER_MAKER {
        return Ok(Inserted::TooManyOfOne);
    }
    let count = |connection: &Connection| -> rusqlite::Result<usize> {
        connection.query_row("SELECT count(*) FROM tokens", [], |found| found.get(0))
    };
    let expired_made_room = count(connection)? >= MAX_TOKENS;
    if expired_made_room {
        connection.prepare_cached("DELETE FROM tokens WHERE expires <= ?1")?.execute([now])?;
        if count(connection)? >= MAX_TOKENS {
            return Ok(Inserted::TooMany);
        }
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
    Ok(Inserted::Yes { expired_made_room })
}

pub(super) fn load(connection: &Connection) -> rusqlite::Result<Vec<Held>> {
    let sql = "SELECT name, digest, access, created, created_by, expires, last_used FROM tokens";
    let mut statement = connection.prepare_cached(sql)?;
    let held = statement.query_map([], |found| {
        let at = |column| found.get::<_, Option<u64>>(column).map(|at| at.map(UnixMillis));
        let digest = TokenDigest(found.get(1)?);
        Ok(Held {
            digest,
            stored: digest,
            record: TokenRecord {
                name: row::name(found, 0)?,
                grant: row::json(found, 2)?,
                created: UnixMillis(found.get(3)?),
                created_by: row::name(found, 4)?,
                expires: at(5)?,
                last_used: at(6)?,
            },
            unsaved: false,
            revoked: false,
        })
    })?;
    held.collect()
}

#[cfg(test)]
mod tests;
