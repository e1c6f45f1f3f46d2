//! Taking recordings out of the archive: read from the store, checked to the last byte, and only
//! then given a name.
//!
//! Never here: a partial file under a name, or another file overwritten.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::verify::{ReadError, read};
use crate::model::digest::{Digest, Hasher};
use crate::objects::ObjectStore;
use crate::store::search::RecordingRow;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("another file lies at {}: it is left as it is", path.display())]
    Exists { path: PathBuf },
    #[error("write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
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
    let path = directory.join(name);
    let failed = |source| Error::Write {
        path: path.clone(),
        source,
    };
    let mut file = tempfile::Builder::new()
        .prefix(".callvault-")
        .suffix(".part")
        .tempfile_in(directory)
        .map_err(failed)?;
    let mut written = Ok(());
    let object = read(store, row, |chunk| {
        progress(chunk.len() as u64);
        if written.is_ok() {
            written = file.write_all(chunk);
        }
    })
    .await?;
    written.map_err(failed)?;
    let fetched = |was_there| Fetched {
        path: path.clone(),
        bytes: object.bytes,
        sha256: object.sha256,
        was_there,
    };
    match file.persist_noclobber(&path) {
        Ok(_) => Ok(fetched(false)),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            match digest_of(&path).map_err(failed)? == object.sha256 {
                true => Ok(fetched(true)),
                false => Err(Error::Exists { path: path.clone() }),
            }
        }
        Err(error) => Err(failed(error.error)),
    }
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
