//! Download: the PBX's body on our disk, as far as it came.

use super::World;
use super::error::{StageError, blocking};
use crate::failpoint::{self, Effect};
use crate::pbx::Fetched;
use crate::spool::Spooled;
use crate::store::claims::Claim;

const STAGE: &str = "download";

/// There is a body.
pub struct Downloaded {
    pub(super) claim: Claim,
    pub(super) body: Body,
}

pub(super) enum Body {
    /// The evidence of an earlier attempt: a spool file with the recorded digest.
    Before(Spooled),
    Fresh(Fetched),
}

pub async fn download(world: &World, claim: Claim) -> Result<Downloaded, StageError> {
    if let Some(spooled) = from_before(world, &claim).await? {
        let body = Body::Before(spooled);
        return Ok(Downloaded { claim, body });
    }
    let source = world.pbxs.get(&claim.id.pbx);
    let source = source.ok_or_else(|| StageError::NoPbx(claim.id.pbx.clone()))?;
    failpoint::before(Effect::Download);
    let fetched = source
        .client
        .fetch(&claim.path, &claim.id, &world.spool)
        .await;
    failpoint::after(Effect::Download);
    let body = Body::Fresh(fetched.map_err(StageError::Download)?);
    Ok(Downloaded { claim, body })
}

async fn from_before(world: &World, claim: &Claim) -> Result<Option<Spooled>, StageError> {
    let Some(original) = claim.original.filter(|_| claim.is_at_hand()) else {
        return Ok(None);
    };
    let (spool, id) = (world.spool.clone(), claim.id.clone());
    blocking(STAGE, move || spool.find(&id, original.sha256)).await
}
