//! Reading recordings back from the store and proving that they are what was archived.
//!
//! Never here: a byte handed on whose object turned out to be another, without saying so.

use std::fmt;

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
    #[error("{id} is {damage}: expected SHA-256 {expected}, read {found}")]
    Damaged {
        id: RecordingId,
        damage: Box<Damage>,
        expected: Digest,
        found: Digest,
    },
    #[error("the store gives {bytes} bytes of {id} where {expected_bytes} were archived")]
    Length {
        id: RecordingId,
        bytes: u64,
        expected_bytes: u64,
    },
    #[error("the manifest of {id} is gone from the store: nothing lies at {key}")]
    ManifestGone { id: RecordingId, key: ObjectKey },
    #[error("the manifest of {id} is not its own: expected SHA-256 {expected}, read {found}")]
    ManifestDamaged {
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
            | ReadError::Length { .. }
            | ReadError::ManifestGone { .. }
            | ReadError::ManifestDamaged { .. }
            | ReadError::Original { .. } => true,
        }
    }
}

/// How an object differs from what was archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    Cut {
        bytes: u64,
        expected_bytes: u64,
    },
    Grown {
        bytes: u64,
        expected_bytes: u64,
    },
    /// Another recording lies at its key.
    Swapped {
        with: String,
    },
    /// The same length, other bytes.
    Flipped,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Cut {
                bytes,
                expected_bytes,
            } => write!(f, "cut to {bytes} of {expected_bytes} bytes"),
            Damage::Grown {
                bytes,
                expected_bytes,
            } => write!(f, "grown to {bytes} from {expected_bytes} bytes"),
            Damage::Swapped { with } => write!(f, "swapped with {with:?}"),
            Damage::Flipped => f.write_str("changed in place"),
        }
    }
}

impl Damage {
    fn of(id: &RecordingId, says: Option<&str>, bytes: u64, expected_bytes: u64) -> Damage {
        match says {
            Some(with) if with != id.to_string() => Damage::Swapped {
                with: with.chars().take(128).collect(),
            },
            _ if bytes < expected_bytes => Damage::Cut {
                bytes,
                expected_bytes,
            },
            _ if bytes > expected_bytes => Damage::Grown {
                bytes,
                expected_bytes,
            },
            _ => Damage::Flipped,
        }
    }
}

/// An object that was read to its end and is what was archived.
#[derive(Debug, Clone, Copy)]
pub struct Sound {
    pub bytes: u64,
    pub sha256: Digest,
    /// Of the original that was rebuilt from it; none where its tag is not ours.
    pub original: Option<Digest>,
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
    let mut rebuilt = Rebuilt::new(object.bytes());
    while let Some(chunk) = object.chunk().await.map_err(failed)? {
        hasher.update(&chunk);
        rebuilt.update(&chunk);
        each(&chunk);
    }
    let found = hasher.finish();
    match found == expected {
        true => Ok(Sound {
            bytes: object.bytes(),
            sha256: found,
            original: rebuilt.finish(),
        }),
        false => {
            let says = rebuilt.recording_id();
            let expected_bytes = row.bytes.unwrap_or_default();
            Err(ReadError::Damaged {
                id: id.clone(),
                damage: Box::new(Damage::of(id, says, object.bytes(), expected_bytes)),
                expected,
                found,
            })
        }
    }
}

/// Reads a recording back, rebuilds its original, and looks for its manifest.
pub async fn verify(store: &ObjectStore, row: &RecordingRow) -> Result<Sound, ReadError> {
    let sound = read(store, row, |_| {}).await?;
    let original = row
        .original_sha256
        .as_deref()
        .and_then(|hex| hex.parse().ok());
    if original.is_none() || sound.original != original {
        return Err(ReadError::Original {
            id: row.recording.clone(),
        });
    }
    check_manifest(store, row).await?;
    Ok(sound)
}

async fn check_manifest(store: &ObjectStore, row: &RecordingRow) -> Result<(), ReadError> {
    let id = &row.recording;
    let (key, _) = archived(row)?;
    let key = key.manifest();
    let failed = |source| ReadError::Store {
        id: id.clone(),
        source: Box::new(source),
    };
    let digest = row.manifest_sha256.as_deref().map(str::parse);
    let expected: Digest = digest
        .and_then(Result::ok)
        .ok_or_else(|| ReadError::Index { id: id.clone() })?;
    let found = store.digest(&key).await.map_err(failed)?;
    let (found, _) = found.ok_or_else(|| ReadError::ManifestGone {
        id: id.clone(),
        key,
    })?;
    match found == expected {
        true => Ok(()),
        false => Err(ReadError::ManifestDamaged {
            id: id.clone(),
            expected,
            found,
        }),
    }
}

/// Where an archived recording lies, and what it must be.
#[derive(Debug, Clone)]
pub struct Stored {
    pub id: RecordingId,
    pub key: ObjectKey,
    pub sha256: Digest,
    pub bytes: u64,
}

impl Stored {
    pub(super) fn unread(&self, source: objects::Error) -> ReadError {
        ReadError::Store {
            id: self.id.clone(),
            source: Box::new(source),
        }
    }
}

pub fn stored(row: &RecordingRow) -> Result<Stored, ReadError> {
    let (key, sha256) = archived(row)?;
    Ok(Stored {
        id: row.recording.clone(),
        key,
        sha256,
        bytes: row.bytes.unwrap_or_default(),
    })
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
