//! A body being written, until it has its name.
//!
//! Never here: a name for what is not whole and on disk.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{Error, Spooled, file_error};
use crate::failpoint::{self, Effect};
use crate::model::digest::{Digest, Hasher};

/// A file that does not exist yet. Dropped, it is gone.
pub struct Writing {
    file: File,
    part: Part,
    path: PathBuf,
    hasher: Hasher,
    pub bytes: u64,
}

/// A whole body, synced, that has no name yet: it is looked at before it is kept.
pub struct Fresh {
    part: Part,
    path: PathBuf,
    bytes: u64,
    sha256: Digest,
}

/// The name of a temporary, removed unless it was renamed.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // What cannot be removed now is swept at the next start.
        let _ = fs::remove_file(&self.0);
    }
}

impl Writing {
    /// Under a temporary name; `path` is what it will be.
    pub(super) fn begin(part: PathBuf, path: PathBuf) -> Result<Writing, Error> {
        failpoint::before(Effect::SpoolCreate);
        let file = File::create(&part).map_err(file_error("create", &part))?;
        failpoint::after(Effect::SpoolCreate);
        Ok(Writing {
            file,
            part: Part(part),
            path,
            hasher: Hasher::new(),
            bytes: 0,
        })
    }

    pub fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        failpoint::before(Effect::SpoolWrite);
        self.file
            .write_all(chunk)
            .map_err(file_error("write", &self.part.0))?;
        failpoint::after(Effect::SpoolWrite);
        self.hasher.update(chunk);
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    pub fn finish(self) -> Result<Fresh, Error> {
        failpoint::before(Effect::SpoolSync);
        self.file
            .sync_all()
            .map_err(file_error("sync", &self.part.0))?;
        failpoint::after(Effect::SpoolSync);
        Ok(Fresh {
            part: self.part,
            path: self.path,
            bytes: self.bytes,
            sha256: self.hasher.finish(),
        })
    }
}

impl Fresh {
    /// The body as it lies there now, under its temporary name.
    pub fn body(&self) -> Spooled {
        Spooled {
            path: self.part.0.clone(),
            bytes: self.bytes,
            sha256: self.sha256,
        }
    }

    /// As `keep`, under another recording's name.
    pub fn keep_as(mut self, path: &Path) -> Result<Spooled, Error> {
        self.path = path.to_owned();
        self.keep()
    }

    /// Makes the file exist, durably, in place of an earlier one of the same recording.
    pub fn keep(self) -> Result<Spooled, Error> {
        failpoint::before(Effect::SpoolRename);
        fs::rename(&self.part.0, &self.path).map_err(file_error("rename", &self.part.0))?;
        failpoint::after(Effect::SpoolRename);
        let directory = self.path.parent().unwrap_or(Path::new("."));
        failpoint::before(Effect::SpoolDirectorySync);
        let synced = File::open(directory).and_then(|opened| opened.sync_all());
        synced.map_err(file_error("sync the directory of", &self.path))?;
        failpoint::after(Effect::SpoolDirectorySync);
        Ok(Spooled {
            path: self.path.clone(),
            bytes: self.bytes,
            sha256: self.sha256,
        })
    }
}
