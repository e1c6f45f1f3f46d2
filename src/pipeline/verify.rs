//! Verify: the body is audio, walked to its last frame, and as much of it as there should be.
//!
//! An error page under a 200 ends here. A body in doubt is kept, its digest in the index, and fetched
//! again; one that is sound, or that was the same twice, goes on.

use super::World;
use super::download::{Body, Downloaded};
use super::error::{StageError, blocking};
use crate::failpoint::{self, Effect};
use crate::model::doubt::{self, Kept};
use crate::pbx::Fetched;
use crate::spool::{self, Fresh, Spooled, Walked};
use crate::store::claims::{Claim, Original};
use crate::store::{search, transitions};

const STAGE: &str = "verify";

/// Audio, in the spool.
#[derive(Clone)]
pub struct Verified {
    pub(super) claim: Claim,
    pub(super) spooled: Spooled,
    /// The index has the body's digest.
    pub(super) is_noted: bool,
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

/// What becomes of a fresh body.
enum Judged {
    /// It has its name in the spool.
    Sound(Spooled, Look),
    /// Fetched again; until then it is kept, where there is no better one.
    Doubtful {
        kept: Option<(Spooled, Look, Kept)>,
        why: StageError,
    },
}

pub async fn verify(world: &World, downloaded: Downloaded) -> Result<Verified, StageError> {
    let Downloaded { claim, body } = downloaded;
    let leg_s = leg_duration(world, &claim).await?;
    match body {
        Body::Before(spooled) => {
            let body = spooled.clone();
            let walked = blocking(STAGE, move || body.walk()).await?;
            let walked = walked.map_err(StageError::NotAudio)?;
            Ok(verified(claim, spooled, Look::new(walked, leg_s), true))
        }
        Body::Fresh(fetched) => {
            let before = claim.clone();
            // All that waits for the disk at once: a change of threads costs more than the walk.
            let judged = blocking(STAGE, move || judge(&before, fetched, leg_s)).await??;
            let (kept, why) = match judged {
                Judged::Sound(spooled, look) => return Ok(verified(claim, spooled, look, false)),
                Judged::Doubtful { kept, why } => (kept, why),
            };
            if let Some((spooled, look, kept)) = kept {
                note(world, claim, spooled, look, kept).await?;
            }
            Err(why)
        }
    }
}

fn verified(claim: Claim, spooled: Spooled, mut look: Look, is_noted: bool) -> Verified {
    if claim.kept == Some(Kept::Broken) && claim.take_kept && !look.flags.contains(&"cut") {
        look.flags.insert(0, "cut");
    }
    Verified {
        claim,
        spooled,
        is_noted,
        source_tag_bytes: look.source_tag_bytes,
        media_ms: look.media_ms,
        flags: look.flags,
    }
}

fn judge(
    claim: &Claim,
    mut fetched: Fetched,
    leg_s: Option<u32>,
) -> Result<Result<Judged, StageError>, spool::Error> {
    let broke_off = fetched.broke_off.take();
    let (fresh, walked) = fetched.look()?;
    let sha256 = fresh.body().sha256;
    let look = match (walked.map(|walked| Look::new(walked, leg_s)), broke_off) {
        (Ok(look), None) => look,
        (Err(not_audio), None) => return Ok(Err(StageError::NotAudio(not_audio))),
        (Err(_), Some(broke_off)) => return Ok(Err(StageError::Download(broke_off))),
        (Ok(look), Some(broke_off)) => {
            let kept = keep_best(claim, fresh, look, Kept::Broken)?;
            let why = StageError::Download(broke_off);
            return Ok(Ok(Judged::Doubtful { kept, why }));
        }
    };
    let is_same = claim.original.is_some_and(|before| before.sha256 == sha256);
    if claim.frozen.is_some() && !is_same {
        // What was tagged is committed and may be in the store: another body is another matter.
        return Ok(Err(StageError::SourceChanged));
    }
    let same_twice = claim.kept == Some(Kept::Doubtful) && is_same;
    if doubt::is_doubtful(&look.flags) && !same_twice && claim.frozen.is_none() {
        let flags = look.flags.clone();
        let kept = keep_best(claim, fresh, look, Kept::Doubtful)?;
        let why = StageError::Doubtful { flags };
        return Ok(Ok(Judged::Doubtful { kept, why }));
    }
    Ok(Ok(Judged::Sound(fresh.keep()?, look)))
}

/// Keeps a body that is not believed yet, if there is no better one.
fn keep_best(
    claim: &Claim,
    fresh: Fresh,
    look: Look,
    kept: Kept,
) -> Result<Option<(Spooled, Look, Kept)>, spool::Error> {
    let better = claim.kept.is_none() || Some(look.media_ms) >= claim.media_ms;
    if !better || claim.frozen.is_some() {
        return Ok(None);
    }
    Ok(Some((fresh.keep()?, look, kept)))
}

/// Tells the index which body lies in the spool.
async fn note(
    world: &World,
    claim: Claim,
    spooled: Spooled,
    look: Look,
    kept: Kept,
) -> Result<(), StageError> {
    let (original, media_ms) = (original(&spooled), look.media_ms);
    let now = world.clock.now();
    failpoint::before(Effect::NoteDownload);
    let noted = world
        .store
        .write(move |tx| transitions::downloaded(tx, &claim, original, media_ms, Some(kept), now));
    noted.await.map_err(index_error)?;
    failpoint::after(Effect::NoteDownload);
    Ok(())
}

pub(super) fn original(spooled: &Spooled) -> Original {
    Original {
        sha256: spooled.sha256,
        bytes: spooled.bytes,
    }
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
