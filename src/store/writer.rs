//! The one writer: a thread that owns the connection, behind bounded queues.
//!
//! A disk syncs a few hundred times a second, so whatever waits is committed together: one
//! transaction, a savepoint an operation, replies only after COMMIT. What can wait goes along with
//! what cannot. Never here: SQL of a table.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::in_place::InPlace;
use super::{Error, Tx, execute};
use crate::failpoint::{self, Effect};

const QUEUE_MAX: usize = 4096;
const BATCH_MAX: usize = 512;
/// Of an operation that can wait, for one that cannot.
const PATIENCE_MAX: Duration = Duration::from_millis(10);
/// Shorter ones cost more than they bring.
const BREATH_MIN: Duration = Duration::from_micros(200);
const BREATH_MAX: Duration = Duration::from_millis(1);

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
        queue(&self.urgent, operation).await
    }

    /// In a transaction that somebody else waits for, if there is one soon.
    pub async fn run_patiently<T, F>(&self, operation: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx) -> Result<T, Error> + Send + 'static,
    {
        queue(&self.patient, operation).await
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
    F: FnOnce(&mut Tx) -> Result<T, Error> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let operation: Operation = Box::new(move |connection| {
        let outcome = connection.map_or(Err(Error::NotBegun), |connection| {
            in_savepoint(connection, operation)
        });
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
    let answer = catch_unwind(AssertUnwindSafe(|| operation(&mut Tx(connection))));
    let answer = answer.unwrap_or(Err(Error::Panicked));
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

/// What waits for its transaction.
struct Queues {
    urgent: mpsc::Receiver<Operation>,
    patient: mpsc::Receiver<Operation>,
}

/// How the last transaction went.
#[derive(Default)]
struct Pace {
    /// Its commit, and so mostly the disk's sync.
    took: Duration,
    urgent: usize,
}

impl Pace {
    /// Those who were answered together ask again together: a little patience, where a commit takes
    /// long, spares half of them a whole one.
    fn breath(&self, waiting: usize) -> Option<Duration> {
        let breath = (self.took / 8).min(BREATH_MAX);
        (breath >= BREATH_MIN && waiting < self.urgent).then_some(breath)
    }
}

impl Queues {
    /// Waits until there is something to do; none where nobody can ask any more.
    async fn next(&mut self, pace: &Pace) -> Option<Batch<'_>> {
        let (urgent, patient) = tokio::select! {
            biased;
            urgent = self.urgent.recv() => (Some(urgent?), None),
            patient = self.patient.recv() => {
                let patience = (pace.took / 2).min(PATIENCE_MAX);
                let urgent = tokio::time::timeout(patience, self.urgent.recv()).await;
                (urgent.ok().flatten(), Some(patient?))
            }
        };
        let is_patient_due = patient.is_none();
        Some(Batch {
            queues: self,
            urgent,
            patient,
            is_patient_due,
            urgents: 0,
        })
    }
}

/// The operations of one transaction. What comes while it lasts is taken along, and one of those
/// that can wait.
struct Batch<'q> {
    queues: &'q mut Queues,
    urgent: Option<Operation>,
    patient: Option<Operation>,
    is_patient_due: bool,
    /// So many were taken.
    urgents: usize,
}

impl Batch<'_> {
    fn waiting(&self) -> usize {
        usize::from(self.urgent.is_some()) + self.queues.urgent.len()
    }

    fn next_urgent(&mut self) -> Option<Operation> {
        if self.urgents == BATCH_MAX {
            return None;
        }
        let next = self.urgent.take();
        let next = next.or_else(|| self.queues.urgent.try_recv().ok())?;
        self.urgents += 1;
        Some(next)
    }

    fn next_patient(&mut self) -> Option<Operation> {
        let next = self.patient.take();
        next.or_else(|| {
            let is_due = std::mem::take(&mut self.is_patient_due);
            is_due
                .then(|| self.queues.patient.try_recv().ok())
                .flatten()
        })
    }
}

impl Iterator for Batch<'_> {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        self.next_urgent().or_else(|| self.next_patient())
    }
}

fn work(connection: Connection, mut queues: Queues, life: watch::Sender<bool>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a timer can be made while the program starts");
    let (mut pace, mut in_place) = (Pace::default(), InPlace::of(&connection));
    while let Some(mut batch) = runtime.block_on(queues.next(&pace)) {
        if let Some(breath) = pace.breath(batch.waiting()) {
            std::thread::sleep(breath);
        }
        match commit_together(&connection, &mut in_place, &mut batch) {
            Ok(took) => {
                let urgent = batch.urgents;
                pace = Pace { took, urgent };
            }
            Err(fatal) => {
                tracing::error!(error = %fatal, "the index failed to commit; no more writes are taken");
                break;
            }
        }
    }
    // What still waits is dropped, so that each caller hears that nothing was written.
    drop(queues);
    let _ = life.send(false);
}

/// One transaction for all; tells how long its commit took. An error return means the disk can no
/// longer be believed.
fn commit_together(
    connection: &Connection,
    in_place: &mut InPlace,
    batch: impl Iterator<Item = Operation>,
) -> Result<Duration, Failure> {
    let mut replies: Vec<Reply> = Vec::new();
    let mut fate = stepped(connection, "BEGIN IMMEDIATE");
    for operation in batch {
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
    let took = began.elapsed();
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
        _ => Ok(took),
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
