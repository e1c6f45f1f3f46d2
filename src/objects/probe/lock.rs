//! Trying the object lock, by all that it must refuse, on a version that is locked for a minute.
//!
//! Never here: a refusal taken for the lock's when the key may not do it to anything.

use std::time::Duration;

use super::{Canaries, digest, unknown};
use crate::model::chain::chain;
use crate::model::key::ObjectKey;
use crate::model::lock::{Lock, LockMode};
use crate::model::promise::{Fact, Holds, Promise};
use crate::model::time::UtcMs;
use crate::objects::Stored;
use crate::objects::error::Error;
use crate::objects::s3::Bucket;

const LOCKED_FOR: Duration = Duration::from_secs(60);
const LONGER_BY: Duration = Duration::from_secs(30);

/// A version and the lock that it was given.
struct Locked<'b> {
    bucket: &'b Bucket,
    key: ObjectKey,
    version_id: Option<String>,
    lock: Lock,
}

impl Canaries<'_> {
    pub(super) async fn locks(&mut self, bucket: &Bucket, mode: LockMode, now: UtcMs) -> Vec<Fact> {
        let [deletion, shortening, mode_change] = Promise::OF_LOCKS;
        let asked = match mode {
            LockMode::Governance => vec![deletion, shortening],
            LockMode::Compliance => vec![deletion, shortening, mode_change],
        };
        let all = |holds: Holds, detail: &str| -> Vec<Fact> {
            let fact = |promise: &Promise| Fact::new(*promise, holds, detail);
            asked.iter().map(fact).collect()
        };
        let (key, lock) = (self.key("lock"), Lock::new(mode, now.plus(LOCKED_FOR)));
        // Not to be removed with the others: that is what must fail.
        let put = super::canary(&key, "lock", Some(lock));
        let version_id = match self.store.put_new(put).await {
            Ok(Stored::Created { version_id, .. }) => version_id,
            Ok(Stored::AlreadyThere) => return all(Holds::Unknown, "no canary could be locked"),
            Err(error) if error.may_be_for_the_lock() => return all(Holds::No, &chain(&error)),
            Err(error) => return all(Holds::Unknown, &chain(&error)),
        };
        let mut locked = Locked {
            bucket,
            key,
            version_id,
            lock,
        };
        if let Ok(found) = locked.found().await
            && !found.is_some_and(|found| found.covers(lock))
        {
            // It may be removed, then.
            self.left.push((locked.key, locked.version_id));
            return all(Holds::No, "what was sent with a lock is there without it");
        }
        let may_delete = self.may_delete(bucket).await;
        let mut facts = locked.refuses_less(mode).await;
        facts.insert(0, locked.refuses_deletion(may_delete).await);
        facts
    }

    /// Whether this key may remove a version that is not locked.
    async fn may_delete(&mut self, bucket: &Bucket) -> Result<(), Error> {
        let key = self.key("control");
        match self.put(&key, "control", None).await? {
            Stored::AlreadyThere => Ok(()),
            Stored::Created { version_id, .. } => {
                let removed = bucket.remove_canary(&key, version_id.as_deref()).await;
                removed?;
                self.left.retain(|(left, _)| *left != key);
                Ok(())
            }
        }
    }
}

impl Locked<'_> {
    async fn found(&self) -> Result<Option<Lock>, Error> {
        self.bucket
            .lock(&self.key, self.version_id.as_deref())
            .await
    }

    async fn set(&self, lock: Lock) -> Result<(), Error> {
        let version_id = self.version_id.as_deref();
        self.bucket.set_lock(&self.key, version_id, lock).await
    }

    /// First longer, which must be done; then, by the same right, shorter and weaker.
    async fn refuses_less(&mut self, mode: LockMode) -> Vec<Fact> {
        let first = self.lock;
        let longer = Lock::new(mode, first.until.plus(LONGER_BY));
        let lengthened = self.set(longer).await;
        if lengthened.is_ok() {
            self.lock = longer;
        }
        let mut facts = vec![
            self.refuses(Promise::LockRefusesShortening, &lengthened, first)
                .await,
        ];
        if mode == LockMode::Compliance {
            let weaker = Lock::new(LockMode::Governance, longer.until.plus(LONGER_BY));
            let promise = Promise::LockRefusesModeChange;
            facts.push(self.refuses(promise, &lengthened, weaker).await);
        }
        facts
    }

    async fn refuses(&self, promise: Promise, may_set: &Result<(), Error>, less: Lock) -> Fact {
        if let Err(error) = may_set {
            return unknown(promise, error);
        }
        match self.set(less).await {
            Ok(()) => return Fact::new(promise, Holds::No, "it was acknowledged"),
            Err(error) if error.is_refusal() => {}
            Err(error) => return unknown(promise, &error),
        }
        match self.found().await {
            Ok(Some(found)) if found.covers(self.lock) => Fact::kept(promise),
            Ok(_) => Fact::new(promise, Holds::No, "it was refused, and the lock is less"),
            Err(error) => unknown(promise, &error),
        }
    }

    async fn refuses_deletion(&self, may_delete: Result<(), Error>) -> Fact {
        let (promise, version_id) = (Promise::LockRefusesDeletion, self.version_id.as_deref());
        match self.bucket.remove_canary(&self.key, version_id).await {
            Ok(_) => return Fact::new(promise, Holds::No, "it was acknowledged"),
            Err(error) if error.is_refusal() => {}
            Err(error) => return unknown(promise, &error),
        }
        match self.is_whole().await {
            Ok(false) => Fact::new(promise, Holds::No, "it was refused, and the object is gone"),
            Err(error) => unknown(promise, &error),
            Ok(true) => match may_delete {
                Ok(()) => Fact::kept(promise),
                Err(error) => unknown(promise, &error),
            },
        }
    }

    async fn is_whole(&self) -> Result<bool, Error> {
        let version_id = self.version_id.as_deref();
        let found = self.bucket.get(&self.key, version_id, None).await?;
        let Some(mut body) = found else {
            return Ok(false);
        };
        let mut hasher = crate::model::digest::Hasher::new();
        // A body that breaks off is not whole either.
        while let Ok(Some(chunk)) = body.chunk().await {
            hasher.update(&chunk);
        }
        Ok(hasher.finish() == digest(&self.key, "lock"))
    }
}
