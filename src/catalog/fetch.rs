//! Taking recordings out of the archive: read from the store, checked to the last byte, and only
//! then given a name.
//!
//! Never here: a partial file under a name, or another file overwritten.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::model::digest::{Digest, Hasher};
use crate::model::id::RecordingId;
use crate::model::key::ObjectKey;
use crate::objects::{self, ObjectStore};
use crate::store::search::RecordingRow;

#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    #[error("another file lies at {}: it is left as it is", path.display())]
    Exists { path: PathBuf },
    #[error("write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// The archive's integrity is in question, not this fetch alone.
    pub fn is_integrity(&self) -> bool {
        matches!(
            self,
            Error::Gone { .. } | Error::Damaged { .. } | Error::Index { .. }
        )
    }
}

/// A file that holds exactly what was archived.
#[derive(Debug)]
pub struct Fetched {
    pub path: PathBuf,
    pub bytes: u64,
    pub sha256: Digest,
    /// It lay there already, equal.
    pub was_there: bool,
}

/// Fetches one recording as `directory/name`. `progress` hears of each piece's bytes.
pub async fn fetch(
    store: &ObjectStore,
    row: &RecordingRow,
    directory: &Path,
    name: &str,
    mut progress: impl FnMut(u64),
) -> Result<Fetched, Error> {
    let id = &row.recording;
    let (key, expected) = archived(row)?;
    let path = directory.join(name);
    let failed = |source| Error::Write {
        path: path.clone(),
        source,
    };
    let store_failed = |source| Error::Store {
        id: id.clone(),
        source: Box::new(source),
    };
    let object = store.get(&key).await.map_err(store_failed)?;
    let Some(mut object) = object else {
        return Err(Error::Gone {
            id: id.clone(),
            key,
        });
    };
    let mut file = tempfile::Builder::new()
        .prefix(".callvault-")
        .suffix(".part")
        .tempfile_in(directory)
        .map_err(failed)?;
    let mut hasher = Hasher::new();
    while let Some(chunk) = object.chunk().await.map_err(store_failed)? {
        hasher.update(&chunk);
        file.write_all(&chunk).map_err(failed)?;
        progress(chunk.len() as u64);
    }
    let found = hasher.finish();
    if found != expected {
        return Err(Error::Damaged {
            id: id.clone(),
            expected,
            found,
        });
    }
    let fetched = |was_there| Fetched {
        path: path.clone(),
        bytes: object.bytes(),
        sha256: found,
        was_there,
    };
    match file.persist_noclobber(&path) {
        Ok(_) => Ok(fetched(false)),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            match digest_of(&path).map_err(failed)? == expected {
                true => Ok(fetched(true)),
                false => Err(Error::Exists { path: path.clone() }),
            }
        }
        Err(error) => Err(failed(error.error)),
    }
}

fn archived(row: &RecordingRow) -> Result<(ObjectKey, Digest), Error> {
    let id = row.recording.clone();
    if row.state != "archived" {
        return Err(Error::NotArchived {
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
    key.zip(digest).ok_or(Error::Index { id })
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}
