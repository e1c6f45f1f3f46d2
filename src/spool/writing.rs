//! A body being written, until it has its name.
//!
//! Never here: a name for what is not whole and on disk.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Error, Spooled, file_error};
use crate::failpoint::{self, Effect};
use crate::model::digest::Hasher;

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
    body: Spooled,
}

/// The name of a temporary, removed unless it was renamed.
struct Part {
    path: PathBuf,
    is_renamed: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_renamed {
            // What cannot be removed now is swept at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Writing {
    /// Under a temporary name; `path` is what it will be.
    pub(super) fn begin(part: PathBuf, path: PathBuf) -> Result<Writing, Error> {
        failpoint::before(Effect::SpoolCreate);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&part).map_err(file_error("create", &part))?;
        failpoint::after(Effect::SpoolCreate);
        Ok(Writing {
            file,
            part: Part {
                path: part,
                is_renamed: false,
            },
            path,
            hasher: Hasher::new(),
            bytes: 0,
        })
    }

    pub fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        failpoint::before(Effect::SpoolWrite);
        self.file
            .write_all(chunk)
            .map_err(file_error("write", &self.part.path))?;
        failpoint::after(Effect::SpoolWrite);
        self.hasher.update(chunk);
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    pub fn finish(self) -> Result<Fresh, Error> {
        failpoint::before(Effect::SpoolSync);
        self.file
            .sync_all()
            .map_err(file_error("sync", &self.part.path))?;
        failpoint::after(Effect::SpoolSync);
        let body = Spooled {
            path: self.part.path.clone(),
            file: Arc::new(self.file),
            bytes: self.bytes,
            sha256: self.hasher.finish(),
        };
        Ok(Fresh {
            part: self.part,
            path: self.path,
            body,
        })
    }
}

impl Fresh {
    /// The body as it lies there now, under its temporary name.
    pub fn body(&self) -> &Spooled {
        &self.body
    }

    /// As `keep`, under another recording's name.
    pub fn keep_as(mut self, path: &Path) -> Result<Spooled, Error> {
        self.path = path.to_owned();
        self.keep()
    }

    /// Makes the file exist, durably, in place of an earlier one of the same recording.
    pub fn keep(mut self) -> Result<Spooled, Error> {
        let part = &self.part.path;
        failpoint::before(Effect::SpoolRename);
        fs::rename(part, &self.path).map_err(file_error("rename", part))?;
        failpoint::after(Effect::SpoolRename);
        self.part.is_renamed = true;
        let directory = self.path.parent().unwrap_or(Path::new("."));
        failpoint::before(Effect::SpoolDirectorySync);
        let synced = File::open(directory).and_then(|opened| opened.sync_all());
        synced.map_err(file_error("sync the directory of", &self.path))?;
        failpoint::after(Effect::SpoolDirectorySync);
        Ok(Spooled {
            path: self.path,
            ..self.body
        })
    }
}
