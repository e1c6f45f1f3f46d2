//! Tag: what will be stored is decided and committed, before the first byte of it is sent.
//!
//! Key, tag, manifest and digest are frozen in the index; every retry sends those same bytes, so
//! that a PUT whose answer was lost is recognised by its digest and nothing is stored twice.

use super::World;
use super::error::{StageError, blocking};
use super::verify::Verified;
use crate::failpoint::{self, Effect};
use crate::model::call::Call;
use crate::model::digest::{Digest, Hasher};
use crate::model::id3;
use crate::model::manifest::{self, Manifest, RawEvent};
use crate::model::tags::{Facts, tags};
use crate::spool::{self, Spooled};
use crate::store::recordings::{Claim, Frozen};
use crate::store::transitions;
use crate::store::{calls, log};

const STAGE: &str = "tag";

/// What will be stored is committed.
pub struct Tagged {
    pub(super) claim: Claim,
    pub(super) spooled: Spooled,
    pub(super) source_tag_bytes: u64,
    pub(super) frozen: Frozen,
    pub(super) call: Option<Call>,
}

pub async fn tag(world: &World, verified: Verified) -> Result<Tagged, StageError> {
    let (call, events) = known(world, &verified.claim).await?;
    let frozen = match verified.claim.frozen.clone() {
        Some(frozen) => frozen,
        None => {
            let made = made(world, &verified, call.clone(), events);
            let frozen = blocking(STAGE, made).await??;
            let (claim, now) = (verified.claim.clone(), world.clock.now());
            let kept = world.store.write(move |tx| {
                transitions::freeze(tx, &claim, &frozen, now)?;
                Ok(frozen)
            });
            failpoint::before(Effect::Freeze);
            let frozen = kept.await.map_err(index_error)?;
            failpoint::after(Effect::Freeze);
            frozen
        }
    };
    Ok(Tagged {
        claim: verified.claim,
        spooled: verified.spooled,
        source_tag_bytes: verified.source_tag_bytes,
        frozen,
        call,
    })
}

fn index_error(source: crate::store::Error) -> StageError {
    StageError::Index {
        stage: STAGE,
        source,
    }
}

/// The call as it is known now, and the deliveries behind it.
async fn known(world: &World, claim: &Claim) -> Result<(Option<Call>, Vec<RawEvent>), StageError> {
    let (call, announced) = (claim.call.clone(), claim.announced_seq);
    let read = world.store.read(move |db| {
        let found = match &call {
            Some(id) => calls::load(db, id)?,
            None => None,
        };
        Ok(match found {
            Some((row, call)) => (Some(call), log::history_of_call(db, row)?),
            None => (None, log::history_of_delivery(db, announced)?),
        })
    });
    read.await.map_err(index_error)
}

/// What is to be frozen; reads the body to its end.
fn made(
    world: &World,
    verified: &Verified,
    call: Option<Call>,
    events: Vec<RawEvent>,
) -> impl FnOnce() -> Result<Result<Frozen, StageError>, spool::Error> + use<> {
    let (as_of, template) = (world.clock.now(), world.key.clone());
    let (claim, spooled) = (verified.claim.clone(), verified.spooled.clone());
    let (media_ms, flags) = (verified.media_ms, verified.flags.clone());
    let audio_from = verified.source_tag_bytes;
    move || {
        let (call, original_sha256) = (call.as_ref(), spooled.sha256);
        let set = tags(&Facts {
            id: &claim.id,
            call,
            leg: claim.leg,
            media_ms,
            source_url: &claim.source_url,
            original_sha256,
            as_of,
        });
        let source_tag = spooled.range(0, audio_from as usize)?;
        let tag = match id3::encode(&set, &source_tag) {
            Ok(tag) => tag,
            Err(error) => return Ok(Err(StageError::Tag(error))),
        };
        let object_sha256 = digest(&spooled, audio_from, &tag)?;
        let object_bytes = tag.len() as u64 + spooled.bytes - audio_from;
        let key = template.key(&claim.id.pbx, claim.dated, &claim.id.recording);
        let manifest = manifest::bytes(
            &Manifest {
                recording: &claim.id,
                leg: claim.leg,
                part: claim.part,
                as_of,
                announced_at: claim.announced,
                source_url: &claim.source_url,
                object_key: &key,
                object_sha256,
                object_bytes,
                original_sha256,
                original_bytes: spooled.bytes,
                media_ms,
                flags: &flags,
                call,
                events,
            },
            &set,
        );
        Ok(Ok(Frozen {
            key,
            tag,
            manifest,
            object_sha256,
            object_bytes,
            media_ms,
            flags,
        }))
    }
}

/// Of the object: our tag, then the source's audio, to the byte.
fn digest(spooled: &Spooled, audio_from: u64, tag: &[u8]) -> Result<Digest, spool::Error> {
    let mut hasher = Hasher::new();
    hasher.update(tag);
    spooled.read(audio_from, |chunk| hasher.update(chunk))?;
    Ok(hasher.finish())
}
