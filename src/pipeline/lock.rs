//! Object lock on the way to the store: which lock a recording is sent with, and what became of it.
//!
//! Never here: making a lock less, or claiming one that the store was seen to break.

use std::time::Duration;

use super::World;
use super::error::StageError;
use crate::model::key::ObjectKey;
use crate::model::lock::{Lock, LockMode};
use crate::objects::Error;
use crate::store::claims::{Claim, Locked};
use crate::store::transitions;

/// The store is tried at start, within moments; an upload that comes first waits so long for it.
const TRIED_WITHIN: Duration = Duration::from_secs(10);

/// The lock that this recording's objects are sent with, by every try the same: committed before
/// the first PUT. One that has passed meanwhile promises nothing any more, and no store takes such a
/// date: another is committed in its place.
pub async fn promised(world: &World, claim: &Claim) -> Result<Option<Lock>, StageError> {
    let mode = claim.lock.map(|lock| lock.mode);
    let Some(mode) = mode.or(world.object_lock.map(|wanted| wanted.mode)) else {
        return Ok(None);
    };
    must_be_tried(world, mode).await?;
    let now = world.clock.now();
    let lock = match (
        claim.lock.filter(|lock| lock.until > now),
        world.object_lock,
    ) {
        (Some(lock), _) => lock,
        (None, None) => return Ok(None),
        (None, Some(wanted)) => {
            let lock = Lock::new(wanted.mode, now.plus(wanted.lock_for));
            let claim = claim.clone();
            let committed = world
                .store
                .write(move |tx| transitions::promise_lock(tx, &claim, lock));
            committed.await.map_err(|source| StageError::Index {
                stage: "upload",
                source,
            })?;
            lock
        }
    };
    Ok(Some(lock))
}

/// No lock is claimed on the word of a store that was not tried. Where it was seen to break its
/// locks, compliance, which is a promise to others, is refused.
async fn must_be_tried(world: &World, mode: LockMode) -> Result<(), StageError> {
    let mut known = world.known.clone();
    let answered = known.wait_for(|facts| !facts.0.is_empty());
    // Nobody tries it any more only when the service ends.
    let _ = tokio::time::timeout(TRIED_WITHIN, answered).await;
    let facts = world.facts();
    if !facts.is_tried() {
        return Err(StageError::LockNotTried);
    }
    match facts.broken_lock() {
        Some(fact) if mode == LockMode::Compliance => {
            Err(StageError::LockNotEnforced { fact: fact.says() })
        }
        _ => Ok(()),
    }
}

/// An object whose lock is looked at.
pub struct Held<'k> {
    pub key: &'k ObjectKey,
    pub version_id: Option<&'k str>,
    /// As the store told it with the object.
    pub lock: Option<Lock>,
    /// It was sent by this row, with its lock; not made by somebody before it.
    pub is_ours: bool,
}

/// Sees to it that the object has at least the lock that is wanted.
pub async fn hold(
    world: &World,
    object: Held<'_>,
    wanted: Option<Lock>,
) -> Result<Option<Locked>, StageError> {
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    let facts = world.facts();
    if facts.broken_lock().is_some() {
        let how = "this store was seen to break its locks";
        return Ok(Some(Locked { lock: None, how }));
    }
    let seen = |lock, how| Ok(Some(Locked { lock, how }));
    if object.lock.is_some_and(|lock| lock.covers(wanted)) {
        return seen(object.lock, "read back");
    }
    let read = || world.objects.lock(object.key, object.version_id);
    let found = match read().await {
        Ok(found) => found,
        Err(Error::Refused { .. }) if object.is_ours => {
            return seen(Some(wanted), "as sent; this key may not read it back");
        }
        Err(error) => return Err(StageError::Store(error)),
    };
    if found.is_some_and(|lock| lock.covers(wanted)) {
        return seen(found, "read back");
    }
    let not_kept = || StageError::LockNotKept {
        key: object.key.clone(),
    };
    if !facts.lengthens_locks() {
        return Err(not_kept());
    }
    let longer = found.map_or(wanted, |found| found.and(wanted));
    let set = world
        .objects
        .lengthen(object.key, object.version_id, longer);
    set.await.map_err(StageError::Store)?;
    let found = read().await.map_err(StageError::Store)?;
    match found.is_some_and(|lock| lock.covers(wanted)) {
        true => seen(found, "lengthened and read back"),
        false => Err(not_kept()),
    }
}
