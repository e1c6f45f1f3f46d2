//! What was committed moves from the write-ahead log into the index, beside the writer.
//!
//! A checkpoint copies thousands of pages and syncs them. Done with a commit, as SQLite does by
//! itself, all who wait for the next one wait for it too. Here a thread with a connection of its own
//! does it, and the writer only what was added meanwhile, so that the log begins anew. Never here: a
//! commit.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;

/// Of the write-ahead log, before it is moved; 4 KiB each.
const PAGES_MAX: i64 = 4000;
/// What keeps the log from beginning anew, a reader or a full disk, is given so many more.
const PAGES_MORE: i64 = 1000;

/// When a checkpoint is made, and by whom.
pub(super) struct Checkpoints {
    /// Started when it is first needed: most who write, write little.
    helper: Option<Helper>,
    is_running: bool,
    /// Of how many pages the next one is made.
    due_pages: i64,
}

struct Helper {
    ask: Sender<()>,
    done: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    /// From here on SQLite makes none by itself.
    pub(super) fn of(connection: &Connection) -> Checkpoints {
        // Where this fails, more are made than are needed.
        let _ = connection.pragma_update(None, "wal_autocheckpoint", 0);
        Checkpoints {
            helper: None,
            is_running: false,
            due_pages: PAGES_MAX,
        }
    }

    /// After each transaction.
    pub(super) fn look(&mut self, connection: &Connection) {
        if let Some(helper) = self.helper.as_ref().filter(|_| self.is_running) {
            self.is_running = helper.done.try_recv() == Err(TryRecvError::Empty);
            if !self.is_running {
                self.finish(connection);
            }
            return;
        }
        let pages = checkpoint(connection, "NOOP").unwrap_or(0);
        if pages < PAGES_MAX {
            self.due_pages = PAGES_MAX;
        }
        if pages < self.due_pages {
            return;
        }
        if self.helper.is_none() {
            self.helper = connection.path().and_then(Helper::start);
        }
        let helper = self.helper.as_ref();
        self.is_running = helper.is_some_and(|helper| helper.ask.send(()).is_ok());
        if !self.is_running {
            self.finish(connection);
        }
    }

    /// What the helper has left, or all where there is none.
    fn finish(&mut self, connection: &Connection) {
        let pages = checkpoint(connection, "PASSIVE");
        self.due_pages = pages.unwrap_or(self.due_pages) + PAGES_MORE;
    }
}

impl Helper {
    fn start(path: &str) -> Option<Helper> {
        let connection = Connection::open(path).ok()?;
        connection.pragma_update(None, "synchronous", "FULL").ok()?;
        let ((ask, asked), (tell, done)) = (channel(), channel());
        let work = move || {
            while asked.recv().is_ok() {
                checkpoint(&connection, "PASSIVE");
                if tell.send(()).is_err() {
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
    /// The writer's connection is closed last, and leaves no log behind.
    fn drop(&mut self) {
        if let Some(Helper { ask, done, thread }) = self.helper.take() {
            drop((ask, done));
            let _ = thread.join();
        }
    }
}

/// Tells how many pages are in the write-ahead log. What cannot be moved now is moved later.
fn checkpoint(connection: &Connection, mode: &str) -> Option<i64> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let run = || {
        connection
            .prepare_cached(&sql)?
            .query_row([], |row| row.get(1))
    };
    let pages = run();
    pages
        .inspect_err(|error| tracing::warn!(%error, "the write-ahead log was not moved"))
        .ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::Store;

    const PIECE_BYTES: u32 = 128 * 1024;
    const PIECES: i64 = 600;

    fn wal_bytes(index: &Path) -> u64 {
        let wal = index.with_extension("sqlite-wal");
        std::fs::metadata(wal).unwrap().len()
    }

    #[tokio::test]
    async fn the_log_begins_anew_while_it_is_written_and_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.sqlite");
        let store = Store::open(&path).unwrap();
        let made = store.write(|tx| {
            let made = tx.0.execute_batch("CREATE TABLE piece (piece BLOB)");
            made.map_err(|source| crate::store::Error::Statement {
                what: "make",
                source,
            })
        });
        made.await.unwrap();
        let mut most = 0;
        for nth in 0..PIECES {
            let sql = "INSERT INTO piece VALUES (zeroblob(?1))";
            let written = store.write_one(move |one| one.insert("write", sql, [PIECE_BYTES]));
            written.await.unwrap();
            let count = store.read(|db| {
                let sql = "SELECT count(*) FROM piece";
                Ok(db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap())
            });
            assert_eq!(count.await.unwrap(), nth + 1);
            most = most.max(wal_bytes(&path));
        }
        // Twice as much as is moved at once, of what was written.
        let written = PIECES * i64::from(PIECE_BYTES);
        assert!(most < 2 * 4096 * PAGES_MAX as u64, "{most} of {written}");
    }
}
