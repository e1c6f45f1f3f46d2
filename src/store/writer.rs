//! The one writer: a thread that owns the connection, behind a bounded queue.
//!
//! A disk syncs a few hundred times a second, so whatever waits is committed together: one
//! transaction, a savepoint an operation, replies only after COMMIT. Never here: SQL of a table.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Error, Tx};
use crate::failpoint::{self, Effect};

const QUEUE_MAX: usize = 4096;
const BATCH_MAX: usize = 512;

/// Runs in the transaction (or learns that there is none), and hands back how to reply once the
/// transaction's fate is known, and what SQLite said if it failed.
type Operation = Box<dyn FnOnce(Option<&mut Connection>) -> (Reply, Option<Failure>) + Send>;
type Reply = Box<dyn FnOnce(Result<(), Error>) + Send>;
type Failure = rusqlite::ffi::Error;

#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Operation>,
    alive: watch::Receiver<bool>,
}

impl Writer {
    pub fn start(connection: Connection) -> Writer {
        let (queue, operations) = mpsc::channel(QUEUE_MAX);
        let (life, alive) = watch::channel(true);
        std::thread::Builder::new()
            .name("index-writer".to_owned())
            .spawn(move || work(connection, operations, life))
            .expect("a thread can be started while the program starts");
        Writer { queue, alive }
    }

    pub async fn run<T, F>(&self, operation: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx) -> Result<T, Error> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let operation: Operation = Box::new(move |connection| {
            let outcome = connection.map_or(Err(Error::NotBegun), |connection| {
                catch_unwind(AssertUnwindSafe(|| in_savepoint(connection, operation)))
                    .unwrap_or(Err(Error::Panicked))
            });
            let failure = outcome.as_ref().err().and_then(Error::sqlite_failure);
            let reply: Reply = Box::new(move |committed: Result<(), Error>| {
                // Nobody may be waiting any more: the caller was cancelled, the write stands.
                let _ = reply.send(committed.and(outcome));
            });
            (reply, failure)
        });
        self.queue
            .send(operation)
            .await
            .map_err(|_| Error::Poisoned)?;
        answer.await.map_err(|_| Error::Poisoned)?
    }

    pub fn is_alive(&self) -> bool {
        *self.alive.borrow()
    }

    pub async fn died(&self) {
        let mut alive = self.alive.clone();
        // An error means the thread is gone, which is death as well.
        let _ = alive.wait_for(|alive| !alive).await;
    }
}

fn in_savepoint<T>(
    connection: &mut Connection,
    operation: impl FnOnce(&mut Tx) -> Result<T, Error>,
) -> Result<T, Error> {
    let failed = |source| Error::Statement {
        what: "open a savepoint",
        source,
    };
    let mut tx = Tx(connection.savepoint().map_err(failed)?);
    let answer = operation(&mut tx)?;
    tx.0.commit().map_err(failed)?;
    Ok(answer)
}

fn work(
    mut connection: Connection,
    mut operations: mpsc::Receiver<Operation>,
    life: watch::Sender<bool>,
) {
    while let Some(first) = operations.blocking_recv() {
        let next = std::iter::from_fn(|| operations.try_recv().ok());
        let batch = std::iter::once(first).chain(next).take(BATCH_MAX);
        if let Err(fatal) = commit_together(&mut connection, batch) {
            tracing::error!(error = %fatal, "the index failed to commit; no more writes are taken");
            break;
        }
    }
    // What still waits is dropped, so that each caller hears that nothing was written.
    drop(operations);
    let _ = life.send(false);
}

/// One transaction for all. An error return means the disk can no longer be believed.
fn commit_together(
    connection: &mut Connection,
    batch: impl Iterator<Item = Operation>,
) -> Result<(), Failure> {
    let mut replies: Vec<Reply> = Vec::new();
    let mut fate = batched(connection, "BEGIN IMMEDIATE");
    for operation in batch {
        let (reply, failure) = operation(fate.is_ok().then_some(&mut *connection));
        replies.push(reply);
        if fate.is_ok() && connection.is_autocommit() {
            // A full disk or a failed write made SQLite roll everything back.
            let unknown = Failure::new(rusqlite::ffi::SQLITE_ABORT);
            fate = Err(failure.unwrap_or(unknown));
        }
    }
    if fate.is_ok() {
        failpoint::before(Effect::Commit);
        fate = batched(connection, "COMMIT");
        failpoint::after(Effect::Commit);
    }
    if !connection.is_autocommit() {
        // Only after a failed COMMIT; if this fails as well, the connection is closed anyway.
        let _ = batched(connection, "ROLLBACK");
    }
    for reply in replies {
        reply(fate.map_err(|failure| Error::Statement {
            what: "commit to the index",
            source: rusqlite::Error::SqliteFailure(failure, None),
        }));
    }
    match fate {
        Err(failure) if is_io_error(&failure) => Err(failure),
        _ => Ok(()),
    }
}

fn batched(connection: &Connection, sql: &str) -> Result<(), Failure> {
    let unknown = Failure::new(rusqlite::ffi::SQLITE_ERROR);
    let run = connection.execute_batch(sql);
    run.map_err(|error| error.sqlite_error().copied().unwrap_or(unknown))
}

/// After a failed sync Linux marks the pages clean, so a retry would lie: such an error is final.
/// A full disk is none, SQLite rolls back and says so.
fn is_io_error(failure: &Failure) -> bool {
    failure.code == rusqlite::ErrorCode::SystemIoFailure
}
