//! The service: open → recover → bind → ready → run → drain.
//!
//! Never here: how any of it is done.

mod apart;
mod listen;
mod lock;
mod parts;
mod progress;
mod recover;
pub mod sockets;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::Settings;
use crate::failpoint::{self, Effect};
use crate::http::hook::{Door, Refusals};
use crate::http::tls::Tls;
use crate::http::{self, hook};
use crate::model::chain::chain;
use crate::model::id::PbxName;
use crate::pipeline::World;
use crate::store::Store;
use crate::upkeep;
use crate::upkeep::compare::Comparer;
use crate::upkeep::foretell::Foreteller;
use crate::upkeep::probe::Prober;
use crate::worker::Worker;

use apart::Apart;
use listen::Listeners;
use parts::{api, lookouts, plan, world};
use progress::Progress;
use sockets::Sockets;

pub use parts::correlator;

/// SIGTERM to exit takes ten seconds at most: running uploads and downloads get most of it.
const DRAIN_JOBS: Duration = Duration::from_secs(6);
const STOP_MAX: Duration = Duration::from_secs(8);
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// Where the index lies.
pub fn index_path(settings: &Settings) -> PathBuf {
    settings.data_dir.join("index.sqlite")
}

/// Fails, naming the process, where one works this directory already.
pub fn refuse_a_second(data_dir: &Path) -> anyhow::Result<()> {
    lock::Lock::take(data_dir).map(drop)
}

/// The service, running.
pub struct Service {
    pub hook: SocketAddr,
    pub admin: SocketAddr,
    store: Store,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    clock: Clock,
    refusals: Arc<Refusals>,
    tls: Option<Arc<Tls>>,
    doors: Arc<BTreeMap<PbxName, Door>>,
    progress: Progress,
    apart: Apart,
    _lock: lock::Lock,
}

impl Service {
    /// Returns once it is ready: what is left of an earlier life is settled, both addresses are
    /// bound and written to `listen.json`.
    pub async fn start(
        settings: &Settings,
        clock: Clock,
        sockets: Sockets,
    ) -> anyhow::Result<Service> {
        let lock = lock::Lock::take(&settings.data_dir)?;
        let store = Store::open(&index_path(settings))?;
        let (world, prober) = world(settings, store.clone(), clock.clone()).await?;
        recover::recover(&world).await?;
        let listeners = Listeners::open(settings, sockets)?;
        let (hook, admin) = (listeners.hook.local_addr(), listeners.admin.local_addr());

        let (stop, stopped) = watch::channel(false);
        let (logged, enqueued) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (refusals, progress) = (Arc::new(Refusals::default()), Progress::default());
        let doors = Arc::new(listen::doors(settings));
        let receiver = parts::hook(&world, doors.clone(), logged.clone(), refusals.clone());
        let routes = hook::routes(Arc::new(receiver));
        let (apart, mut tasks) = (Apart::new()?, JoinSet::new());
        let serving = listeners
            .hook
            .serve(routes, listeners.hook_limits, until(stopped.clone()));
        tasks.spawn_on(serving, &apart.handle());
        let routes = http::admin(Arc::new(api(settings, &world)));
        let serving = listeners
            .admin
            .serve(routes, listeners.admin_limits, until(stopped.clone()));
        tasks.spawn(serving);
        let correlator = correlator(settings, &store);
        let (heard, told, turns) = (
            logged.clone(),
            enqueued.clone(),
            progress.correlator.clone(),
        );
        let reading = async move { correlator.run(&heard, &told, &turns).await };
        tasks.spawn(unless(until(stopped.clone()), reading));
        let worker = Worker::new(world.clone(), plan(settings), progress.worker.clone());
        tasks.spawn(work(
            world.clone(),
            worker,
            prober,
            enqueued,
            stopped.clone(),
        ));
        for (foreteller, comparer) in lookouts(settings, &world) {
            let looking = look_out(foreteller, comparer, logged.clone());
            tasks.spawn(unless(until(stopped.clone()), looking));
        }
        tasks.spawn(care(
            store.clone(),
            clock.clone(),
            refusals.clone(),
            until(stopped),
        ));
        tracing::info!(%hook, %admin, store = world.objects.describe(), "ready");
        Ok(Service {
            hook,
            admin,
            store,
            stop,
            tasks,
            clock,
            refusals,
            tls: listeners.tls,
            doors,
            progress,
            apart,
            _lock: lock,
        })
    }

    /// Takes the certificate and the hook secrets of changed settings, all or nothing.
    pub fn reload(&self, settings: &Settings) -> anyhow::Result<()> {
        listen::reload(settings, self.tls.as_deref(), &self.doors)
    }

    /// Calls `feed` at least once an `interval` for as long as all parts of the pipeline get on.
    pub fn feed_watchdog<F: Fn() + Send + 'static>(
        &self,
        interval: Duration,
        feed: F,
    ) -> impl Future<Output = ()> + Send + use<F> {
        let (store, hook) = (self.store.clone(), self.apart.handle());
        progress::feed(self.progress.clone(), store, hook, interval, feed)
    }

    /// Resolves, with the reason, when the service cannot go on and the process must end: the index
    /// takes no more writes, or a part of the service ended by itself.
    pub async fn died(&mut self) -> &'static str {
        tokio::select! {
            () = self.store.died() => "the index takes no more writes after an I/O error",
            Some(ended) = self.tasks.join_next() => match ended {
                Ok(()) => "a part of the service ended by itself",
                Err(_) => "a part of the service panicked",
            }
        }
    }

    /// Takes no more work, finishes or hands back what runs, and ends, within ten seconds: what is
    /// not settled then is settled at the next start.
    pub async fn stop(mut self) {
        // Nobody listening any more means that all have ended.
        let _ = self.stop.send(true);
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_MAX, drained).await.is_err() {
            tracing::warn!("stopped before all was settled; the next start settles it");
            self.tasks.shutdown().await;
        }
        let last_words = async {
            upkeep::keep_refusals(&self.store, &self.clock, self.refusals.take()).await;
            upkeep::beat(&self.store, &self.clock).await;
        };
        // An index that cannot be written now is no reason to stay.
        let _ = tokio::time::timeout(LAST_WORDS_MAX, last_words).await;
    }
}

/// Works, and tries the store beside that: until it is known, nothing is believed of it. What an
/// earlier life left in it is swept first; of a directory before anything new is written to it, of a
/// bucket while recordings are downloaded already, for it may be away.
async fn work(
    world: Arc<World>,
    worker: Worker,
    prober: Prober,
    enqueued: Arc<Notify>,
    stopped: watch::Receiver<bool>,
) {
    let sweep = async {
        failpoint::before(Effect::StoreSweep);
        let swept = world.objects.sweep().await;
        failpoint::after(Effect::StoreSweep);
        match swept {
            Ok(0) => {}
            Ok(temporaries) => tracing::info!(temporaries, "the store was swept"),
            Err(error) => tracing::warn!(error = chain(&error), "the store was not swept"),
        }
    };
    let sweep = unless(until(stopped.clone()), sweep);
    let probing = unless(until(stopped.clone()), prober.run());
    let working = worker.run(&enqueued, until(stopped), DRAIN_JOBS);
    match world.objects.is_directory() {
        true => {
            sweep.await;
            tokio::join!(working, probing);
        }
        false => {
            let tried = async {
                sweep.await;
                probing.await;
            };
            tokio::join!(working, tried);
        }
    }
}

/// Counts, heartbeats, and an eye on the clock.
async fn care(store: Store, clock: Clock, refusals: Arc<Refusals>, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let mut beaten = clock.followed().wall;
    loop {
        tokio::select! {
            () = tokio::time::sleep(upkeep::PERIOD) => {}
            () = &mut stop => return,
        }
        upkeep::keep_refusals(&store, &clock, refusals.take()).await;
        upkeep::follow_clock(&store, &clock).await;
        let now = clock.now();
        if now >= beaten.plus(upkeep::BEAT) || now < beaten {
            upkeep::beat(&store, &clock).await;
            beaten = now;
        }
    }
}

/// Looks for recordings of a PBX that were never announced, and again at those that were twice. Runs
/// until dropped.
async fn look_out(foreteller: Foreteller, comparer: Comparer, logged: Arc<Notify>) {
    loop {
        tokio::time::sleep(upkeep::PERIOD).await;
        if let Err(error) = comparer.look().await {
            tracing::warn!(
                error = chain(&error),
                "what was announced again was not compared"
            );
        }
        match foreteller.look().await {
            Ok(true) => logged.notify_one(),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "overdue recordings were not looked for"
                );
            }
        }
    }
}

/// Work that may be dropped at any point.
async fn unless(stop: impl Future<Output = ()>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = stop => {}
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // The sender is gone only when the service is.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
