//! Index: the end of a recording's way. Only what is committed here lets the local copy go.

use super::World;
use super::error::{StageError, blocking};
use super::upload::Uploaded;
use crate::failpoint::{self, Effect};
use crate::model::id::RecordingId;
use crate::spool::Spool;
use crate::store::transitions;

const STAGE: &str = "index";

/// Stored, proved, committed.
#[must_use = "the local copy stays until it is released"]
pub struct Archived {
    pub id: RecordingId,
}

pub async fn index(world: &World, uploaded: Uploaded) -> Result<Archived, StageError> {
    let Uploaded { claim, proved } = uploaded;
    let (id, now) = (claim.id.clone(), world.clock.now());
    failpoint::before(Effect::Index);
    let committed = world
        .store
        .write(move |tx| transitions::archived(tx, &claim, &proved, now));
    committed.await.map_err(|source| StageError::Index {
        stage: STAGE,
        source,
    })?;
    failpoint::after(Effect::Index);
    Ok(Archived { id })
}

impl Archived {
    /// Drops the local copy: the only way to.
    pub async fn release(self, spool: &Spool) -> Result<(), StageError> {
        failpoint::before(Effect::Release);
        let spool = spool.clone();
        blocking("release", move || spool.remove(&self.id)).await?;
        failpoint::after(Effect::Release);
        Ok(())
    }
}
