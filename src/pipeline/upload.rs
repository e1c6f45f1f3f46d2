//! Upload: the object stored, proved to be ours, its manifest beside it. Nothing is ever rewritten.

use bytes::Bytes;

use super::World;
use super::error::StageError;
use super::tag::Tagged;
use crate::failpoint::{self, Point};
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
    let stored = put_object(&world.objects, &tagged).await?;
    let (frozen, key) = (&tagged.frozen, &tagged.frozen.key);
    let proved = match prove(&world.objects, frozen, &stored).await? {
        Some(proved) => proved,
        // Something lies there that is not what we sent.
        None if stored == Stored::AlreadyThere => {
            adopt(&world.objects, key, tagged.spooled.sha256).await?
        }
        None => return Err(StageError::NotProved { key: key.clone() }),
    };
    put_manifest(&world.objects, frozen, &proved).await?;
    Ok(Uploaded {
        claim: tagged.claim,
        proved,
    })
}

/// What a life before this one may have left to find: the local copy is gone, and the store holds
/// just what was frozen. Then nothing need be asked of the PBX, which may have deleted the file.
pub async fn found(world: &World, claim: Claim) -> Result<Result<Uploaded, Claim>, StageError> {
    let Some(frozen) = claim
        .frozen
        .as_ref()
        .filter(|_| !world.spool.path(&claim.id).exists())
    else {
        return Ok(Err(claim));
    };
    match prove(&world.objects, frozen, &Stored::AlreadyThere).await? {
        Some(proved) => {
            put_manifest(&world.objects, frozen, &proved).await?;
            Ok(Ok(Uploaded { claim, proved }))
        }
        None => Ok(Err(claim)),
    }
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
    failpoint::hit(Point::BeforePut);
    let stored = objects.put_new(put).await.map_err(StageError::Store)?;
    failpoint::hit(Point::AfterPut);
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

/// Whether the store holds exactly what was frozen: by the checksum that it keeps, or, where it
/// keeps none, by reading the object back.
async fn prove(
    objects: &ObjectStore,
    frozen: &Frozen,
    stored: &Stored,
) -> Result<Option<Proved>, StageError> {
    let head = objects.head(&frozen.key).await.map_err(StageError::Store)?;
    let Some(head) = head else { return Ok(None) };
    let (sha256, how) = match head.sha256 {
        Some(sha256) => (sha256, "by the store's own SHA-256"),
        None => (
            read_digest(objects, &frozen.key).await?,
            "read back and hashed",
        ),
    };
    let version_id = match stored {
        Stored::Created { version_id } => version_id.clone().or(head.version_id),
        Stored::AlreadyThere => head.version_id,
    };
    let ours = sha256 == frozen.object_sha256 && head.bytes == frozen.object_bytes;
    Ok(ours.then_some(Proved {
        object_sha256: sha256,
        object_bytes: head.bytes,
        version_id,
        how,
        adopted: false,
    }))
}

async fn read_digest(objects: &ObjectStore, key: &ObjectKey) -> Result<Digest, StageError> {
    let digest = objects.digest(key).await.map_err(StageError::Store)?;
    digest.ok_or_else(|| StageError::NotProved { key: key.clone() })
}

/// An object that an earlier life of this archive stored under another tag: if the original that
/// can be rebuilt from it is ours, it is ours, digest and manifest and all.
async fn adopt(
    objects: &ObjectStore,
    key: &ObjectKey,
    original_sha256: Digest,
) -> Result<Proved, StageError> {
    let conflict = || StageError::Conflict { key: key.clone() };
    let object = objects.get(key).await.map_err(StageError::Store)?;
    let mut object = object.ok_or_else(|| StageError::NotProved { key: key.clone() })?;
    let mut whole = Hasher::new();
    let mut original = Rebuilt::new(object.bytes());
    while let Some(chunk) = object.chunk().await.map_err(StageError::Store)? {
        whole.update(&chunk);
        original.update(&chunk);
    }
    if original.finish() != Some(original_sha256) {
        return Err(conflict());
    }
    let head = objects.head(key).await.map_err(StageError::Store)?;
    Ok(Proved {
        object_sha256: whole.finish(),
        object_bytes: object.bytes(),
        version_id: head.and_then(|head| head.version_id),
        how: "read back and rebuilt",
        adopted: true,
    })
}

/// The manifest is made once. One that lies there already is ours, or of an adopted object; where
/// that has none, it gets one that names its own digest.
async fn put_manifest(
    objects: &ObjectStore,
    frozen: &Frozen,
    proved: &Proved,
) -> Result<(), StageError> {
    let key = frozen.key.manifest();
    let manifest = match proved.adopted {
        true => manifest::of_adopted(&frozen.manifest, proved.object_sha256, proved.object_bytes),
        false => frozen.manifest.clone(),
    };
    let sha256 = Digest::of(&manifest);
    let put = Put {
        key: &key,
        body: Body::from(Bytes::from(manifest)),
        sha256,
        content_type: "application/json",
        metadata: Vec::new(),
    };
    failpoint::hit(Point::BeforeManifest);
    let stored = objects.put_new(put).await.map_err(StageError::Store)?;
    failpoint::hit(Point::AfterManifest);
    let there = stored == Stored::AlreadyThere;
    if there && !proved.adopted && read_digest(objects, &key).await? != sha256 {
        return Err(StageError::Conflict { key });
    }
    Ok(())
}
