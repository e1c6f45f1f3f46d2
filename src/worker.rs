//! Working the backlog: claim what is due, run the pipeline, settle what came of it.
//!
//! Never here: what a failure means (`pipeline`'s table says), or what a stage does.

mod choosing;
mod gates;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};

use crate::clock::Mark;
use crate::failpoint::{self, Effect};
use crate::model::chain::chain;
use crate::model::doubt::Kept;
use crate::model::id::PbxName;
use crate::model::job::{PAUSE_MAX, Schedule};
use crate::model::time::UtcMs;
use crate::pipeline::table::Code;
use crate::pipeline::{self, Disposition, StageError, World};
use crate::store::attempts::Failure;
use crate::store::away::{self, Away};
use crate::store::claims::{self, Claim};
use crate::store::{Error, Tx, transitions};

use choosing::{Chosen, Permits, Places, Queue, choose};
use gates::Gates;

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

/// How the backlog is worked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Recordings at a time, over all PBXs.
    pub workers: usize,
    pub limits: BTreeMap<PbxName, Limits>,
    pub schedule: Schedule,
    /// The pause before a body in doubt is fetched again.
    pub recheck_doubtful: Duration,
}

#[derive(Clone)]
pub struct Worker {
    world: Arc<World>,
    plan: Arc<Plan>,
    /// How often it looked at the backlog or tried to settle: it gets on.
    turns: Arc<AtomicU64>,
    gates: Arc<Mutex<Gates>>,
}

/// What runs now.
#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    claims: HashMap<Id, Claim>,
    /// Claims so far, and the last of each PBX.
    claimed: u64,
    last: BTreeMap<PbxName, u64>,
    /// All places were filled when it was last looked.
    may_be_more: bool,
}

impl Worker {
    pub fn new(world: Arc<World>, plan: Plan, turns: Arc<AtomicU64>) -> Worker {
        let gates = Arc::new(Mutex::new(Gates::new(plan.limits.keys())));
        Worker {
            world,
            plan: Arc::new(plan),
            turns,
            gates,
        }
    }

    fn gates(&self) -> MutexGuard<'_, Gates> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until `stop`; then lets what runs finish for `drain`, and hands the rest back.
    pub async fn run(&self, enqueued: &Notify, stop: impl Future<Output = ()>, drain: Duration) {
        let mut running = Running::default();
        tokio::pin!(stop);
        loop {
            self.turns.fetch_add(1, Ordering::Relaxed);
            let idle = self.start_due(&mut running).await.unwrap_or_else(|error| {
                tracing::error!(error = chain(&error), "claiming recordings failed");
                POLL
            });
            tokio::select! {
                Some(done) = running.tasks.join_next_with_id() => {
                    self.finish(&mut running, done).await;
                    // All that have ended by now make room for one claim together: each is a commit.
                    while let Some(done) = running.tasks.try_join_next_with_id() {
                        self.finish(&mut running, done).await;
                    }
                }
                () = enqueued.notified() => {}
                () = tokio::time::sleep(idle) => {}
                () = &mut stop => break,
            }
        }
        self.drain(running, drain).await;
    }

    /// Starts what is due and returns how long nothing more will be.
    async fn start_due(&self, running: &mut Running) -> Result<Duration, Error> {
        let free = self.plan.workers.saturating_sub(running.claims.len());
        let mark = self.world.clock.mark();
        if free == 0 {
            return Ok(POLL);
        }
        if self.world.clock.followed().set_until(mark).is_some() {
            // What is due, and since when, is known again as soon as the index has followed.
            return Ok(POLL);
        }
        let now = mark.wall;
        let (rest, is_news) = {
            let mut gates = self.gates();
            let is_news = gates.take_news() || !gates.back(mark).is_empty();
            (gates.rest(mark).unwrap_or(POLL), is_news)
        };
        if !is_news && !rest.is_zero() && !running.may_be_more {
            let wait = self.next_due(now).await?.min(rest);
            if !wait.is_zero() {
                return Ok(wait.min(POLL));
            }
        }
        let (queues, workers) = (self.queues(running), self.plan.workers);
        let (places, worker) = (Places { free, workers }, self.clone());
        let chosen = self.world.store.write(move |tx| {
            // As it stands by then: what the index says of it is of no later time.
            let permits = Permits::at(&worker.gates(), mark);
            choose(tx, now, places, queues, permits)
        });
        failpoint::before(Effect::Claim);
        let chosen = chosen.await?;
        failpoint::after(Effect::Claim);
        running.may_be_more = chosen.claims.len() == free;
        self.start(running, chosen, mark);
        Ok(if rest.is_zero() { POLL } else { rest.min(POLL) })
    }

    /// How long nothing falls due.
    async fn next_due(&self, now: UtcMs) -> Result<Duration, Error> {
        let pbxs: Vec<PbxName> = self.plan.limits.keys().cloned().collect();
        let read = self
            .world
            .store
            .read(move |db| claims::next_due(db, &pbxs, now));
        let wait_ms = read
            .await?
            .map_or(i64::MAX, |due| due.0.saturating_sub(now.0));
        Ok(Duration::from_millis(wait_ms.max(0) as u64))
    }

    fn start(&self, running: &mut Running, chosen: Chosen, mark: Mark) {
        for party in &chosen.asked {
            self.gates().asked(party);
        }
        for claim in chosen.claims {
            self.gates().started(&claim, mark);
            running.claimed += 1;
            running.last.insert(claim.id.pbx.clone(), running.claimed);
            let task = running.tasks.spawn(self.clone().work(claim.clone(), mark));
            running.claims.insert(task.id(), claim);
        }
        let mut gates = self.gates();
        chosen
            .recalled
            .iter()
            .for_each(|party| gates.recalled(party, mark));
        for party in &chosen.not_needed {
            gates.not_needed(party, self.world.clock.mark());
        }
    }

    fn queues(&self, running: &Running) -> Vec<Queue> {
        let queue = |(pbx, limits): (&PbxName, &Limits)| Queue {
            pbx: pbx.clone(),
            running: running
                .claims
                .values()
                .filter(|claim| claim.id.pbx == *pbx)
                .count(),
            last: running.last.get(pbx).copied().unwrap_or_default(),
            limits: limits.clone(),
        };
        self.plan.limits.iter().map(queue).collect()
    }

    /// Frees a recording's place.
    async fn finish(&self, running: &mut Running, done: Result<(Id, ()), JoinError>) {
        let id = done.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let Some(claim) = running.claims.remove(&id) else {
            return;
        };
        self.gates().ended(claim.row, self.world.clock.mark());
        // The error quotes the words of the panic, which are the panic hook's to weigh.
        if done.is_err() {
            tracing::error!(recording = %claim.id, "a recording's task panicked");
            let panicked = Failure {
                stage: "pipeline",
                code: Code::Panicked.row().code,
                error: Code::Panicked.row().means.to_owned(),
            };
            let wait = Settled::Wait(panicked, self.pause(&claim));
            self.write_settled(&claim, wait, None).await;
        }
    }

    /// A recording's own task: all the way, or what becomes of it instead. Settled here, so that no
    /// other recording waits for it.
    async fn work(self, claim: Claim, claimed: Mark) {
        match archive(&self.world, claim.clone()).await {
            Ok(()) => self.gates().archived(&claim, self.world.clock.mark()),
            Err(error) => self.settle(&claim, claimed, error).await,
        }
    }

    async fn settle(&self, claim: &Claim, claimed: Mark, error: StageError) {
        let failure = Failure {
            stage: error.stage(),
            code: error.code().row().code,
            error: chain(&error),
        };
        let of = error.code().row().of;
        let now = self.world.clock.mark();
        let away = self.gates().failed((claim, claimed), (of, &failure), now);
        let settled = match error.disposition() {
            Disposition::Retry | Disposition::Recheck if self.is_past(claim, claimed) => {
                Settled::TakeKeptOrGiveUp(failure)
            }
            Disposition::Retry => Settled::Wait(failure, self.pause(claim)),
            Disposition::Recheck => Settled::Wait(failure, self.recheck(claim, claimed)),
            Disposition::Later(after) => {
                let pause = self.pause(claim).max(after.unwrap_or_default());
                Settled::Wait(failure, pause.min(PAUSE_MAX))
            }
            Disposition::Permanent => Settled::GiveUp(failure),
            Disposition::Interrupted => Settled::HandBack,
        };
        self.write_settled(claim, settled, away).await;
    }

    fn pause(&self, claim: &Claim) -> Duration {
        let seed = (claim.row as u64).rotate_left(20) ^ u64::from(claim.attempt);
        self.plan.schedule.pause(claim.attempt, seed)
    }

    /// One that was another body each time, for an hour or for days, is asked for less and less.
    fn recheck(&self, claim: &Claim, claimed: Mark) -> Duration {
        let first = self.plan.recheck_doubtful;
        if claim.kept != Some(Kept::Doubtful) {
            return first;
        }
        let now = claimed.carried_to(self.world.clock.mark());
        let age_ms = u64::try_from(now.0.saturating_sub(claim.window.0)).unwrap_or(0);
        let pause = Duration::from_millis(age_ms) / 10;
        pause.min(PAUSE_MAX).max(first)
    }

    /// The PBX keeps this file no longer, also if the clock was set since it was claimed.
    fn is_past(&self, claim: &Claim, claimed: Mark) -> bool {
        let now = claimed.carried_to(self.world.clock.mark());
        let limits = self.plan.limits.get(&claim.id.pbx);
        limits.is_some_and(|limits| now >= claim.window.plus(limits.source_keeps))
    }

    /// Until it is written the recording stays leased, so it is tried until it is.
    async fn write_settled(&self, claim: &Claim, settled: Settled, away: Option<Away>) {
        settled.log(claim);
        while self.world.store.is_alive() {
            self.turns.fetch_add(1, Ordering::Relaxed);
            let (claim, settled, now) = (claim.clone(), settled.clone(), self.world.clock.now());
            let (away, worker) = (away.clone(), self.clone());
            let write = move |tx: &mut Tx| {
                // It may be back by now, and seen to be.
                let is_so = |away: &&Away| worker.gates().is_away(&away.party);
                let away = away.as_ref().filter(is_so);
                away.map_or(Ok(()), |away| away::note(tx, away))?;
                settled.write(tx, &claim, now)
            };
            failpoint::before(Effect::Settle);
            let written = self.world.store.write(write).await;
            failpoint::after(Effect::Settle);
            match written {
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
            self.write_settled(claim, Settled::HandBack, None).await;
        }
    }
}

/// All the way, and then the local copy goes.
async fn archive(world: &World, claim: Claim) -> Result<(), StageError> {
    let (id, attempt) = (claim.id.clone(), claim.attempt);
    let archived = pipeline::archive(world, claim).await?;
    tracing::info!(recording = %id, attempt, "archived");
    if let Err(error) = archived.release(&world.spool).await {
        // It goes at the next start.
        tracing::warn!(recording = %id, error = chain(&error), "local copy stays");
    }
    Ok(())
}

/// What becomes of a recording that was not archived.
#[derive(Debug, Clone)]
enum Settled {
    /// Tried again after a pause.
    Wait(Failure, Duration),
    /// The PBX keeps it no longer: the best body there is, or none.
    TakeKeptOrGiveUp(Failure),
    GiveUp(Failure),
    HandBack,
}

impl Settled {
    fn write(&self, tx: &mut Tx, claim: &Claim, now: UtcMs) -> Result<(), Error> {
        match self {
            Settled::Wait(failure, pause) => {
                transitions::wait(tx, claim, now.plus(*pause), failure, now)
            }
            Settled::TakeKeptOrGiveUp(failure) => {
                transitions::take_kept_or_give_up(tx, claim, failure, now)
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
            Settled::TakeKeptOrGiveUp(Failure { code, error, .. }) => {
                tracing::error!(
                    %recording, attempt, code, error,
                    "the PBX keeps it no longer: archived as far as it came, or given up"
                );
            }
            Settled::GiveUp(Failure { code, error, .. }) => {
                tracing::error!(%recording, attempt, code, error, "given up");
            }
            Settled::HandBack => tracing::info!(%recording, attempt, "handed back"),
        }
    }
}
