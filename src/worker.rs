//! Working the backlog: claim what is due, run the pipeline, settle what came of it.
//!
//! Never here: what a failure means (`pipeline`'s table says), or what a stage does.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};

use crate::model::chain::chain;
use crate::model::id::PbxName;
use crate::model::job::{PAUSE_MAX, Schedule};
use crate::model::time::UtcMs;
use crate::pipeline::{self, Archived, Disposition, StageError, World};
use crate::store::attempts::Failure;
use crate::store::recordings::{self, Claim};
use crate::store::{Error, Tx, transitions};

/// How soon work is noticed that another process made.
const POLL: Duration = Duration::from_millis(500);
/// A lease is released when its process is gone, at the next start; its time is for people.
const LEASE: Duration = Duration::from_secs(3600);
const SETTLE_PAUSE: Duration = Duration::from_secs(1);

/// How one PBX's recordings are worked.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Downloads at a time.
    pub concurrency: usize,
    /// How long the PBX keeps its files: giving up is not thought of before.
    pub source_keeps: Duration,
}

pub struct Worker {
    world: Arc<World>,
    workers: usize,
    limits: BTreeMap<PbxName, Limits>,
    schedule: Schedule,
}

type Outcome = Result<Archived, StageError>;

/// What runs now.
#[derive(Default)]
struct Running {
    tasks: JoinSet<Outcome>,
    claims: HashMap<Id, Claim>,
}

impl Worker {
    pub fn new(
        world: Arc<World>,
        workers: usize,
        limits: BTreeMap<PbxName, Limits>,
        schedule: Schedule,
    ) -> Worker {
        Worker {
            world,
            workers,
            limits,
            schedule,
        }
    }

    /// Works until `stop`; then lets what runs finish for `drain`, and hands the rest back.
    pub async fn run(&self, enqueued: &Notify, stop: impl Future<Output = ()>, drain: Duration) {
        let mut running = Running::default();
        tokio::pin!(stop);
        loop {
            if let Err(error) = self.start_due(&mut running).await {
                tracing::error!(error = chain(&error), "claiming recordings failed");
            }
            tokio::select! {
                Some(done) = running.tasks.join_next_with_id() => {
                    self.finish(&mut running, done).await;
                }
                () = enqueued.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                () = &mut stop => break,
            }
        }
        self.drain(running, drain).await;
    }

    async fn start_due(&self, running: &mut Running) -> Result<(), Error> {
        let free = self.workers.saturating_sub(running.claims.len());
        if free == 0 {
            return Ok(());
        }
        let now = self.world.clock.now();
        let due = self.world.store.read(|db| recordings::next_due(db)).await?;
        if due.is_none_or(|due| due > now) {
            return Ok(());
        }
        let mut room = self.room(running);
        let claimed = self
            .world
            .store
            .write(move |tx| claim(tx, now, free, &mut room))
            .await?;
        for claim in claimed {
            let (world, job) = (self.world.clone(), claim.clone());
            let task = running
                .tasks
                .spawn(async move { pipeline::archive(&world, job).await });
            running.claims.insert(task.id(), claim);
        }
        Ok(())
    }

    /// How many more recordings of each PBX may be worked on.
    fn room(&self, running: &Running) -> BTreeMap<PbxName, usize> {
        let mut room: BTreeMap<PbxName, usize> = self
            .limits
            .iter()
            .map(|(pbx, limits)| (pbx.clone(), limits.concurrency))
            .collect();
        for claim in running.claims.values() {
            if let Some(left) = room.get_mut(&claim.id.pbx) {
                *left = left.saturating_sub(1);
            }
        }
        room
    }

    async fn finish(
        &self,
        running: &mut Running,
        done: Result<(Id, Outcome), tokio::task::JoinError>,
    ) {
        let id = done.as_ref().map_or_else(|error| error.id(), |(id, _)| *id);
        let Some(claim) = running.claims.remove(&id) else {
            return;
        };
        match done {
            Ok((_, outcome)) => self.settle(&claim, outcome).await,
            Err(error) => {
                tracing::error!(recording = %claim.id, %error, "a recording's task panicked");
                let panicked = Failure {
                    stage: "pipeline",
                    code: "panicked",
                    error: "the program panicked on this recording".to_owned(),
                };
                self.write_settled(&claim, Settled::Wait(panicked, None))
                    .await;
            }
        }
    }

    async fn settle(&self, claim: &Claim, outcome: Outcome) {
        let error = match outcome {
            Ok(archived) => {
                tracing::info!(recording = %claim.id, attempt = claim.attempt, "archived");
                if let Err(error) = archived.release(&self.world.spool).await {
                    // It goes at the next start.
                    tracing::warn!(recording = %claim.id, error = chain(&error), "local copy stays");
                }
                return;
            }
            Err(error) => error,
        };
        let failure = Failure {
            stage: error.stage(),
            code: error.code(),
            error: chain(&error),
        };
        let settled = match error.disposition() {
            Disposition::Retry if self.is_past(claim) => Settled::GiveUp(failure),
            Disposition::Retry => Settled::Wait(failure, None),
            Disposition::Later(after) => Settled::Wait(failure, after),
            Disposition::Permanent => Settled::GiveUp(failure),
            Disposition::Interrupted => Settled::HandBack,
        };
        self.write_settled(claim, settled).await;
    }

    /// The PBX keeps this file no longer.
    fn is_past(&self, claim: &Claim) -> bool {
        let limits = self.limits.get(&claim.id.pbx);
        limits
            .is_some_and(|limits| self.world.clock.now() >= claim.window.plus(limits.source_keeps))
    }

    /// Until it is written the recording stays leased, so it is tried until it is.
    async fn write_settled(&self, claim: &Claim, settled: Settled) {
        let seed = (claim.row as u64) << 20 ^ u64::from(claim.attempt);
        let pause = self.schedule.pause(claim.attempt, seed);
        settled.log(claim);
        while self.world.store.is_alive() {
            let (claim, settled, now) = (claim.clone(), settled.clone(), self.world.clock.now());
            let write = move |tx: &mut Tx| settled.write(tx, &claim, now, pause);
            match self.world.store.write(write).await {
                Ok(()) | Err(Error::LeaseLost(_)) => return,
                Err(error) => tracing::error!(error = chain(&error), "settling failed"),
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
    }

    async fn drain(&self, mut running: Running, drain: Duration) {
        let finish_all = async {
            while let Some(done) = running.tasks.join_next_with_id().await {
                self.finish(&mut running, done).await;
            }
        };
        if tokio::time::timeout(drain, finish_all).await.is_ok() {
            return;
        }
        running.tasks.shutdown().await;
        for claim in running.claims.values() {
            self.write_settled(claim, Settled::HandBack).await;
        }
    }
}

/// Claims in one transaction what may run now.
fn claim(
    tx: &mut Tx,
    now: UtcMs,
    most: usize,
    room: &mut BTreeMap<PbxName, usize>,
) -> Result<Vec<Claim>, Error> {
    let mut claimed = Vec::new();
    while claimed.len() < most {
        let full = room.iter().filter(|(_, left)| **left == 0);
        let full: Vec<PbxName> = full.map(|(pbx, _)| pbx.clone()).collect();
        let Some(claim) = recordings::claim(tx, now, now.plus(LEASE), &full)? else {
            break;
        };
        if let Some(left) = room.get_mut(&claim.id.pbx) {
            *left -= 1;
        }
        claimed.push(claim);
    }
    Ok(claimed)
}

/// What becomes of a recording that was not archived.
#[derive(Debug, Clone)]
enum Settled {
    /// Tried again after the schedule's pause, and not before the given one.
    Wait(Failure, Option<Duration>),
    GiveUp(Failure),
    HandBack,
}

impl Settled {
    fn write(&self, tx: &mut Tx, claim: &Claim, now: UtcMs, pause: Duration) -> Result<(), Error> {
        match self {
            Settled::Wait(failure, after) => {
                let pause = pause
                    .max(after.unwrap_or_default())
                    .min(PAUSE_MAX.max(pause));
                transitions::wait(tx, claim, now.plus(pause), failure, now)
            }
            Settled::GiveUp(failure) => transitions::give_up(tx, claim, failure, now),
            Settled::HandBack => transitions::hand_back(tx, claim, now),
        }
    }

    fn log(&self, claim: &Claim) {
        let (recording, attempt) = (&claim.id, claim.attempt);
        match self {
            Settled::Wait(Failure { code, error, .. }, _) => {
                tracing::warn!(%recording, attempt, code, error, "not archived yet");
            }
            Settled::GiveUp(Failure { code, error, .. }) => {
                tracing::error!(%recording, attempt, code, error, "given up");
            }
            Settled::HandBack => tracing::info!(%recording, attempt, "handed back"),
        }
    }
}
