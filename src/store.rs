//! The index: one SQLite file, one writer, readers beside it.
//!
//! The only room that knows SQL. A statement is a named function in the file of its table, with why
//! it is as it is above it. Never here: what rows mean to a PBX or a store.

pub mod attempts;
pub mod away;
pub mod calls;
pub mod claims;
pub mod comparison;
pub mod custody;
pub mod damaged;
pub mod events;
pub mod foretold;
pub mod heartbeat;
pub mod integrity;
pub mod jobs;
pub mod links;
pub mod log;
pub mod probe;
pub mod reasons;
pub mod recordings;
pub mod refusals;
pub mod search;
pub mod series;
pub mod status;
pub mod tokens;
pub mod transitions;
pub mod words;

mod in_place;
mod open;
mod writer;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OptionalExtension, Params, Row};

/// What was attempted on the index and why it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("open the index {}", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("make the index {}", path.display())]
    Create {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("sync the directory of the index {}", path.display())]
    SyncDirectory {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "the index {} has form {found}, this program knows forms up to {known}: \
         run a newer callvault",
        path.display()
    )]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error(
        "the index {} is in journal mode {mode:?}, not in WAL: \
         run sqlite3 on it with PRAGMA journal_mode=WAL",
        path.display()
    )]
    JournalMode { path: PathBuf, mode: String },
    #[error("SQLite {found} is too old, {oldest} is needed: older ones can lose commits")]
    OldSqlite { found: i32, oldest: i32 },
    #[error("{what}")]
    Statement {
        what: &'static str,
        #[source]
        source: rusqlite::Error,
    },
    #[error("the index is locked by another process")]
    NotBegun,
    #[error("the index has stopped taking writes after an I/O error")]
    Poisoned,
    #[error(
        "{free_bytes} bytes are free for the index {}, and an event may need {needed_bytes}",
        path.display()
    )]
    NoRoom {
        path: PathBuf,
        free_bytes: u64,
        needed_bytes: u64,
    },
    #[error("a write to the index panicked")]
    Panicked,
    #[error("{what}: the index holds {found:?}")]
    Damaged { what: &'static str, found: String },
    #[error("the lease on {0} was lost: another attempt has taken over")]
    LeaseLost(String),
}

impl Error {
    /// What a row holds cannot be read; others can.
    pub fn is_of_a_row(&self) -> bool {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
        };
        match self {
            Error::Damaged { .. } => true,
            Error::Statement { source, .. } => matches!(
                source,
                FromSqlConversionFailure(..)
                    | IntegralValueOutOfRange(..)
                    | InvalidColumnType(..)
                    | Utf8Error(..)
            ),
            _ => false,
        }
    }

    fn sqlite_failure(&self) -> Option<rusqlite::ffi::Error> {
        match self {
            Error::Statement { source, .. } => source.sqlite_error().copied(),
            _ => None,
        }
    }
}

/// An operation's own savepoint inside the writer's transaction.
pub struct Tx<'c>(&'c Connection);

impl Deref for Tx<'_> {
    type Target = Db;

    fn deref(&self) -> &Db {
        self.0
    }
}

impl Tx<'_> {
    pub fn one(&mut self) -> One<'_> {
        One(self.0)
    }
}

/// The writer's transaction, for one statement of one row: where that fails, it has changed nothing,
/// and needs no savepoint to undo it.
pub struct One<'c>(&'c Connection);

impl One<'_> {
    /// The row's id.
    fn insert(self, what: &'static str, sql: &str, params: impl Params) -> Result<i64, Error> {
        execute(self.0, what, sql, params)?;
        Ok(self.0.last_insert_rowid())
    }
}

/// What both a transaction and a reader can be asked.
pub type Db = Connection;

/// A read-only connection: sees what was committed when its statement began.
pub struct Reader(Connection);

impl Reader {
    /// Opens an index that must exist, whether or not a service runs on it.
    pub fn open(path: &Path) -> Result<Reader, Error> {
        open::reader(path).map(Reader)
    }
}

impl Deref for Reader {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.0
    }
}

/// The index, open for reading and writing. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    path: Arc<Path>,
    writer: writer::Writer,
    idle_readers: Arc<Mutex<Vec<Reader>>>,
}

const IDLE_READERS_MAX: usize = 8;

impl Store {
    /// Opens the index, making it where there is none and bringing it to this program's form.
    pub fn open(path: &Path) -> Result<Store, Error> {
        let connection = open::writer(path)?;
        Ok(Store {
            path: path.into(),
            writer: writer::Writer::start(connection),
            idle_readers: Arc::default(),
        })
    }

    /// Runs `operation` in a savepoint of the next transaction. Returns after COMMIT, so that what
    /// it answers is durable.
    pub async fn write<T, F>(&self, operation: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx) -> Result<T, Error> + Send + 'static,
    {
        self.writer.run(operation).await
    }

    /// As `write`, for a single row, which needs no savepoint.
    pub async fn write_one<T, F>(&self, operation: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(One) -> Result<T, Error> + Send + 'static,
    {
        self.writer.run_one(operation).await
    }

    /// Whether an event could be logged now: goes the way of one, down to the disk, and looks
    /// whether the largest would have room.
    pub async fn rehearse(&self) -> Result<(), Error> {
        const LARGEST_BYTES: u64 = 2 * 1024 * 1024;
        self.write(log::rehearse).await?;
        let stat = rustix::fs::statvfs(&*self.path);
        // Of a disk that does not say there is nothing to tell.
        let free = stat.map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        match free {
            Ok(free_bytes) if free_bytes < LARGEST_BYTES => Err(Error::NoRoom {
                path: self.path.to_path_buf(),
                free_bytes,
                needed_bytes: LARGEST_BYTES,
            }),
            _ => Ok(()),
        }
    }

    /// As `write`, for what nobody waits for: it goes along with another's transaction, if there is
    /// one soon, so that nothing else is committed later for it.
    pub async fn write_patiently<T, F>(&self, operation: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx) -> Result<T, Error> + Send + 'static,
    {
        self.writer.run_patiently(operation).await
    }

    /// Runs a query beside the writer, off the async threads.
    pub async fn read<T, F>(&self, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> Result<T, Error> + Send + 'static,
    {
        let store = self.clone();
        let work = move || {
            let idle = store.readers().pop();
            let reader = idle.map_or_else(|| Reader::open(&store.path), Ok)?;
            let answer = query(&reader);
            let mut readers = store.readers();
            if readers.len() < IDLE_READERS_MAX {
                readers.push(reader);
            }
            answer
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Error::Panicked)?
    }

    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<Reader>> {
        self.idle_readers
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether writes are still taken.
    pub fn is_alive(&self) -> bool {
        self.writer.is_alive()
    }

    /// Resolves when the writer has given up after an I/O error; the process must end then.
    pub async fn died(&self) {
        self.writer.died().await;
    }
}

fn execute(db: &Db, what: &'static str, sql: &str, params: impl Params) -> Result<usize, Error> {
    let run = || db.prepare_cached(sql)?.execute(params);
    run().map_err(|source| Error::Statement { what, source })
}

fn all<T>(
    db: &Db,
    what: &'static str,
    sql: &str,
    params: impl Params,
    row: impl FnMut(&Row) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Error> {
    let run = || {
        db.prepare_cached(sql)?
            .query_map(params, row)?
            .collect::<Result<Vec<T>, _>>()
    };
    run().map_err(|source| Error::Statement { what, source })
}

/// Row by row, as long as `row` says true: for what may be too much to hold.
fn each(
    db: &Db,
    what: &'static str,
    sql: &str,
    params: impl Params,
    mut row: impl FnMut(&Row) -> rusqlite::Result<bool>,
) -> Result<(), Error> {
    let run = || {
        let mut statement = db.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        while let Some(next) = rows.next()? {
            if !row(next)? {
                break;
            }
        }
        Ok(())
    };
    run().map_err(|source| Error::Statement { what, source })
}

fn first<T>(
    db: &Db,
    what: &'static str,
    sql: &str,
    params: impl Params,
    row: impl FnOnce(&Row) -> rusqlite::Result<T>,
) -> Result<Option<T>, Error> {
    let run = || db.prepare_cached(sql)?.query_row(params, row).optional();
    run().map_err(|source| Error::Statement { what, source })
}

/// A checked type out of a text that this program wrote: another text means a damaged index.
fn parsed<T: std::str::FromStr>(text: String) -> rusqlite::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|error: T::Err| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}

/// A word of one of the model's enums.
fn word<T>(text: Option<String>, from_word: impl Fn(&str) -> Option<T>) -> Option<T> {
    text.as_deref().and_then(from_word)
}
