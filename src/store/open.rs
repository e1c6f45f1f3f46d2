//! Opening the index: pragmas, and the steps from one form to the next.
//!
//! A step is a file in `schema/`, applied once, all in one transaction; the form is `user_version`.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::Error;
use crate::failpoint::{self, Effect};
use crate::model::number;

const STEPS: [&str; 1] = [include_str!("schema/0001.sql")];
/// 3.51.3, as SQLite numbers it.
const OLDEST_SQLITE: i32 = 3_051_003;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const STATEMENTS_CACHED: usize = 64;

pub fn writer(path: &Path) -> Result<Connection, Error> {
    sound_sqlite(rusqlite::version_number())?;
    if !path.exists() {
        create_private(path)?;
    }
    let failed = |source| Error::Open {
        path: path.into(),
        source,
    };
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    // A life that ended while it made the index left one without a form.
    if known_form(path, &connection)? == 0 {
        failpoint::before(Effect::ToWal);
        to_wal(path, &connection)?;
        failpoint::after(Effect::ToWal);
    }
    in_wal(path, &connection)?;
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; \
             PRAGMA temp_store = MEMORY;",
        )
        .map_err(failed)?;
    step_up(path, &mut connection)?;
    prepare(&connection).map_err(failed)?;
    failpoint::before(Effect::IndexDirectorySync);
    sync_directory(path)?;
    failpoint::after(Effect::IndexDirectorySync);
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
    // Else SQLite prepares a cached statement anew each time that something is bound to it, where
    // a partial index makes it look at what is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("number_matches", 2, flags, |call| {
        let (asked, number): (String, Option<String>) = (call.get(0)?, call.get(1)?);
        Ok(number.is_some_and(|number| number::matches(&asked, &number)))
    })
}

/// The file holds recordings' metadata: nobody but its owner reads it, from its first moment. What
/// root makes, by `ingest` before the first start, say, is its directory's owner's, as SQLite has it
/// with its own files: the service could not open it otherwise.
fn create_private(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
    let create = || {
        let mut options = File::options();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        if rustix::process::geteuid().is_root() {
            let directory = path.parent().unwrap_or(Path::new(".")).metadata()?;
            fchown(&file, Some(directory.uid()), Some(directory.gid()))?;
        }
        Ok(())
    };
    create().map_err(|source| Error::Create {
        path: path.into(),
        source,
    })
}

/// Only an index in the making is converted; the pragma is stepped to its end, for SQLite converts
/// as it steps.
fn to_wal(path: &Path, connection: &Connection) -> Result<(), Error> {
    let step = || {
        let mut pragma = connection.prepare("PRAGMA journal_mode = WAL")?;
        let mut rows = pragma.query([])?;
        while rows.next()?.is_some() {}
        Ok(())
    };
    step().map_err(|source| Error::Open {
        path: path.into(),
        source,
    })
}

/// Whatever converted it back, or kept it from being converted, took the readers' freedom and the
/// group commit's speed with it.
fn in_wal(path: &Path, connection: &Connection) -> Result<(), Error> {
    let mode = connection.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0));
    let mode = mode.map_err(|source| Error::Open {
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

/// Older ones may lose a commit: a write-ahead log that was reset while it was being checkpointed.
fn sound_sqlite(number: i32) -> Result<(), Error> {
    match number >= OLDEST_SQLITE {
        true => Ok(()),
        false => Err(Error::OldSqlite {
            found: number,
            oldest: OLDEST_SQLITE,
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
    failpoint::before(Effect::Migration);
    tx.commit().map_err(failed)?;
    failpoint::after(Effect::Migration);
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_sqlite_is_refused() {
        for (number, expected) in [(3_051_002, false), (3_051_003, true), (3_054_001, true)] {
            assert_eq!(sound_sqlite(number).is_ok(), expected, "{number}");
        }
    }

    /// `.cargo/config.toml` is read from where cargo is run. That fdatasync is among its flags cannot
    /// be asked; this one beside it can.
    #[test]
    fn sqlite_is_built_as_the_project_says() {
        let connection = Connection::open_in_memory().unwrap();
        let sql = "SELECT sqlite_compileoption_used('DEFAULT_MEMSTATUS=0')";
        let is_used: bool = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        assert!(is_used, "a build without .cargo/config.toml");
    }

    /// Of the very connection that answers what it has committed: FULL is 2.
    #[tokio::test]
    async fn what_is_committed_is_on_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.sqlite");
        for time in ["made", "opened again"] {
            let store = crate::store::Store::open(&path).unwrap();
            let pragmas = store.write(|tx| {
                let of = |pragma| tx.query_row(pragma, [], |row| row.get(0)).unwrap();
                let all = [
                    "PRAGMA synchronous",
                    "PRAGMA foreign_keys",
                    "PRAGMA trusted_schema",
                ];
                Ok(all.map(of))
            });
            let pragmas: [i64; 3] = pragmas.await.unwrap();
            assert_eq!(pragmas, [2, 1, 0], "{time}");
        }
    }

    #[test]
    fn what_root_makes_is_the_directorys_owners() {
        use std::os::unix::fs::{MetadataExt, chown};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.sqlite");
        let nobody = 65_534;
        let owner = match chown(dir.path(), Some(nobody), Some(nobody)) {
            Ok(()) => nobody,
            // Who is not root makes what is their own.
            Err(_) => rustix::process::geteuid().as_raw(),
        };
        let _open = writer(&path).unwrap();
        for file in ["index.sqlite", "index.sqlite-wal"] {
            assert_eq!(
                dir.path().join(file).metadata().unwrap().uid(),
                owner,
                "{file}"
            );
        }
    }

    #[test]
    fn an_index_that_was_begun_is_finished_and_a_converted_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.sqlite");
        // As a life left it that ended between the two.
        create_private(&path).unwrap();
        let mode = |connection: &Connection| {
            let pragma = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0));
            pragma.unwrap()
        };
        let mut found: String = mode(&writer(&path).unwrap());
        assert_eq!(found, "wal");
        let by_hand = Connection::open(&path).unwrap();
        by_hand
            .pragma_update(None, "journal_mode", "DELETE")
            .unwrap();
        found = mode(&by_hand);
        assert_eq!(found, "delete");
        let refused = writer(&path).unwrap_err();
        assert!(matches!(refused, Error::JournalMode { .. }), "{refused}");
    }
}
