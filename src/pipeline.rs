//! The way of a recording from the PBX to the archive. Read this first.
//!
//! Each stage takes the previous one's type, and each type has one maker, so that no stage can be
//! skipped. Nothing remembers a step: after a restart every stage looks for its own evidence (a
//! spool file with the recorded digest, frozen bytes in the index, an object whose digest is ours)
//! and goes on from there. Never here: when a recording is tried again; `worker` asks
//! [`StageError::disposition`] and settles it.

mod download;
mod error;
mod index;
mod lock;
mod tag;
pub mod table;
mod upload;
mod verify;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use tokio::sync::watch;

pub use error::{Disposition, StageError};
pub use index::Archived;

use crate::clock::Clock;
use crate::config::ObjectLock;
use crate::model::id::PbxName;
use crate::model::key::KeyTemplate;
use crate::model::promise::Facts;
use crate::objects::ObjectStore;
use crate::pbx;
use crate::spool::Spool;
use crate::store::Store;
use crate::store::claims::Claim;

/// All that the stages work with.
pub struct World {
    pub clock: Clock,
    pub store: Store,
    pub spool: Spool,
    pub objects: ObjectStore,
    pub pbxs: BTreeMap<PbxName, Source>,
    pub key: KeyTemplate,
    pub object_lock: Option<ObjectLock>,
    /// What trying the store has shown so far.
    pub known: watch::Receiver<Facts>,
}

impl World {
    fn facts(&self) -> Facts {
        self.known.borrow().clone()
    }
}

/// Where the recordings of one PBX come from.
pub struct Source {
    pub client: pbx::Client,
    pub zone: TimeZone,
}

/// Takes a claimed recording all the way, or says at which stage it failed and why.
pub async fn archive(world: &World, claim: Claim) -> Result<Archived, StageError> {
    let claim = match upload::already(world, claim).await? {
        Ok(uploaded) => return index::index(world, uploaded).await, // only the index did not know
        Err(claim) => claim,
    };
    let downloaded = download::download(world, claim).await?; // a body on our disk
    let verified = verify::verify(world, downloaded).await?; //  audio to the last frame, all of it, synced
    let tagged = tag::tag(world, verified).await?; //            key, tag, manifest, digest committed
    let uploaded = upload::upload(world, tagged).await?; //      stored, proved, manifest beside it
    index::index(world, uploaded).await //                       committed: the local copy may go
}
