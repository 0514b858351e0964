//! The state folder: who holds it, and the database in it.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// The database's name in the state folder.
pub const DATABASE: &str = "reprieve.db";

/// Held for as long as a host uses the folder; holds its process id.
const LOCK: &str = "reprieve.lock";

/// Waits for another process's lock so long. Only readers of the command line
/// come near the database beside its host.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a folder that is held is tried, and how long apart. A host that was
/// killed while it was starting a child lives on in that child, lock and all,
/// until the child has become another program.
const CLAIM_TRIES: u32 = 20;
const CLAIM_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// What a process id takes at most.
const MAX_HOLDER_BYTES: u64 = 20;

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenFailure {
    #[error(
        "state folder {} cannot be used; name one that this user may write to with `state_dir`",
        path.display()
    )]
    Folder { path: PathBuf, source: io::Error },
    #[error(
        "state folder {} is held by another host (process {holder}); stop it, or name another folder with `state_dir`",
        path.display()
    )]
    Held { path: PathBuf, holder: String },
    #[error(
        "{} is not a database of Reprieve, or it is damaged; move it away, and the host begins a new one",
        path.display()
    )]
    NotOurs { path: PathBuf },
    #[error(
        "{} has format {found}, and this host knows formats up to {known}; start the version of Reprieve that wrote it, or a newer one",
        path.display()
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error(
        "{} has format {found}, and this version reads format {known}; start a host of this version on it once, which brings it up to date",
        path.display()
    )]
    Older { path: PathBuf, found: u32, known: u32 },
    #[error("there is no database {}; start the host once, or name its folder with `state_dir`", path.display())]
    Missing { path: PathBuf },
    #[error("database {} cannot be opened; check that its disk has room and answers", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("opening the store was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
}

impl StoreOpenFailure {
    pub(super) fn database(path: Option<&Path>, source: rusqlite::Error) -> Self {
        let path = path.unwrap_or(Path::new(":memory:")).to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::NotOurs { path },
            _ => Self::Database { path, source },
        }
    }
}

/// A state folder that this process holds, until this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    /// Takes the folder for this process alone, and makes it if it is not there.
    pub(super) fn claim(path: &Path) -> Result<Self, StoreOpenFailure> {
        let failed = |source| StoreOpenFailure::Folder { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let mut lock = private_file(&path.join(LOCK)).map_err(failed)?;
        if !try_claim(&lock).map_err(failed)? {
            let mut holder = String::new();
            let _ = lock.take(MAX_HOLDER_BYTES).read_to_string(&mut holder);
            return Err(StoreOpenFailure::Held { path: path.to_owned(), holder });
        }
        lock.set_len(0).map_err(failed)?;
        write!(lock, "{}", std::process::id()).map_err(failed)?;
        // SQLite gives its other files the permissions of this one.
        private_file(&path.join(DATABASE)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), lock })
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// The connection that writes.
    pub(super) fn connect(&self) -> Result<Connection, StoreOpenFailure> {
        let path = self.database();
        let connect = || {
            let connection = Connection::open(&path)?;
            prepare_to_write(&connection)?;
            Ok(connection)
        };
        connect().map_err(|source| StoreOpenFailure::database(Some(&path), source))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Not left to the closing of the file: a child that is just being started
        // has it open too.
        let _ = self.lock.unlock();
    }
}

/// Whether the lock is ours. Blocks for a second if it is not.
fn try_claim(lock: &File) -> io::Result<bool> {
    for _ in 0..CLAIM_TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(CLAIM_AGAIN_AFTER),
            Err(TryLockError::Error(source)) => return Err(source),
        }
    }
    Ok(false)
}

pub(super) fn connect_in_memory() -> Result<Connection, StoreOpenFailure> {
    let connect = || {
        let connection = Connection::open_in_memory()?;
        prepare_to_write(&connection)?;
        Ok(connection)
    };
    connect().map_err(|source| StoreOpenFailure::database(None, source))
}

/// A connection that cannot write.
pub(super) fn connect_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Statements that are kept prepared.
const PREPARED: usize = 64;

fn prepare_to_write(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    // FULL: a commit is on disk when it returns, whatever happens to the power.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// Opens a file that only its owner may read, and makes it if it is not there.
fn private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}
