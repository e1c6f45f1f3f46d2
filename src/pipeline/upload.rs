//! Upload: the object stored, proved to be ours, its manifest beside it. Nothing is ever rewritten.

use super::World;
use super::error::StageError;
use super::tag::Tagged;
use crate::failpoint::{self, Effect};
use crate::model::digest::{Digest, Hasher};
use crate::model::key::ObjectKey;
use crate::model::manifest;
use crate::model::rebuilt::Rebuilt;
use crate::objects::{Body, FileRange, ObjectStore, Put, Stored};
use crate::store::recordings::{Claim, Frozen, Proved};

/// The store holds the recording, proved, and its manifest.
pub struct Uploaded {
    pub(super) claim: Claim,
    pub(super) proved: Proved,
}

pub async fn upload(world: &World, tagged: Tagged) -> Result<Uploaded, StageError> {
    let (objects, frozen) = (&world.objects, &tagged.frozen);
    let not_proved = || StageError::NotProved {
        key: frozen.key.clone(),
    };
    let stored = put_object(objects, &tagged).await?;
    let found = find(objects, &frozen.key).await?.ok_or_else(not_proved)?;
    let proved = match (found.is(frozen), stored) {
        (true, Stored::Created { version_id }) => found.proved(version_id),
        (true, Stored::AlreadyThere) => found.proved(None),
        (false, Stored::AlreadyThere) => adopt(objects, &tagged, found).await?,
        (false, Stored::Created { .. }) => return Err(not_proved()),
    };
    put_manifest(objects, frozen, &proved).await?;
    Ok(Uploaded {
        claim: tagged.claim,
        proved,
    })
}

/// What a life before this one may have left to find: the local copy is gone, and the store holds
/// just what was frozen. Then nothing need be asked of the PBX, which may have deleted the file.
pub async fn already(world: &World, claim: Claim) -> Result<Result<Uploaded, Claim>, StageError> {
    let local = world.spool.path(&claim.id);
    let Some(frozen) = claim.frozen.as_ref().filter(|_| !local.exists()) else {
        return Ok(Err(claim));
    };
    let found = find(&world.objects, &frozen.key).await?;
    let ours = found.filter(|found| found.is(frozen));
    let Some(proved) = ours.map(|found| found.proved(None)) else {
        return Ok(Err(claim));
    };
    put_manifest(&world.objects, frozen, &proved).await?;
    Ok(Ok(Uploaded { claim, proved }))
}

async fn put_object(objects: &ObjectStore, tagged: &Tagged) -> Result<Stored, StageError> {
    let frozen = &tagged.frozen;
    let put = Put {
        key: &frozen.key,
        body: Body {
            head: frozen.tag.clone().into(),
            tail: Some(FileRange {
                path: tagged.spooled.path.clone(),
                from: tagged.source_tag_bytes,
                bytes: tagged.spooled.bytes - tagged.source_tag_bytes,
            }),
        },
        sha256: frozen.object_sha256,
        content_type: "audio/mpeg",
        metadata: essentials(tagged),
    };
    failpoint::before(Effect::Put);
    let stored = objects.put_new(put).await.map_err(StageError::Store)?;
    failpoint::after(Effect::Put);
    Ok(stored)
}

/// What the store's own tools show of an object.
fn essentials(tagged: &Tagged) -> Vec<(&'static str, String)> {
    let call = tagged.call.as_ref();
    let leg = call
        .zip(tagged.claim.leg)
        .and_then(|(call, number)| call.leg(number));
    let started = call.and_then(|call| call.started.as_ref());
    let known = [
        ("recording", Some(tagged.claim.id.to_string())),
        ("original-sha256", Some(tagged.spooled.sha256.to_string())),
        (
            "direction",
            call.and_then(|call| call.direction).map(|d| d.to_string()),
        ),
        ("external", call.and_then(|call| call.external.clone())),
        ("extension", leg.and_then(|leg| leg.extension.clone())),
        (
            "started-at",
            started.map(|started| started.utc.to_seconds()),
        ),
    ];
    known
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// What lies at a key.
struct Found {
    sha256: Digest,
    bytes: u64,
    version_id: Option<String>,
    how: &'static str,
}

impl Found {
    fn is(&self, frozen: &Frozen) -> bool {
        (self.sha256, self.bytes) == (frozen.object_sha256, frozen.object_bytes)
    }

    fn proved(self, version_id: Option<String>) -> Proved {
        Proved {
            object_sha256: self.sha256,
            object_bytes: self.bytes,
            version_id: version_id.or(self.version_id),
            how: self.how,
            adopted: false,
        }
    }
}

/// By the checksum that the store keeps, or, where it keeps none, by reading the object back.
async fn find(objects: &ObjectStore, key: &ObjectKey) -> Result<Option<Found>, StageError> {
    failpoint::before(Effect::Head);
    let head = objects.head(key).await.map_err(StageError::Store)?;
    failpoint::after(Effect::Head);
    let Some(head) = head else { return Ok(None) };
    let (sha256, how) = match head.sha256 {
        Some(sha256) => (Some(sha256), "by the store's own SHA-256"),
        None => (read_digest(objects, key).await?, "read back and hashed"),
    };
    Ok(sha256.map(|sha256| Found {
        sha256,
        bytes: head.bytes,
        version_id: head.version_id,
        how,
    }))
}

async fn read_digest(objects: &ObjectStore, key: &ObjectKey) -> Result<Option<Digest>, StageError> {
    objects.digest(key).await.map_err(StageError::Store)
}

/// An object that an earlier life of this archive stored under another tag: if the original that
/// can be rebuilt from it is ours, it is ours, digest and manifest and all. It must read as it was
/// found: a reading that went wrong on the way is no conflict, for which a person would be called.
async fn adopt(objects: &ObjectStore, tagged: &Tagged, found: Found) -> Result<Proved, StageError> {
    let key = &tagged.frozen.key;
    let not_proved = || StageError::NotProved { key: key.clone() };
    let object = objects.get(key).await.map_err(StageError::Store)?;
    let mut object = object.ok_or_else(not_proved)?;
    let mut whole = Hasher::new();
    let mut original = Rebuilt::new(object.bytes());
    while let Some(chunk) = object.chunk().await.map_err(StageError::Store)? {
        whole.update(&chunk);
        original.update(&chunk);
    }
    if (whole.finish(), object.bytes()) != (found.sha256, found.bytes) {
        return Err(not_proved());
    }
    if original.finish() != Some(tagged.spooled.sha256) {
        return Err(StageError::Conflict { key: key.clone() });
    }
    Ok(Proved {
        how: "read back and rebuilt",
        adopted: true,
        ..found.proved(None)
    })
}

/// The manifest is made once, and proved as the object is. One that lies beside an adopted object
/// is adopted with it; where that has none, it gets ours, with its own digest in it.
async fn put_manifest(
    objects: &ObjectStore,
    frozen: &Frozen,
    proved: &Proved,
) -> Result<(), StageError> {
    let key = frozen.key.manifest();
    let ours = &frozen.manifest;
    let bytes = match proved.adopted {
        true => manifest::of_adopted(ours, proved.object_sha256, proved.object_bytes),
        false => ours.clone(),
    };
    let sha256 = Digest::of(&bytes);
    let put = Put {
        key: &key,
        body: Body {
            head: bytes.into(),
            tail: None,
        },
        sha256,
        content_type: "application/json",
        metadata: Vec::new(),
    };
    failpoint::before(Effect::Manifest);
    let stored = objects.put_new(put).await.map_err(StageError::Store)?;
    failpoint::after(Effect::Manifest);
    let was_there = stored == Stored::AlreadyThere;
    if was_there && proved.adopted {
        return Ok(());
    }
    let found = find(objects, &key).await?.map(|found| found.sha256);
    match found {
        Some(found) if found == sha256 => Ok(()),
        // As above: only what reads so twice is another's.
        Some(found) if was_there && read_digest(objects, &key).await? == Some(found) => {
            Err(StageError::Conflict { key })
        }
        _ => Err(StageError::NotProved { key }),
    }
}
