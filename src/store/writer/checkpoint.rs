//! What was committed moves from the write-ahead log into the index, beside the writer.
//!
//! A checkpoint copies thousands of pages and syncs them. Done with a commit, as SQLite does by
//! itself, all who wait for the next one wait for it too. Here a thread with a connection of its own
//! does that, and the writer only what was added meanwhile, so that the log begins anew. A failed
//! write or sync is final, as that of a commit is: what it left unwritten looks written, and the log
//! is the only place where it is. Never here: a commit.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};

use super::{Failure, is_io_error};

/// Of the write-ahead log, before it is moved; 4 KiB each.
const PAGES_MAX: i64 = 4000;
/// So many are moved by the writer itself; and what keeps the log from beginning anew, a reader,
/// say, is given so many more.
const PAGES_FEW: i64 = 1000;
/// What a reader that stayed, or lives that were killed, made the log's file grow to goes back to
/// the disk once it begins anew; in use are a quarter of this.
const FILE_MAX_BYTES: i64 = 64 * 1024 * 1024;
/// After one that failed, for want of room; twice as long after each that follows.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// When a checkpoint is made, and by whom.
pub(super) struct Checkpoints {
    /// Started when it is first needed: most who write, write little.
    helper: Option<Helper>,
    is_running: bool,
    /// At how many pages the helper is asked.
    due_pages: i64,
    not_before: Option<Instant>,
    pause: Duration,
}

struct Helper {
    ask: Sender<()>,
    done: Receiver<Result<(), Failure>>,
    thread: JoinHandle<()>,
}

/// The pages in the write-ahead log, and of them those that the index has.
#[derive(Clone, Copy)]
struct Pages {
    logged: i64,
    moved: i64,
}

impl Checkpoints {
    /// From here on SQLite makes none by itself.
    pub(super) fn of(connection: &Connection) -> Checkpoints {
        // Where this fails, more are made than are needed.
        let _ = connection.pragma_update(None, "wal_autocheckpoint", 0);
        // Where this fails, the log's file stays as large as it ever was.
        let _ = connection.pragma_update(None, "journal_size_limit", FILE_MAX_BYTES);
        Checkpoints {
            helper: None,
            is_running: false,
            due_pages: PAGES_MAX,
            not_before: None,
            pause: PAUSE,
        }
    }

    /// After each transaction. An error means the disk can no longer be believed.
    pub(super) fn look(&mut self, connection: &Connection) -> Result<(), Failure> {
        if let Some(helper) = self.helper.as_ref().filter(|_| self.is_running) {
            let made = match helper.done.try_recv() {
                Ok(made) => made,
                Err(TryRecvError::Empty) => return Ok(()),
                // What it has not done is done below.
                Err(TryRecvError::Disconnected) => Ok(()),
            };
            self.is_running = false;
            self.weigh(made)?;
        }
        let Ok(Some(pages)) = checkpoint(connection, "NOOP") else {
            return Ok(());
        };
        if pages.logged < PAGES_MAX {
            self.due_pages = PAGES_MAX;
            return Ok(());
        }
        if self.not_before.is_some_and(|then| Instant::now() < then) {
            return Ok(());
        }
        if pages.logged - pages.moved < PAGES_FEW {
            return self.make(connection);
        }
        if pages.logged >= self.due_pages {
            self.due_pages = pages.logged + PAGES_FEW;
            return self.ask(connection);
        }
        Ok(())
    }

    fn ask(&mut self, connection: &Connection) -> Result<(), Failure> {
        if self.helper.is_none() {
            self.helper = connection.path().and_then(Helper::start);
        }
        let helper = self.helper.as_ref();
        self.is_running = helper.is_some_and(|helper| helper.ask.send(()).is_ok());
        match self.is_running {
            true => Ok(()),
            false => self.make(connection),
        }
    }

    fn make(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.weigh(checkpoint(connection, "PASSIVE").map(drop))
    }

    /// What cannot be moved for want of room is moved later.
    fn weigh(&mut self, made: Result<(), Failure>) -> Result<(), Failure> {
        match made {
            Err(failure) if is_io_error(&failure) => Err(failure),
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log was not moved into the index");
                self.not_before = Some(Instant::now() + self.pause);
                self.pause = (2 * self.pause).min(PAUSE_MAX);
                // A log that is moved can be written anew: what waits for room waits for this too.
                self.due_pages = PAGES_MAX;
                Ok(())
            }
            Ok(()) => {
                (self.not_before, self.pause) = (None, PAUSE);
                Ok(())
            }
        }
    }
}

impl Helper {
    fn start(path: &str) -> Option<Helper> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).ok()?;
        connection.pragma_update(None, "synchronous", "FULL").ok()?;
        leave_the_log(&connection);
        // Never closed: that would end all locks that this process has on the index.
        let file = ManuallyDrop::new(File::open(path).ok()?);
        let ((ask, asked), (tell, done)) = (channel(), channel());
        let work = move || {
            while asked.recv().is_ok() {
                // SQLite syncs the index only where nothing was added meanwhile.
                let made = checkpoint(&connection, "PASSIVE");
                let made = made.and_then(|_| file.sync_data().map_err(|_| io_error()));
                if tell.send(made).is_err() {
                    break;
                }
            }
        };
        let thread = Builder::new().name("index-checkpoint".to_owned());
        let thread = thread.spawn(work).ok()?;
        Some(Helper { ask, done, thread })
    }
}

impl Drop for Checkpoints {
    /// The writer's connection is closed after the helper's.
    fn drop(&mut self) {
        if let Some(Helper { ask, done, thread }) = self.helper.take() {
            drop((ask, done));
            let _ = thread.join();
        }
    }
}

/// The last to close an index would move the log once more, believe a disk that is not to be
/// believed, and remove it. The next start moves all of it.
pub(super) fn leave_the_log(connection: &Connection) {
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
}

/// None where there is no such log, or another process is at it.
fn checkpoint(connection: &Connection, mode: &str) -> Result<Option<Pages>, Failure> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let run = || {
        connection.prepare_cached(&sql)?.query_row([], |row| {
            let (logged, moved) = (row.get(1)?, row.get(2)?);
            Ok(Pages { logged, moved })
        })
    };
    match run() {
        Ok(pages) => Ok(Some(pages).filter(|pages| pages.logged >= 0)),
        Err(error) => Err(error.sqlite_error().copied().unwrap_or_else(io_error)),
    }
}

fn io_error() -> Failure {
    Failure::new(ffi::SQLITE_IOERR)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);
    /// Some thirty pages each.
    const PIECE: &str = "INSERT INTO piece VALUES (zeroblob(120000))";

    fn index(directory: &Path) -> Connection {
        let index = Connection::open(directory.join("index.sqlite")).unwrap();
        let made = "PRAGMA journal_mode = WAL; CREATE TABLE piece (piece BLOB)";
        index.execute_batch(made).unwrap();
        index
    }

    fn pages(index: &Connection) -> Pages {
        checkpoint(index, "NOOP").unwrap().unwrap()
    }

    fn write(index: &Connection, checkpoints: &mut Checkpoints) {
        index.execute(PIECE, []).unwrap();
        checkpoints.look(index).unwrap();
    }

    /// Until this holds, within a time.
    fn write_until(
        index: &Connection,
        checkpoints: &mut Checkpoints,
        holds: impl Fn(&Checkpoints, Pages) -> bool,
    ) {
        let until = Instant::now() + LONG;
        while !holds(checkpoints, pages(index)) {
            assert!(Instant::now() < until);
            write(index, checkpoints);
        }
    }

    #[test]
    fn the_helper_moves_the_log_and_the_writer_the_rest() {
        let directory = tempfile::tempdir().unwrap();
        let index = index(directory.path());
        let mut checkpoints = Checkpoints::of(&index);
        write_until(&index, &mut checkpoints, |checkpoints, _| {
            checkpoints.is_running
        });
        assert!(pages(&index).logged >= PAGES_MAX);
        write_until(&index, &mut checkpoints, |checkpoints, _| {
            !checkpoints.is_running
        });
        write_until(&index, &mut checkpoints, |_, pages| {
            pages.logged < PAGES_MAX
        });
    }

    #[test]
    fn a_reader_that_stays_holds_the_log_and_not_the_writer() {
        let directory = tempfile::tempdir().unwrap();
        let index = index(directory.path());
        let reader = Connection::open(directory.path().join("index.sqlite")).unwrap();
        reader
            .execute_batch("BEGIN; SELECT count(*) FROM piece")
            .unwrap();
        let mut checkpoints = Checkpoints::of(&index);
        let file_bytes = || {
            fs::metadata(directory.path().join("index.sqlite-wal"))
                .unwrap()
                .len()
        };
        let most = FILE_MAX_BYTES as u64;
        let long = |_: &Checkpoints, _: Pages| file_bytes() > most;
        write_until(&index, &mut checkpoints, long);
        reader.execute_batch("COMMIT").unwrap();
        write_until(&index, &mut checkpoints, |_, pages| {
            pages.logged < PAGES_MAX
        });
        assert!(file_bytes() <= most, "{} bytes", file_bytes());
    }

    #[test]
    fn who_is_told_to_leave_the_log_closes_without_moving_it() {
        for is_told in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let index = index(directory.path());
            index.execute(PIECE, []).unwrap();
            if is_told {
                leave_the_log(&index);
            }
            drop(index);
            let is_left = directory.path().join("index.sqlite-wal").exists();
            assert_eq!(is_left, is_told);
        }
    }

    #[test]
    fn what_had_no_room_is_moved_later_though_nothing_can_be_added() {
        let directory = tempfile::tempdir().unwrap();
        let index = index(directory.path());
        let mut checkpoints = Checkpoints::of(&index);
        while pages(&index).logged < PAGES_MAX {
            index.execute(PIECE, []).unwrap();
        }
        checkpoints.due_pages = pages(&index).logged + PAGES_FEW;
        let full = Failure::new(ffi::SQLITE_FULL);
        checkpoints.weigh(Err(full)).unwrap();
        checkpoints.look(&index).unwrap();
        assert!(!checkpoints.is_running, "at once");
        checkpoints.not_before = None;
        checkpoints.look(&index).unwrap();
        assert!(checkpoints.is_running);
    }

    #[test]
    fn a_failed_sync_is_final_and_a_full_disk_is_not() {
        let index = Connection::open_in_memory().unwrap();
        let mut checkpoints = Checkpoints::of(&index);
        checkpoints.weigh(Err(io_error())).unwrap_err();
        let full = Failure::new(ffi::SQLITE_FULL);
        checkpoints.weigh(Err(full)).unwrap();
        assert!(checkpoints.not_before.is_some());
        checkpoints.weigh(Ok(())).unwrap();
        assert!(checkpoints.not_before.is_none());
    }
}
