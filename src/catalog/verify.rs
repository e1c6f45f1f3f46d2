//! Reading recordings back from the store and proving that they are what was archived.
//!
//! Never here: a byte handed on whose object turned out to be another, without saying so.

use crate::model::digest::{Digest, Hasher};
use crate::model::id::RecordingId;
use crate::model::key::ObjectKey;
use crate::model::rebuilt::Rebuilt;
use crate::objects::{self, ObjectStore};
use crate::store::search::RecordingRow;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{id} is not archived: it is {state}")]
    NotArchived {
        id: RecordingId,
        state: String,
        reason: Option<String>,
    },
    #[error("the index holds a key or digest of {id} that is none")]
    Index { id: RecordingId },
    #[error("read {id} from the store")]
    Store {
        id: RecordingId,
        #[source]
        source: Box<objects::Error>,
    },
    #[error("{id} is gone from the store: nothing lies at {key}")]
    Gone { id: RecordingId, key: ObjectKey },
    #[error("{id} is not what was archived: expected SHA-256 {expected}, read {found}")]
    Damaged {
        id: RecordingId,
        expected: Digest,
        found: Digest,
    },
    #[error("the original of {id} cannot be rebuilt from what was archived")]
    Original { id: RecordingId },
}

impl ReadError {
    /// The archive's integrity is in question, not this reading alone.
    pub fn is_integrity(&self) -> bool {
        match self {
            ReadError::NotArchived { .. } | ReadError::Store { .. } => false,
            ReadError::Index { .. }
            | ReadError::Gone { .. }
            | ReadError::Damaged { .. }
            | ReadError::Original { .. } => true,
        }
    }
}

/// An object that was read to its end and is what was archived.
#[derive(Debug, Clone, Copy)]
pub struct Sound {
    pub bytes: u64,
    pub sha256: Digest,
}

/// Reads a recording's object, passing its bytes as they come. Only a return of `Ok` means that
/// they were the right ones.
pub async fn read(
    store: &ObjectStore,
    row: &RecordingRow,
    mut each: impl FnMut(&[u8]),
) -> Result<Sound, ReadError> {
    let id = &row.recording;
    let (key, expected) = archived(row)?;
    let failed = |source| ReadError::Store {
        id: id.clone(),
        source: Box::new(source),
    };
    let object = store.get(&key).await.map_err(failed)?;
    let Some(mut object) = object else {
        return Err(ReadError::Gone {
            id: id.clone(),
            key,
        });
    };
    let mut hasher = Hasher::new();
    while let Some(chunk) = object.chunk().await.map_err(failed)? {
        hasher.update(&chunk);
        each(&chunk);
    }
    let found = hasher.finish();
    match found == expected {
        true => Ok(Sound {
            bytes: object.bytes(),
            sha256: found,
        }),
        false => Err(ReadError::Damaged {
            id: id.clone(),
            expected,
            found,
        }),
    }
}

/// Reads a recording back and rebuilds its original.
pub async fn verify(store: &ObjectStore, row: &RecordingRow) -> Result<Sound, ReadError> {
    let mut rebuilt = Rebuilt::new(row.bytes.unwrap_or_default());
    let sound = read(store, row, |chunk| rebuilt.update(chunk)).await?;
    let original = row
        .original_sha256
        .as_deref()
        .and_then(|hex| hex.parse().ok());
    match original.is_some() && rebuilt.finish() == original {
        true => Ok(sound),
        false => Err(ReadError::Original {
            id: row.recording.clone(),
        }),
    }
}

fn archived(row: &RecordingRow) -> Result<(ObjectKey, Digest), ReadError> {
    let id = row.recording.clone();
    if row.state != "archived" {
        return Err(ReadError::NotArchived {
            id,
            state: row.state.clone(),
            reason: row.last_error.clone(),
        });
    }
    let key = row.object_key.as_deref().and_then(|key| key.parse().ok());
    let digest = row
        .object_sha256
        .as_deref()
        .and_then(|hex| hex.parse().ok());
    key.zip(digest).ok_or(ReadError::Index { id })
}
