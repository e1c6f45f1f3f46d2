//! Upload: the object stored, proved to be ours, its manifest beside it. Nothing is ever rewritten.

use super::World;
use super::error::StageError;
use super::lock::{self, Held};
use super::tag::Tagged;
use crate::failpoint::{self, Effect};
use crate::model::digest::{Digest, Hasher};
use crate::model::id::RecordingId;
use crate::model::key::ObjectKey;
use crate::model::lock::{Lock, LockMode};
use crate::model::manifest;
use crate::model::promise::{Holds, Promise};
use crate::model::rebuilt::Rebuilt;
use crate::objects::{self, Body, FileRange, Head, ObjectStore, Put, Stored};
use crate::store::claims::{Claim, Frozen, Proved};

/// The store holds the recording, proved, and its manifest.
pub struct Uploaded {
    pub(super) claim: Claim,
    pub(super) proved: Proved,
}

pub async fn upload(world: &World, tagged: Tagged) -> Result<Uploaded, StageError> {
    let frozen = &tagged.frozen;
    let lock = lock::promised(world, &tagged.claim).await?;
    let not_proved = || StageError::NotProved {
        key: frozen.key.clone(),
    };
    let stored = put_object(world, &tagged, lock).await?;
    let found = prove(world, &stored, Asked::of(frozen, lock)).await?;
    let found = found.ok_or_else(not_proved)?;
    let has = found.lock;
    let mut proved = match (found.is(frozen), stored) {
        (true, Stored::Created { version_id, .. }) => found.proved(version_id),
        (true, Stored::AlreadyThere) => found.proved(None),
        (false, Stored::AlreadyThere) => adopt(world, &tagged, found).await?,
        (false, Stored::Created { .. }) => return Err(not_proved()),
    };
    finish(world, (&tagged.claim.id, frozen), &mut proved, has, lock).await?;
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
    let found = find(world, &frozen.key).await?;
    let Some(ours) = found.filter(|found| found.is(frozen)) else {
        return Ok(Err(claim));
    };
    let lock = lock::promised(world, &claim).await?;
    let (has, mut proved) = (ours.lock, ours.proved(None));
    finish(world, (&claim.id, frozen), &mut proved, has, lock).await?;
    Ok(Ok(Uploaded { claim, proved }))
}

/// The object is there, proved: it gets its lock, where it has none yet, and its manifest.
async fn finish(
    world: &World,
    (id, frozen): (&RecordingId, &Frozen),
    proved: &mut Proved,
    has: Option<Lock>,
    lock: Option<Lock>,
) -> Result<(), StageError> {
    let object = Held {
        key: &frozen.key,
        version_id: proved.version_id.as_deref(),
        lock: has,
        is_ours: !proved.adopted,
    };
    proved.locked = lock::hold(world, object, lock).await?;
    let manifest_sha256 = put_manifest(world, (id, frozen), proved, lock).await?;
    proved.manifest_sha256 = Some(manifest_sha256);
    Ok(())
}

/// Never in place of what is there. Where the store does not see to that, it is asked before: of
/// one archive, only one row has this key, and only one try at a time has the row. The condition is
/// sent all the same, unless the store was seen to know none and says so again.
async fn put_new(world: &World, mut put: Put<'_>) -> Result<Stored, StageError> {
    let one_wins = world.facts().holds(Promise::LetsOneWriterWin);
    if one_wins != Holds::Yes {
        match world.objects.head(put.key).await {
            Ok(None) => put.or_unconditionally = one_wins == Holds::No,
            Ok(Some(_)) => return Ok(Stored::AlreadyThere),
            // A key that may not ask: only to a store seen to ignore the condition is nothing sent.
            Err(objects::Error::Refused { .. }) if one_wins == Holds::Unknown => {}
            Err(error) => return Err(StageError::Store(error)),
        }
    }
    let is_governed = put
        .lock
        .is_some_and(|lock| lock.mode == LockMode::Governance);
    let unlocked = (is_governed && world.facts().broken_lock().is_some()).then(|| Put {
        lock: None,
        ..put.clone()
    });
    let stored = match (world.objects.put_new(put).await, unlocked) {
        // A bucket without object lock takes nothing that is sent with one. No lock is claimed.
        (Err(error), Some(unlocked)) if error.may_be_for_the_lock() => {
            world.objects.put_new(unlocked).await
        }
        (stored, _) => stored,
    };
    stored.map_err(StageError::Store)
}

async fn put_object(
    world: &World,
    tagged: &Tagged,
    lock: Option<Lock>,
) -> Result<Stored, StageError> {
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
        lock,
        or_unconditionally: false,
    };
    failpoint::before_with(Effect::Put, || format!("{:?} {put:?}", world.objects));
    let stored = put_new(world, put).await?;
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
    lock: Option<Lock>,
    how: &'static str,
}

impl Found {
    fn new(sha256: Digest, head: Head, how: &'static str) -> Found {
        Found {
            sha256,
            bytes: head.bytes,
            version_id: head.version_id,
            lock: head.lock,
            how,
        }
    }

    fn is(&self, frozen: &Frozen) -> bool {
        (self.sha256, self.bytes) == (frozen.object_sha256, frozen.object_bytes)
    }

    fn proved(self, version_id: Option<String>) -> Proved {
        Proved {
            object_sha256: self.sha256,
            object_bytes: self.bytes,
            manifest_sha256: None,
            version_id: version_id.or(self.version_id),
            how: self.how,
            adopted: false,
            locked: None,
        }
    }
}

/// What a store was asked to hold.
struct Asked<'a> {
    key: &'a ObjectKey,
    sha256: Digest,
    bytes: u64,
    lock: Option<Lock>,
}

impl Asked<'_> {
    fn of(frozen: &Frozen, lock: Option<Lock>) -> Asked<'_> {
        Asked {
            key: &frozen.key,
            sha256: frozen.object_sha256,
            bytes: frozen.object_bytes,
            lock,
        }
    }

    /// A store that was seen to refuse a wrong SHA-256, and that answers the PUT with this one,
    /// holds these bytes. It says nothing of a lock there.
    fn is_proved_by(&self, world: &World, stored: &Stored) -> bool {
        let says = matches!(stored, Stored::Created { sha256, .. } if *sha256 == Some(self.sha256));
        says && self.lock.is_none() && world.facts().sha256_proves()
    }
}

/// What lies at the key after the PUT: by its answer where that is proof, else it is looked for.
async fn prove(
    world: &World,
    stored: &Stored,
    asked: Asked<'_>,
) -> Result<Option<Found>, StageError> {
    if !asked.is_proved_by(world, stored) {
        return find(world, asked.key).await;
    }
    failpoint::before(Effect::Prove);
    let found = Found {
        sha256: asked.sha256,
        bytes: asked.bytes,
        version_id: None,
        lock: None,
        how: "by the store's own SHA-256, in its answer",
    };
    failpoint::after(Effect::Prove);
    Ok(Some(found))
}

/// By the store's own SHA-256, where the store was seen to deserve that; else by reading the object
/// back.
async fn find(world: &World, key: &ObjectKey) -> Result<Option<Found>, StageError> {
    failpoint::before(Effect::Prove);
    let found = look_for(world, key).await;
    failpoint::after(Effect::Prove);
    found
}

async fn look_for(world: &World, key: &ObjectKey) -> Result<Option<Found>, StageError> {
    if !world.facts().sha256_proves() {
        return read_back(&world.objects, key).await;
    }
    let head = world.objects.head(key).await.map_err(StageError::Store)?;
    let Some(head) = head else { return Ok(None) };
    match head.sha256 {
        Some(sha256) => Ok(Some(Found::new(sha256, head, "by the store's own SHA-256"))),
        None => read_back(&world.objects, key).await,
    }
}

async fn read_back(objects: &ObjectStore, key: &ObjectKey) -> Result<Option<Found>, StageError> {
    let read = objects.digest(key).await.map_err(StageError::Store)?;
    Ok(read.map(|(sha256, head)| Found::new(sha256, head, "read back and hashed")))
}

/// An object that an earlier life of this archive stored under another tag: if the original that
/// can be rebuilt from it is ours, it is ours, digest and manifest and all. It must read as it was
/// found: a reading that went wrong on the way is no conflict, for which a person would be called.
async fn adopt(world: &World, tagged: &Tagged, found: Found) -> Result<Proved, StageError> {
    let key = &tagged.frozen.key;
    let not_proved = || StageError::NotProved { key: key.clone() };
    let object = world.objects.get(key).await.map_err(StageError::Store)?;
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
        return Err(conflict(world, key));
    }
    Ok(Proved {
        how: "read back and rebuilt",
        adopted: true,
        ..found.proved(None)
    })
}

/// Another's object lies there: but what answers may be no store at all, a page that says the same to
/// every question, until it was tried.
fn conflict(world: &World, key: &ObjectKey) -> StageError {
    let key = key.clone();
    match world.facts().is_tried() {
        true => StageError::Conflict { key },
        false => StageError::NotProved { key },
    }
}

/// The manifest is made once, and proved as the object is. The one of an adopted object is adopted
/// with it; where that has none, it gets ours, with its own digest in it. Tells which digest lies
/// there in the end.
async fn put_manifest(
    world: &World,
    (id, frozen): (&RecordingId, &Frozen),
    proved: &Proved,
    lock: Option<Lock>,
) -> Result<Digest, StageError> {
    let key = frozen.key.manifest();
    let ours = &frozen.manifest;
    let bytes = match proved.adopted {
        true => manifest::of_adopted(ours, proved.object_sha256, proved.object_bytes),
        false => ours.clone(),
    };
    let sha256 = Digest::of(&bytes);
    let asked = Asked {
        key: &key,
        sha256,
        bytes: bytes.len() as u64,
        lock,
    };
    let put = Put {
        key: &key,
        body: Body {
            head: bytes.into(),
            tail: None,
        },
        sha256,
        content_type: "application/json",
        metadata: Vec::new(),
        lock,
        or_unconditionally: false,
    };
    failpoint::before(Effect::Manifest);
    let stored = put_new(world, put).await?;
    failpoint::after(Effect::Manifest);
    let was_there = stored == Stored::AlreadyThere;
    let not_proved = || StageError::NotProved { key: key.clone() };
    let found = prove(world, &stored, asked).await?.ok_or_else(not_proved)?;
    if found.sha256 != sha256 {
        // As above: only what reads so twice is another's.
        let again = world.objects.read_whole(&key, manifest::MAX_BYTES).await;
        let again = again.map_err(StageError::Store)?.unwrap_or_default();
        if !was_there || Digest::of(&again) != found.sha256 {
            return Err(not_proved());
        }
        if !proved.adopted || !manifest::is_of(&again, id, proved.object_sha256) {
            return Err(conflict(world, &key));
        }
    }
    let manifest = Held {
        key: &key,
        version_id: found.version_id.as_deref(),
        lock: found.lock,
        is_ours: found.sha256 == sha256,
    };
    lock::hold(world, manifest, lock).await?;
    Ok(found.sha256)
}
