//! The one writer: a thread that owns the connection, behind bounded queues.
//!
//! A disk syncs a few hundred times a second, so whatever waits is committed together: one
//! transaction, a savepoint an operation of more than a row, replies only after COMMIT. What can wait
//! goes along with what cannot. Never here: SQL of a table.

mod batch;
mod checkpoint;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use self::batch::{Batch, Pace, Queues};
use self::checkpoint::Checkpoints;
use super::in_place::InPlace;
use super::{Error, One, Tx, execute};
use crate::failpoint::{self, Effect};

const QUEUE_MAX: usize = 4096;

/// Runs in the transaction (or learns that there is none), and hands back how to reply once the
/// transaction's fate is known, and what SQLite said if it failed.
type Operation = Box<dyn FnOnce(Option<&Connection>) -> (Reply, Option<Failure>) + Send>;
type Reply = Box<dyn FnOnce(Result<(), Error>) + Send>;
type Failure = rusqlite::ffi::Error;

#[derive(Clone)]
pub struct Writer {
    urgent: mpsc::Sender<Operation>,
    patient: mpsc::Sender<Operation>,
    alive: watch::Receiver<bool>,
}

impl Writer {
    pub fn start(connection: Connection) -> Writer {
        let (urgent, urgent_queue) = mpsc::channel(QUEUE_MAX);
        let (patient, patient_queue) = mpsc::channel(QUEUE_MAX);
        let queues = Queues {
            urgent: urgent_queue,
            patient: patient_queue,
        };
        let (life, alive) = watch::channel(true);
        std::thread::Builder::new()
            .name("index-writer".to_owned())
            .spawn(move || work(connection, queues, life))
            .expect("a thread can be started while the program starts");
        Writer {
            urgent,
            patient,
            alive,
        }
    }

    /// In the next transaction.
    pub async fn run<T, F>(&self, operation: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx) -> Result<T, Error> + Send + 'static,
    {
        queue(&self.urgent, |connection| {
            in_savepoint(connection, operation)
        })
        .await
    }

    /// In the next transaction, without a savepoint.
    pub async fn run_one<T, F>(&self, operation: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(One) -> Result<T, Error> + Send + 'static,
    {
        queue(&self.urgent, |connection| {
            caught(|| operation(One(connection)))
        })
        .await
    }

    /// In a transaction that somebody else waits for, if there is one soon.
    pub async fn run_patiently<T, F>(&self, operation: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx) -> Result<T, Error> + Send + 'static,
    {
        queue(&self.patient, |connection| {
            in_savepoint(connection, operation)
        })
        .await
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

async fn queue<T, F>(queue: &mpsc::Sender<Operation>, operation: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let operation: Operation = Box::new(move |connection| {
        let outcome = connection.map_or(Err(Error::NotBegun), operation);
        let failure = outcome.as_ref().err().and_then(Error::sqlite_failure);
        let reply: Reply = Box::new(move |committed: Result<(), Error>| {
            // Nobody may be waiting any more: the caller was cancelled, the write stands.
            let _ = reply.send(committed.and(outcome));
        });
        (reply, failure)
    });
    queue.send(operation).await.map_err(|_| Error::Poisoned)?;
    answer.await.map_err(|_| Error::Poisoned)?
}

fn in_savepoint<T>(
    connection: &Connection,
    operation: impl FnOnce(&mut Tx) -> Result<T, Error>,
) -> Result<T, Error> {
    let run = |what, sql| execute(connection, what, sql, []).map(drop);
    run("open a savepoint", "SAVEPOINT operation")?;
    let answer = caught(|| operation(&mut Tx(connection)));
    let end = || run("end a savepoint", "RELEASE operation");
    let is_open = !connection.is_autocommit();
    match answer {
        Ok(answer) => end().map(|()| answer),
        Err(error) if is_open => {
            let undone = run("undo an operation", "ROLLBACK TO operation").and_then(|()| end());
            if undone.is_err() {
                // What is half done must not be committed.
                let _ = stepped(connection, "ROLLBACK");
            }
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// A panic of one operation is that one's failure.
fn caught<T>(operation: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(operation)).unwrap_or(Err(Error::Panicked))
}

fn work(connection: Connection, mut queues: Queues, life: watch::Sender<bool>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a timer can be made while the program starts");
    let (mut pace, mut in_place) = (Pace::default(), InPlace::of(&connection));
    let mut checkpoints = Checkpoints::of(&connection);
    while let Some(mut batch) = runtime.block_on(queues.next(&pace)) {
        batch.gather(&pace);
        let went = commit_together(&connection, &mut in_place, &mut batch);
        match went.and_then(|went| checkpoints.look(&connection).map(|()| went)) {
            Ok(went) => pace = went,
            Err(fatal) => {
                tracing::error!(error = %fatal, "the index cannot be written; no more writes are taken");
                checkpoint::leave_the_log(&connection);
                break;
            }
        }
    }
    // What still waits is dropped, so that each caller hears that nothing was written.
    drop(queues);
    let _ = life.send(false);
}

/// One transaction for all; tells how it went. An error return means the disk can no longer be
/// believed.
fn commit_together(
    connection: &Connection,
    in_place: &mut InPlace,
    batch: &mut Batch,
) -> Result<Pace, Failure> {
    let mut replies: Vec<Reply> = Vec::new();
    let mut fate = stepped(connection, "BEGIN IMMEDIATE");
    for operation in &mut *batch {
        let (reply, failure) = operation(fate.is_ok().then_some(connection));
        replies.push(reply);
        if fate.is_ok() && connection.is_autocommit() {
            // A full disk or a failed write made SQLite roll everything back.
            let unknown = Failure::new(rusqlite::ffi::SQLITE_ABORT);
            fate = Err(failure.unwrap_or(unknown));
        }
    }
    if let Some(path) = in_place.lost() {
        tracing::error!(path = %path.display(), "the index's file was removed or replaced");
        fate = fate.and(Err(Failure::new(rusqlite::ffi::SQLITE_IOERR)));
    }
    let began = Instant::now();
    if fate.is_ok() {
        failpoint::before(Effect::Commit);
        fate = stepped(connection, "COMMIT");
        failpoint::after(Effect::Commit);
    }
    let pace = batch.pace(began.elapsed());
    if !connection.is_autocommit() {
        // Only after a failed COMMIT; if this fails as well, the connection is closed anyway.
        let _ = stepped(connection, "ROLLBACK");
    }
    for reply in replies {
        reply(fate.map_err(|failure| Error::Statement {
            what: "commit to the index",
            source: rusqlite::Error::SqliteFailure(failure, None),
        }));
    }
    match fate {
        Err(failure) if is_io_error(&failure) => Err(failure),
        _ => Ok(pace),
    }
}

fn stepped(connection: &Connection, sql: &str) -> Result<(), Failure> {
    let unknown = Failure::new(rusqlite::ffi::SQLITE_ERROR);
    let run = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute([]));
    run.map(drop)
        .map_err(|error| error.sqlite_error().copied().unwrap_or(unknown))
}

/// After a failed sync Linux marks the pages clean, so a retry would lie: such an error is final.
/// A full disk is none, SQLite rolls back and says so.
fn is_io_error(failure: &Failure) -> bool {
    failure.code == rusqlite::ErrorCode::SystemIoFailure
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn note(tx: &mut Tx, what: &str) -> Result<(), Error> {
        let noted = tx.0.execute("INSERT INTO noted VALUES (?1)", [what]);
        noted.map(drop).map_err(|source| Error::Statement {
            what: "note",
            source,
        })
    }

    /// What it was stands, whoever failed beside it in the same transaction.
    #[tokio::test]
    async fn a_row_that_fails_takes_no_other_with_it() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE noted (what TEXT UNIQUE)")
            .unwrap();
        let writer = Writer::start(connection);
        let one = |what: &'static str| {
            writer.run_one(move |one| one.insert("note", "INSERT INTO noted VALUES (?1)", [what]))
        };
        let panics = writer.run_one(|_| -> Result<(), Error> { panic!("as asked") });
        let (first, second, again, panics, third) =
            tokio::join!(one("a"), one("b"), one("a"), panics, one("c"));
        assert_eq!((first.unwrap(), second.unwrap()), (1, 2));
        assert!(matches!(again, Err(Error::Statement { what: "note", .. })));
        assert!(matches!(panics, Err(Error::Panicked)));
        assert_eq!(third.unwrap(), 3);
        let count = |tx: &mut Tx| {
            Ok(tx
                .0
                .query_row("SELECT count(*) FROM noted", [], |r| r.get(0)))
        };
        let noted: i64 = writer.run(count).await.unwrap().unwrap();
        assert_eq!(noted, 3);
    }

    #[tokio::test]
    async fn what_can_wait_goes_along_behind_what_cannot() {
        let commits = Arc::new(AtomicUsize::new(0));
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE noted (what TEXT)")
            .unwrap();
        let counted = commits.clone();
        let count = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            false
        };
        connection.commit_hook(Some(count)).unwrap();
        let writer = Writer::start(connection);
        writer.run_patiently(|tx| note(tx, "alone")).await.unwrap();
        assert_eq!(commits.load(Ordering::Relaxed), 1);

        let (begun, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        let first = writer.run(move |tx| {
            begun.send(()).unwrap();
            may_go_on.recv().unwrap();
            note(tx, "first")
        });
        let patient = [0, 1].map(|_| writer.run_patiently(|tx| note(tx, "patient")));
        let urgent = [0, 1, 2].map(|_| writer.run(|tx| note(tx, "urgent")));
        let all_wait = async {
            while (writer.patient.capacity(), writer.urgent.capacity())
                != (QUEUE_MAX - 2, QUEUE_MAX - 3)
            {
                tokio::task::yield_now().await;
            }
            has_begun.recv().unwrap();
            go_on.send(()).unwrap();
        };
        let [one, other] = patient;
        let [a, b, c] = urgent;
        let (first, one, other, a, b, c, ()) = tokio::join!(first, one, other, a, b, c, all_wait);
        for answer in [first, one, other, a, b, c] {
            answer.unwrap();
        }
        // The second of those that can wait has waited for the next.
        assert_eq!(commits.load(Ordering::Relaxed), 3);
        let noted = writer.run(|tx| {
            let mut all = tx.0.prepare("SELECT what FROM noted").unwrap();
            let all = all.query_map([], |row| row.get(0)).unwrap();
            Ok(all.map(Result::unwrap).collect::<Vec<String>>())
        });
        let expected = "alone first urgent urgent urgent patient patient";
        assert_eq!(noted.await.unwrap().join(" "), expected);
    }
}
