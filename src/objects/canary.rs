//! Trying a store out: a small object is written, read back and removed.
//!
//! Never here: a recording's key. A canary's name cannot be made from any template.

use super::error::Error;
use super::{Body, ObjectStore, Put, Stored};
use crate::model::digest::{Digest, Hasher};
use crate::model::key::ObjectKey;

/// Canaries and the temporaries of the directory store begin with this; a sweep takes both.
pub(super) const PREFIX: &str = ".callvault-";
const SUFFIX: &str = ".part";

/// How a canary fared that was written and read back.
#[derive(Debug)]
pub enum Canary {
    Removed,
    /// It stays, which an upload-only key intends.
    Stays {
        key: ObjectKey,
        error: Error,
    },
}

impl ObjectStore {
    /// Writes a canary, reads it back, removes it. The error's operation tells which right is
    /// missing. `token` makes its name one that nobody has used: letters and digits.
    pub async fn canary(&self, token: &str) -> Result<Canary, Error> {
        let name = format!("{PREFIX}canary-{token}{SUFFIX}");
        let key: ObjectKey = name
            .parse()
            .expect("a token of letters and digits makes a key");
        let bytes = format!("callvault {token}\n").into_bytes();
        let sha256 = Digest::of(&bytes);
        let stored = self.put_new(Put {
            key: &key,
            body: Body::from(bytes::Bytes::from(bytes)),
            sha256,
            content_type: "text/plain",
            metadata: Vec::new(),
        });
        let version_id = match stored.await? {
            Stored::Created { version_id } => version_id,
            Stored::AlreadyThere => None,
        };
        let read = self.digest(&key).await;
        let removed = self.remove_canary(&key, version_id.as_deref()).await;
        if read? != Some(sha256) {
            return Err(Error::OtherContent { key });
        }
        Ok(match removed {
            Ok(()) => Canary::Removed,
            Err(error) => Canary::Stays { key, error },
        })
    }

    /// The digest of an object's bytes as they are read; none where there is no object.
    pub async fn digest(&self, key: &ObjectKey) -> Result<Option<Digest>, Error> {
        let Some(mut object) = self.get(key).await? else {
            return Ok(None);
        };
        let mut hasher = Hasher::new();
        while let Some(chunk) = object.chunk().await? {
            hasher.update(&chunk);
        }
        Ok(Some(hasher.finish()))
    }

    async fn remove_canary(&self, key: &ObjectKey, version_id: Option<&str>) -> Result<(), Error> {
        match self {
            ObjectStore::Directory(directory) => directory.remove_canary(key).await,
            ObjectStore::S3(bucket) => bucket.remove_canary(key, version_id).await,
        }
    }
}
