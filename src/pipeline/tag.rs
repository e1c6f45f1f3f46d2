//! Tag: what will be stored is decided and committed, before the first byte of it is sent.
//!
//! Key, tag, manifest and digest are frozen in the index; every retry sends those same bytes, so
//! that a PUT whose answer was lost is recognised by its digest and nothing is stored twice.

use super::World;
use super::error::StageError;
use super::verify::{self, Verified};
use crate::failpoint::{self, Effect};
use crate::model::call::Call;
use crate::model::digest::{Digest, Hasher};
use crate::model::id3;
use crate::model::key::KeyTemplate;
use crate::model::manifest::{self, Manifest, RawEvent};
use crate::model::tags::{Facts, tags};
use crate::model::time::UtcMs;
use crate::spool::{self, Spooled};
use crate::store::claims::{Claim, Frozen};
use crate::store::{self, Reader, calls, log, transitions};

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
    let original = Some(verify::original(&verified.spooled)).filter(|_| !verified.is_noted);
    let Verified {
        claim,
        spooled,
        source_tag_bytes,
        media_ms,
        ..
    } = verified.clone();
    let making = Making {
        as_of: world.clock.now(),
        template: world.key.clone(),
        verified,
    };
    // What is known and what is made of it at once: a change of threads costs more than the rest.
    let read = world.store.read(move |db| {
        let (call, events) = known(db, &making.verified.claim)?;
        let frozen = match making.verified.claim.frozen.clone() {
            Some(frozen) => Ok(frozen),
            None => making.frozen(call.as_ref(), events),
        };
        Ok((call, frozen))
    });
    let (call, frozen) = read.await.map_err(index_error)?;
    let mut frozen = match frozen {
        Ok(frozen) => frozen,
        Err(untagged) => {
            // Without its digest in the index, the next start would sweep what may be the only copy.
            if let Some(original) = original {
                let now = world.clock.now();
                let noted = world.store.write(move |tx| {
                    transitions::downloaded(tx, &claim, original, media_ms, None, now)
                });
                noted.await.map_err(index_error)?;
            }
            return Err(untagged);
        }
    };
    if claim.frozen.is_none() {
        let (claim, now) = (claim.clone(), world.clock.now());
        let kept = world.store.write(move |tx| {
            if let Some(original) = original {
                transitions::downloaded(tx, &claim, original, frozen.media_ms, None, now)?;
            }
            transitions::freeze(tx, &claim, &frozen, now)?;
            Ok(frozen)
        });
        failpoint::before(Effect::Freeze);
        frozen = kept.await.map_err(index_error)?;
        failpoint::after(Effect::Freeze);
    }
    Ok(Tagged {
        claim,
        spooled,
        source_tag_bytes,
        frozen,
        call,
    })
}

fn index_error(source: store::Error) -> StageError {
    StageError::Index {
        stage: STAGE,
        source,
    }
}

/// The call as it is known now, and the deliveries behind it.
fn known(db: &Reader, claim: &Claim) -> Result<(Option<Call>, Vec<RawEvent>), store::Error> {
    let found = match &claim.call {
        Some(id) => calls::load(db, id)?,
        None => None,
    };
    Ok(match found {
        Some((row, call)) => (Some(call), log::history_of_call(db, row)?),
        None => (None, log::history_of_delivery(db, claim.announced_seq)?),
    })
}

/// What the object is made of, but for what the index knows.
struct Making {
    as_of: UtcMs,
    template: KeyTemplate,
    verified: Verified,
}

impl Making {
    /// Reads the body to its end.
    fn frozen(&self, call: Option<&Call>, events: Vec<RawEvent>) -> Result<Frozen, StageError> {
        let Verified {
            claim,
            spooled,
            media_ms,
            flags,
            source_tag_bytes,
            ..
        } = &self.verified;
        let (audio_from, as_of) = (*source_tag_bytes, self.as_of);
        let unreadable = |source| StageError::Spool {
            stage: STAGE,
            source,
        };
        let set = tags(&Facts {
            id: &claim.id,
            call,
            leg: claim.leg,
            media_ms: *media_ms,
            source_url: &claim.source_url,
            original_sha256: spooled.sha256,
            as_of,
        });
        let source_tag = spooled.range(0, audio_from as usize).map_err(unreadable)?;
        let tag = id3::encode(&set, &source_tag).map_err(StageError::Tag)?;
        let object_sha256 = digest(spooled, audio_from, &tag).map_err(unreadable)?;
        let object_bytes = tag.len() as u64 + spooled.bytes - audio_from;
        let key = self
            .template
            .key(&claim.id.pbx, claim.dated, &claim.id.recording);
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
                original_sha256: spooled.sha256,
                original_bytes: spooled.bytes,
                media_ms: *media_ms,
                flags,
                call,
                events,
            },
            &set,
        );
        Ok(Frozen {
            key,
            tag,
            manifest,
            object_sha256,
            object_bytes,
            media_ms: *media_ms,
            flags: flags.clone(),
        })
    }
}

/// Of the object: our tag, then the source's audio, to the byte.
fn digest(spooled: &Spooled, audio_from: u64, tag: &[u8]) -> Result<Digest, spool::Error> {
    let mut hasher = Hasher::new();
    hasher.update(tag);
    spooled.read(audio_from, |chunk| hasher.update(chunk))?;
    Ok(hasher.finish())
}
