//! Verify: the body is audio, walked to its last frame, and as much of it as there should be.
//!
//! An error page under a 200 ends here. A body in doubt is kept and fetched again; one that is
//! sound, or that was the same twice, is kept in the spool and its digest in the index.

use super::World;
use super::download::{Body, Downloaded};
use super::error::{StageError, blocking};
use crate::failpoint::{self, Effect};
use crate::model::doubt::{self, Kept};
use crate::pbx::Fetched;
use crate::spool::{Fresh, Spooled, Walked};
use crate::store::recordings::{Claim, Original};
use crate::store::{search, transitions};

const STAGE: &str = "verify";

/// Audio, in the spool, known to the index.
pub struct Verified {
    pub(super) claim: Claim,
    pub(super) spooled: Spooled,
    /// The bytes of the source's own leading tags; audio begins behind them.
    pub(super) source_tag_bytes: u64,
    pub(super) media_ms: u64,
    pub(super) flags: Vec<&'static str>,
}

/// What a walk over a body's frames found.
struct Look {
    source_tag_bytes: u64,
    media_ms: u64,
    flags: Vec<&'static str>,
}

impl Look {
    fn new(walked: Walked, leg_s: Option<u32>) -> Look {
        Look {
            source_tag_bytes: walked.source_tag_bytes,
            media_ms: walked.walk.media_ms,
            flags: doubt::flags(&walked.walk, leg_s),
        }
    }
}

pub async fn verify(world: &World, downloaded: Downloaded) -> Result<Verified, StageError> {
    let Downloaded { claim, body } = downloaded;
    let leg_s = leg_duration(world, &claim).await?;
    match body {
        Body::Before(spooled) => {
            let body = spooled.clone();
            let walked = blocking(STAGE, move || body.walk()).await?;
            let walked = walked.map_err(StageError::NotAudio)?;
            Ok(verified(claim, spooled, Look::new(walked, leg_s)))
        }
        Body::Fresh(fetched) => judge(world, claim, fetched, leg_s).await,
    }
}

fn verified(claim: Claim, spooled: Spooled, mut look: Look) -> Verified {
    if claim.kept == Some(Kept::Broken) && claim.take_kept && !look.flags.contains(&"cut") {
        look.flags.insert(0, "cut");
    }
    Verified {
        claim,
        spooled,
        source_tag_bytes: look.source_tag_bytes,
        media_ms: look.media_ms,
        flags: look.flags,
    }
}

async fn judge(
    world: &World,
    claim: Claim,
    fetched: Fetched,
    leg_s: Option<u32>,
) -> Result<Verified, StageError> {
    let Fetched {
        fresh,
        walked,
        broke_off,
    } = fetched;
    let body = fresh.body();
    let look = match (walked.map(|walked| Look::new(walked, leg_s)), broke_off) {
        (Ok(look), None) => look,
        (Err(not_audio), None) => return Err(StageError::NotAudio(not_audio)),
        (Err(_), Some(broke_off)) => return Err(StageError::Download(broke_off)),
        (Ok(look), Some(broke_off)) => {
            keep_best(world, &claim, fresh, &look, Kept::Broken).await?;
            return Err(StageError::Download(broke_off));
        }
    };
    if claim.frozen.is_some() && claim.original.map(|before| before.sha256) != Some(body.sha256) {
        // What was tagged is committed and may be in the store: another body is another matter.
        return Err(StageError::SourceChanged);
    }
    let same_twice = claim.kept == Some(Kept::Doubtful)
        && claim
            .original
            .is_some_and(|before| before.sha256 == body.sha256);
    if doubt::is_doubtful(&look.flags) && !same_twice && claim.frozen.is_none() {
        keep_best(world, &claim, fresh, &look, Kept::Doubtful).await?;
        return Err(StageError::Doubtful { flags: look.flags });
    }
    let spooled = keep(world, &claim, fresh, &look, None).await?;
    Ok(verified(claim, spooled, look))
}

/// Keeps a body that is not believed yet, if there is no better one.
async fn keep_best(
    world: &World,
    claim: &Claim,
    fresh: Fresh,
    look: &Look,
    kept: Kept,
) -> Result<(), StageError> {
    let better = claim.kept.is_none() || Some(look.media_ms) >= claim.media_ms;
    if better && claim.frozen.is_none() {
        keep(world, claim, fresh, look, Some(kept)).await?;
    }
    Ok(())
}

/// Gives the body its name in the spool, then tells the index its digest.
async fn keep(
    world: &World,
    claim: &Claim,
    fresh: Fresh,
    look: &Look,
    kept: Option<Kept>,
) -> Result<Spooled, StageError> {
    let spooled = blocking(STAGE, move || fresh.keep()).await?;
    if claim.frozen.is_some() {
        return Ok(spooled);
    }
    let original = Original {
        sha256: spooled.sha256,
        bytes: spooled.bytes,
    };
    let (claim, now, media_ms) = (claim.clone(), world.clock.now(), look.media_ms);
    failpoint::before(Effect::NoteDownload);
    let noted = world
        .store
        .write(move |tx| transitions::downloaded(tx, &claim, original, media_ms, kept, now));
    noted.await.map_err(index_error)?;
    failpoint::after(Effect::NoteDownload);
    Ok(spooled)
}

/// How long the leg lasted, where all of it should be in this one recording.
async fn leg_duration(world: &World, claim: &Claim) -> Result<Option<u32>, StageError> {
    let id = claim.id.clone();
    let read = world
        .store
        .read(move |db| search::duration_to_expect(db, &id));
    read.await.map_err(index_error)
}

fn index_error(source: crate::store::Error) -> StageError {
    StageError::Index {
        stage: STAGE,
        source,
    }
}
