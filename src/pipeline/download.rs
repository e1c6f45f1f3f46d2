//! Download: the PBX's body, in the spool, synced, its digest in the index.

use super::error::{StageError, blocking};
use super::{World, error};
use crate::spool::Spooled;
use crate::store::recordings::{Claim, Original};
use crate::store::transitions;

const STAGE: &str = "download";

/// The body lies in the spool and the index knows its digest.
pub struct Downloaded {
    pub(super) claim: Claim,
    pub(super) spooled: Spooled,
}

pub async fn download(world: &World, claim: Claim) -> Result<Downloaded, StageError> {
    if let Some(spooled) = from_before(world, &claim).await? {
        return Ok(Downloaded { claim, spooled });
    }
    let source = world.pbxs.get(&claim.id.pbx);
    let source = source.ok_or_else(|| StageError::NoPbx(claim.id.pbx.clone()))?;
    let fetched = source
        .client
        .fetch(&claim.path, &claim.id, &world.spool)
        .await;
    let spooled = fetched.map_err(StageError::Download)?;
    let original = Original {
        sha256: spooled.sha256,
        bytes: spooled.bytes,
    };
    match (&claim.frozen, claim.original) {
        (None, _) => note(world, &claim, original).await?,
        (Some(_), before) if before == Some(original) => {}
        // What was tagged is committed and may be in the store: another body is another matter.
        (Some(_), _) => return Err(StageError::SourceChanged),
    }
    Ok(Downloaded { claim, spooled })
}

/// The evidence of an earlier attempt: a spool file with the recorded digest.
async fn from_before(world: &World, claim: &Claim) -> Result<Option<Spooled>, StageError> {
    let Some(original) = claim.original else {
        return Ok(None);
    };
    let (spool, id) = (world.spool.clone(), claim.id.clone());
    blocking(STAGE, move || spool.find(&id, original.sha256)).await
}

async fn note(world: &World, claim: &Claim, original: Original) -> Result<(), StageError> {
    let (claim, now) = (claim.clone(), world.clock.now());
    let noted = world
        .store
        .write(move |tx| transitions::downloaded(tx, &claim, original, now));
    noted.await.map_err(|source| error::StageError::Index {
        stage: STAGE,
        source,
    })
}
