//! Trying a store out: what it promises by its protocol, asked with canaries, that is small objects
//! which are written, read back and removed.
//!
//! Never here: a recording's key (a canary's name cannot be made from any template), or what is
//! done about a promise that does not hold.

mod lock;

use bytes::Bytes;

use super::error::Error;
use super::s3::Bucket;
use super::{Body, ObjectStore, Put, Stored};
use crate::model::chain::chain;
use crate::model::digest::Digest;
use crate::model::key::ObjectKey;
use crate::model::lock::{Lock, LockMode};
use crate::model::promise::{Fact, Holds, Promise};
use crate::model::time::UtcMs;

/// Canaries and the temporaries of the directory store begin with this; a sweep takes both.
pub(super) const PREFIX: &str = ".callvault-";
const SUFFIX: &str = ".part";
/// Of one key, at once.
const WRITERS: usize = 4;

/// A store that took a canary and gave it back.
#[derive(Debug)]
pub struct Probe {
    pub facts: Vec<Fact>,
    /// A canary that could not be removed, which an upload-only key intends.
    pub stays: Option<(ObjectKey, Error)>,
}

impl ObjectStore {
    /// Tries everything that this kind of store promises; the lock only where one is asked for. An
    /// error where not even a canary could be written and read back; its operation tells which
    /// right is missing. `token` makes names that nobody has used: letters and digits.
    pub async fn probe(
        &self,
        token: &str,
        lock: Option<LockMode>,
        now: UtcMs,
    ) -> Result<Probe, Error> {
        let mut canaries = Canaries {
            store: self,
            token,
            left: Vec::new(),
        };
        let facts = canaries.ask(lock, now).await;
        let stays = canaries.remove().await;
        let facts = facts?;
        Ok(Probe { facts, stays })
    }
}

/// Canaries of one probe, and what is to be removed of them.
struct Canaries<'s> {
    store: &'s ObjectStore,
    token: &'s str,
    left: Vec<(ObjectKey, Option<String>)>,
}

impl Canaries<'_> {
    async fn ask(&mut self, lock: Option<LockMode>, now: UtcMs) -> Result<Vec<Fact>, Error> {
        let first = self.key("first");
        let mut facts = vec![self.keeps_objects(&first).await?];
        facts.push(self.refuses_wrong_sha256().await);
        if let ObjectStore::S3(_) = self.store {
            facts.push(self.returns_sha256(&first).await);
        }
        facts.push(self.lets_one_writer_win().await);
        if let ObjectStore::S3(bucket) = self.store {
            facts.push(self.keeps_versions(bucket, &first).await);
            if let Some(mode) = lock {
                facts.extend(self.locks(bucket, mode, now).await);
            }
        }
        Ok(facts)
    }

    fn key(&self, what: &str) -> ObjectKey {
        let name = format!("{PREFIX}canary-{}-{what}{SUFFIX}", self.token);
        name.parse()
            .expect("a token of letters and digits makes a key")
    }

    /// Writes what `key` and `text` make, and remembers to remove it.
    async fn put(
        &mut self,
        key: &ObjectKey,
        text: &str,
        lock: Option<Lock>,
    ) -> Result<Stored, Error> {
        let stored = self.store.put_new(canary(key, text, lock)).await;
        self.note(key, &stored);
        stored
    }

    fn note(&mut self, key: &ObjectKey, stored: &Result<Stored, Error>) {
        if let Ok(Stored::Created { version_id, .. }) = stored {
            let made = (key.clone(), version_id.clone());
            if !self.left.contains(&made) {
                self.left.push(made);
            }
        }
    }

    async fn keeps_objects(&mut self, key: &ObjectKey) -> Result<Fact, Error> {
        self.put(key, "first", None).await?;
        match self.store.digest(key).await? {
            Some((found, _)) if found == digest(key, "first") => {
                Ok(Fact::kept(Promise::KeepsObjects))
            }
            Some(_) => Err(Error::OtherContent { key: key.clone() }),
            None => Err(Error::NotKept { key: key.clone() }),
        }
    }

    async fn refuses_wrong_sha256(&mut self) -> Fact {
        let (promise, key) = (Promise::RefusesWrongSha256, self.key("wrong"));
        let put = Put {
            sha256: Digest::of(b"another"),
            ..canary(&key, "wrong", None)
        };
        let stored = self.store.put_new(put).await;
        self.note(&key, &stored);
        let refused = match stored {
            Ok(_) => return Fact::new(promise, Holds::No, "it was acknowledged"),
            Err(error) if error.is_refusal() => error,
            Err(error) => return unknown(promise, &error),
        };
        match self.store.digest(&key).await {
            Ok(None) => Fact::kept(promise),
            Ok(Some(_)) => {
                self.left.push((key, None));
                let detail = format!("stored all the same: {}", chain(&refused));
                Fact::new(promise, Holds::No, detail)
            }
            Err(error) => unknown(promise, &error),
        }
    }

    async fn returns_sha256(&self, key: &ObjectKey) -> Fact {
        let promise = Promise::ReturnsSha256;
        match self.store.head(key).await {
            Ok(Some(head)) if head.sha256 == Some(digest(key, "first")) => Fact::kept(promise),
            Ok(Some(head)) => match head.sha256 {
                Some(_) => Fact::new(promise, Holds::No, "HEAD has another one"),
                None => Fact::new(promise, Holds::No, "HEAD has none"),
            },
            Ok(None) => Fact::new(promise, Holds::No, "HEAD denies what is there"),
            Err(error) => unknown(promise, &error),
        }
    }

    /// Several at once, each with its own content, and one that comes late.
    async fn lets_one_writer_win(&mut self) -> Fact {
        let (promise, key) = (Promise::LetsOneWriterWin, self.key("race"));
        let texts: Vec<String> = (0..WRITERS).map(|writer| writer.to_string()).collect();
        let write = |text| {
            self.store.put_new(Put {
                or_unconditionally: false,
                ..canary(&key, text, None)
            })
        };
        let race = texts.iter().map(|text| write(text.as_str()));
        let mut ended = futures_util::future::join_all(race).await;
        ended.push(write("late").await);
        for stored in &ended {
            self.note(&key, stored);
        }
        let is_winner = |at: &usize| matches!(ended[*at], Ok(Stored::Created { .. }));
        let winners: Vec<usize> = (0..ended.len()).filter(is_winner).collect();
        if winners.len() > 1 {
            let of = ended.len();
            let detail = format!("{} of {of} writers of one key won", winners.len());
            return Fact::new(promise, Holds::No, detail);
        }
        for error in ended.iter().filter_map(|stored| stored.as_ref().err()) {
            if winners.is_empty() && error.is_not_implemented() {
                return Fact::new(promise, Holds::No, chain(error));
            }
            if !matches!(error, Error::Busy { .. }) {
                return unknown(promise, error);
            }
        }
        let winner = winners.first().and_then(|winner| texts.get(*winner));
        let Some(winner) = winner else {
            return Fact::new(promise, Holds::Unknown, "no writer won");
        };
        match self.store.digest(&key).await {
            Ok(Some((found, _))) if found == digest(&key, winner) => Fact::kept(promise),
            Ok(_) => Fact::new(promise, Holds::No, "what lies there is not the winner's"),
            Err(error) => unknown(promise, &error),
        }
    }

    /// A second version of the first canary, with a plain delete between the two: the first must
    /// still be readable.
    async fn keeps_versions(&mut self, bucket: &Bucket, key: &ObjectKey) -> Fact {
        let promise = Promise::KeepsVersions;
        let first = self.left.iter().find(|(left, _)| left == key);
        let Some(first) = first.and_then(|(_, version_id)| version_id.clone()) else {
            return Fact::new(promise, Holds::No, "a PUT is answered without a version id");
        };
        match bucket.remove_canary(key, None).await {
            Ok(marker) => self
                .left
                .extend(marker.map(|marker| (key.clone(), Some(marker)))),
            Err(error) => return unknown(promise, &error),
        }
        if let Err(error) = self.put(key, "second", None).await {
            return unknown(promise, &error);
        }
        match bucket.get(key, Some(&first), None).await {
            Ok(Some(_)) => Fact::kept(promise),
            Ok(None) => Fact::new(promise, Holds::No, "a plain DELETE takes the version too"),
            Err(error) => unknown(promise, &error),
        }
    }

    /// All, also where some stay; the first that does.
    async fn remove(self) -> Option<(ObjectKey, Error)> {
        let mut stays = None;
        for (key, version_id) in self.left {
            let removed = match self.store {
                ObjectStore::Directory(directory) => directory.remove_canary(&key).await,
                ObjectStore::S3(bucket) => {
                    let removed = bucket.remove_canary(&key, version_id.as_deref()).await;
                    removed.map(|_| ())
                }
            };
            if let Err(error) = removed {
                stays = stays.or(Some((key, error)));
            }
        }
        stays
    }
}

fn content(key: &ObjectKey, text: &str) -> Bytes {
    format!("callvault {key} {text}\n").into()
}

fn digest(key: &ObjectKey, text: &str) -> Digest {
    Digest::of(&content(key, text))
}

fn canary<'k>(key: &'k ObjectKey, text: &str, lock: Option<Lock>) -> Put<'k> {
    Put {
        key,
        body: Body::from(content(key, text)),
        sha256: digest(key, text),
        content_type: "text/plain",
        metadata: Vec::new(),
        lock,
        // Nobody else has its name; what the condition is worth is asked on purpose.
        or_unconditionally: true,
    }
}

fn unknown(promise: Promise, error: &Error) -> Fact {
    Fact::new(promise, Holds::Unknown, chain(error))
}
