//! What the service is made of, as the settings say.
//!
//! Never here: running any of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use crate::catalog::listen::Shelf;
use crate::catalog::peaks;
use crate::clock::Clock;
use crate::config::{self, Settings};
use crate::correlate::{self, Correlator};
use crate::http::api::{Api, Gate};
use crate::http::hook::{Door, Hook, Refusals};
use crate::model::id::PbxName;
use crate::model::promise::Facts;
use crate::objects::ObjectStore;
use crate::pipeline::{Source, World};
use crate::spool::Spool;
use crate::store::{Store, status};
use crate::upkeep::compare::Comparer;
use crate::upkeep::foretell::Foreteller;
use crate::upkeep::probe::Prober;
use crate::worker::{self, Plan};
use crate::{pbx, pipeline};

/// What the stages work with, and what tells them all along which store it is.
pub(super) async fn world(
    settings: &Settings,
    store: Store,
    clock: Clock,
) -> anyhow::Result<(Arc<World>, Prober)> {
    let (learned, known) = watch::channel(Facts::default());
    let spool = Spool::open(
        &settings.data_dir.join("spool"),
        settings.archive.spool_reserve_bytes,
    )?;
    let mut pbxs = BTreeMap::new();
    for pbx in &settings.pbxs {
        let source = Source {
            client: pbx::Client::new(pbx).await?,
            zone: pbx.timezone.clone(),
        };
        pbxs.insert(pbx.name.clone(), source);
    }
    let objects = ObjectStore::open(&settings.store).await;
    let holds = store.read(|reader| status::has_archived(reader)).await?;
    objects.make_ready(holds).await;
    let object_lock = settings.store.object_lock();
    let prober = Prober {
        store: store.clone(),
        clock: clock.clone(),
        objects: objects.clone(),
        lock: object_lock.map(|wanted| wanted.mode),
        schedule: settings.archive.retry.clone(),
        learned,
    };
    let world = World {
        clock,
        store,
        spool,
        objects,
        pbxs,
        key: settings.archive.key.clone(),
        object_lock,
        known,
    };
    Ok((Arc::new(world), prober))
}

pub(super) fn hook(
    world: &World,
    pbxs: Arc<BTreeMap<PbxName, Door>>,
    logged: Arc<Notify>,
    refusals: Arc<Refusals>,
) -> Hook {
    Hook {
        store: world.store.clone(),
        clock: world.clock.clone(),
        pbxs,
        logged,
        refusals,
    }
}

pub(super) fn api(settings: &Settings, world: &World) -> Api {
    Api {
        store: world.store.clone(),
        shelf: Shelf::new(world.objects.clone()),
        settings: Arc::new(settings.clone()),
        clock: world.clock.clone(),
        gate: Gate::default(),
        peaks: peaks::Cache::default(),
        explain: pipeline::table::explain,
    }
}

/// Reads the log as the settings say.
pub fn correlator(settings: &Settings, store: &Store) -> Correlator {
    let pbxs = settings.pbxs.iter().map(|pbx| {
        let known = correlate::Pbx {
            vendor: pbx.vendor,
            zone: pbx.timezone.clone(),
        };
        (pbx.name.clone(), known)
    });
    Correlator::new(store.clone(), pbxs, settings.archive.wait_for_late_events)
}

pub(super) fn plan(settings: &Settings) -> Plan {
    let limits = |pbx: &config::Pbx| worker::Limits {
        concurrency: pbx.concurrency,
        source_keeps: pbx.source_keeps,
    };
    let archive = &settings.archive;
    Plan {
        workers: archive.workers,
        limits: settings
            .pbxs
            .iter()
            .map(|pbx| (pbx.name.clone(), limits(pbx)))
            .collect(),
        schedule: archive.retry.clone(),
        recheck_doubtful: archive.recheck_doubtful,
    }
}

/// One for each PBX: another that hangs must not hold it up.
pub(super) fn lookouts(settings: &Settings, world: &World) -> Vec<(Foreteller, Comparer)> {
    let lookout = |pbx: &config::Pbx| {
        let client = &world.pbxs.get(&pbx.name)?.client;
        let foreteller = Foreteller {
            store: world.store.clone(),
            clock: world.clock.clone(),
            spool: world.spool.clone(),
            pbx: pbx.name.clone(),
            vendor: pbx.vendor,
            client: client.clone(),
            not_recorded: pbx.not_recorded.clone(),
            source_keeps: pbx.source_keeps,
        };
        let comparer = Comparer {
            store: world.store.clone(),
            clock: world.clock.clone(),
            spool: world.spool.clone(),
            pbx: pbx.name.clone(),
            client: client.clone(),
        };
        Some((foreteller, comparer))
    };
    settings.pbxs.iter().filter_map(lookout).collect()
}
