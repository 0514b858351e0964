//! The tables, and how an older database becomes a newer one.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::folder::StoreOpenFailure;

/// Marks a file as a database of Reprieve: "Rprv".
const APPLICATION_ID: i32 = 0x5270_7276;

/// Each brings the database from the format of its index to the next. Released
/// ones are never changed.
const MIGRATIONS: [&str; 4] = [V1, V2, V3, V4];

/// Stages of items: 0 waits, 1 taken, 2 ended.
const V1: &str = "
CREATE TABLE workspaces (
    workspace TEXT PRIMARY KEY,
    record TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE restarts (
    workspace TEXT PRIMARY KEY,
    life INTEGER NOT NULL,
    in_flight INTEGER NOT NULL,
    began INTEGER NOT NULL,
    cause TEXT NOT NULL,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Restarts that no person asked for.
CREATE TABLE unasked_restarts (
    workspace TEXT NOT NULL REFERENCES restarts ON DELETE CASCADE,
    life INTEGER NOT NULL,
    began INTEGER NOT NULL,
    PRIMARY KEY (workspace, life)
) STRICT, WITHOUT ROWID;

CREATE TABLE notes (
    workspace TEXT PRIMARY KEY,
    bytes BLOB NOT NULL CHECK (length(bytes) BETWEEN 1 AND 1024),
    written INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE signs (
    workspace TEXT PRIMARY KEY,
    beat INTEGER,
    beat_life INTEGER,
    contact INTEGER,
    contact_life INTEGER,
    -- In milliseconds, newest first, as JSON.
    intervals TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE queue_items (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    workspace TEXT NOT NULL,
    message_id TEXT NOT NULL,
    priority INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    stage INTEGER NOT NULL DEFAULT 0 CHECK (stage BETWEEN 0 AND 2),
    last_failure TEXT,
    decision TEXT,
    ended INTEGER,
    -- None: delivered, and the answer is on record.
    drop_reason TEXT,
    UNIQUE (workspace, message_id)
) STRICT;
CREATE INDEX queue_waiting ON queue_items (workspace, priority DESC, seq) WHERE stage = 0;
CREATE INDEX queue_waiting_since ON queue_items (accepted) WHERE stage = 0;
-- The rule of one delivery at a time per workspace, held by the database.
CREATE UNIQUE INDEX queue_taken ON queue_items (workspace) WHERE stage = 1;
CREATE INDEX queue_ended ON queue_items (ended) WHERE stage = 2;

CREATE TABLE queue_requests (
    seq INTEGER PRIMARY KEY REFERENCES queue_items ON DELETE CASCADE,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE queue_answers (
    seq INTEGER PRIMARY KEY REFERENCES queue_items ON DELETE CASCADE,
    status INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE decisions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    workspace TEXT NOT NULL,
    tenant TEXT NOT NULL,
    decision TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_of_workspace ON decisions (workspace, seq);
CREATE INDEX decisions_of_tenant ON decisions (tenant, seq);
";

/// Who may use the admin API, and what was done with it.
const V2: &str = "
CREATE TABLE tokens (
    name TEXT PRIMARY KEY,
    -- SHA-256: what a token is cannot be read here.
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    -- Role and tenants, as JSON.
    access TEXT NOT NULL,
    created INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires INTEGER,
    last_used INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    -- Of whom the target is. None: of nobody in particular.
    tenant TEXT,
    entry TEXT NOT NULL
) STRICT;
CREATE INDEX audit_of_tenant ON audit (tenant, seq);
";

/// What people applied to the running host.
const V3: &str = "
CREATE TABLE settings_changes (
    number INTEGER PRIMARY KEY,
    who TEXT NOT NULL,
    layer TEXT NOT NULL,
    change TEXT NOT NULL
) STRICT;
CREATE INDEX settings_changes_of_layer ON settings_changes (layer, number);

CREATE TABLE settings_applied (
    layer TEXT PRIMARY KEY,
    applied TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Candidates that were tried.
const V4: &str = "
CREATE TABLE experiments (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    record TEXT NOT NULL,
    -- What was seen.
    page TEXT NOT NULL
) STRICT;
";

/// The newest format that this code knows.
pub(super) const FORMAT: u32 = MIGRATIONS.len() as u32;

/// Brings the database to [`FORMAT`].
pub(super) fn migrate(
    connection: &mut Connection,
    path: Option<&Path>,
) -> Result<(), StoreOpenFailure> {
    let failed = |source| StoreOpenFailure::database(path, source);
    let found = check(connection, path)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).map_err(failed)?;
    let step = |connection: &mut Connection, index: usize| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        transaction.execute_batch(MIGRATIONS[index])?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", index + 1)?;
        transaction.commit()
    };
    (found as usize..MIGRATIONS.len()).try_for_each(|index| step(connection, index)).map_err(failed)
}

/// Refuses what is not a database of Reprieve, or of a newer one. Returns its
/// format; 0: empty.
pub(super) fn check(connection: &Connection, path: Option<&Path>) -> Result<u32, StoreOpenFailure> {
    let failed = |source| StoreOpenFailure::database(path, source);
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
        .map_err(failed)?;
    let path = || path.unwrap_or(Path::new(":memory:")).to_owned();
    if tables > 0 && pragma("application_id").map_err(failed)? != i64::from(APPLICATION_ID) {
        return Err(StoreOpenFailure::NotOurs { path: path() });
    }
    let found = pragma("user_version").map_err(failed)?;
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    if found > FORMAT {
        return Err(StoreOpenFailure::Newer { path: path(), found, known: FORMAT });
    }
    Ok(found)
}
