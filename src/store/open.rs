//! Opening the index: pragmas, and the steps from one form to the next.
//!
//! A step is a file in `schema/`, applied once, all in one transaction; the form is `user_version`.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::Error;
use crate::model::number;

const STEPS: [&str; 1] = [include_str!("schema/0001.sql")];
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const STATEMENTS_CACHED: usize = 64;

pub fn writer(path: &Path) -> Result<Connection, Error> {
    let fresh = !path.exists();
    if fresh {
        create_private(path)?;
    }
    let failed = |source| Error::Open {
        path: path.into(),
        source,
    };
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    if fresh {
        to_wal(path, &connection)?;
    }
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;",
        )
        .map_err(failed)?;
    step_up(path, &mut connection)?;
    prepare(&connection).map_err(failed)?;
    sync_directory(path)?;
    Ok(connection)
}

pub fn reader(path: &Path) -> Result<Connection, Error> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;")?;
        prepare(&connection)?;
        Ok(connection)
    };
    let connection = open().map_err(|source| Error::Open {
        path: path.into(),
        source,
    })?;
    known_form(path, &connection)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("number_matches", 2, flags, |call| {
        let (asked, number): (String, Option<String>) = (call.get(0)?, call.get(1)?);
        Ok(number.is_some_and(|number| number::matches(&asked, &number)))
    })
}

/// The file holds recordings' metadata: nobody but its owner reads it, from its first moment.
fn create_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    let created = options.write(true).create_new(true).mode(0o600).open(path);
    created.map(|_| ()).map_err(|source| Error::SyncDirectory {
        path: path.into(),
        source,
    })
}

/// Only a new file is converted; the pragma is stepped to its end, for SQLite converts as it steps.
fn to_wal(path: &Path, connection: &Connection) -> Result<(), Error> {
    let step = || {
        let mut pragma = connection.prepare("PRAGMA journal_mode = WAL")?;
        let mut rows = pragma.query([])?;
        let mut mode = String::new();
        while let Some(row) = rows.next()? {
            mode = row.get(0)?;
        }
        Ok(mode)
    };
    let mode = step().map_err(|source| Error::Open {
        path: path.into(),
        source,
    })?;
    match mode.as_str() {
        "wal" => Ok(()),
        _ => Err(Error::JournalMode {
            path: path.into(),
            mode,
        }),
    }
}

fn known_form(path: &Path, connection: &Connection) -> Result<usize, Error> {
    let found: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|source| Error::Open {
            path: path.into(),
            source,
        })?;
    let known = STEPS.len() as i64;
    match usize::try_from(found) {
        Ok(form) if form <= STEPS.len() => Ok(form),
        _ => Err(Error::Newer {
            path: path.into(),
            found,
            known,
        }),
    }
}

fn step_up(path: &Path, connection: &mut Connection) -> Result<(), Error> {
    let form = known_form(path, connection)?;
    if form == STEPS.len() {
        return Ok(());
    }
    let failed = |source| Error::Statement {
        what: "bring the index to this program's form",
        source,
    };
    let tx = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    // Another process may have stepped it up while this one waited for the lock.
    let form = known_form(path, &tx)?;
    for step in &STEPS[form..] {
        tx.execute_batch(step).map_err(failed)?;
    }
    tx.pragma_update(None, "user_version", STEPS.len() as i64)
        .map_err(failed)?;
    tx.commit().map_err(failed)
}

/// SQLite swallows a failure to sync the directory, so the new file's name is synced here.
fn sync_directory(path: &Path) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .map_err(|source| Error::SyncDirectory {
            path: path.into(),
            source,
        })
}
