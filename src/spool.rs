//! Local files on their way from the PBX to the store.
//!
//! A file is written as `.part` and synced, looked at, renamed and its directory synced; only then
//! does it exist. The digest is taken while writing. Never here: deciding when a file may go; only
//! `Archived::release` says so.

mod writing;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::digest::{Digest, Hasher};
use crate::model::id::RecordingId;
use crate::model::id3;
use crate::model::mp3::{NotAudio, Walk, Walker};

pub use writing::{Fresh, Writing};

const PART: &str = "part";
const READ_BYTES: usize = 128 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what} {}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "no room to spool: {free_bytes} bytes free at {}, {reserve_bytes} are kept in reserve",
        path.display()
    )]
    NoRoom {
        path: PathBuf,
        free_bytes: u64,
        reserve_bytes: u64,
    },
    #[error("work on a spool file was interrupted")]
    Interrupted,
}

impl Error {
    /// Whether room is what is missing, so that it will come back.
    pub fn is_full(&self) -> bool {
        match self {
            Error::NoRoom { .. } => true,
            Error::File { source, .. } => {
                matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                )
            }
            Error::Interrupted => false,
        }
    }
}

fn file_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { what, path, source }
}

/// `data_dir/spool`.
#[derive(Debug, Clone)]
pub struct Spool {
    directory: PathBuf,
    reserve_bytes: u64,
}

/// A whole file in the spool, synced.
#[derive(Debug, Clone)]
pub struct Spooled {
    pub path: PathBuf,
    /// Open since it was written or found: what is walked and hashed is one file, whatever has its
    /// name by then.
    file: Arc<File>,
    pub bytes: u64,
    pub sha256: Digest,
}

impl Spool {
    pub fn open(directory: &Path, reserve_bytes: u64) -> Result<Spool, Error> {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(directory);
        made.map_err(file_error("make the directory", directory))?;
        Ok(Spool {
            directory: directory.to_owned(),
            reserve_bytes,
        })
    }

    /// Where a recording lies while it is here. A PBX name has no dot, so names cannot collide.
    pub fn path(&self, id: &RecordingId) -> PathBuf {
        self.directory
            .join(format!("{}.{}.mp3", id.pbx, id.recording))
    }

    /// What is free where a directory lies.
    pub fn free_bytes(directory: &Path) -> Result<u64, Error> {
        let stat = rustix::fs::statvfs(directory)
            .map_err(|errno| file_error("ask for room at", directory)(errno.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Refuses while less than the reserve is free: events must still find room to be logged.
    pub fn check_room(&self) -> Result<(), Error> {
        let free_bytes = Spool::free_bytes(&self.directory)?;
        if free_bytes < self.reserve_bytes {
            return Err(Error::NoRoom {
                path: self.directory.clone(),
                free_bytes,
                reserve_bytes: self.reserve_bytes,
            });
        }
        Ok(())
    }

    pub fn begin(&self, id: &RecordingId) -> Result<Writing, Error> {
        self.check_room()?;
        let path = self.path(id);
        // A recording may be looked for and downloaded at once: never two writers in one file.
        static NTH: AtomicU64 = AtomicU64::new(0);
        let nth = NTH.fetch_add(1, Ordering::Relaxed);
        let part = path.with_extension(format!("{nth}.{PART}"));
        Writing::begin(part, path)
    }

    /// The file of a recording, if it is here whole with the digest that was recorded for it.
    pub fn find(&self, id: &RecordingId, sha256: Digest) -> Result<Option<Spooled>, Error> {
        let path = self.path(id);
        let file = match File::open(&path) {
            Ok(file) => Arc::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file_error("open", &path)(error)),
        };
        let mut found = Spooled {
            path,
            file,
            bytes: 0,
            sha256,
        };
        let (mut hasher, mut bytes) = (Hasher::new(), 0);
        found.read(0, |chunk| {
            hasher.update(chunk);
            bytes += chunk.len() as u64;
        })?;
        found.bytes = bytes;
        Ok((hasher.finish() == sha256).then_some(found))
    }

    /// Drops the local copy of a recording.
    pub fn remove(&self, id: &RecordingId) -> Result<(), Error> {
        remove(&self.path(id))
    }

    /// At start, before anything is written: what killed writes left, and files that `wanted` does
    /// not know. Returns how many went.
    pub fn sweep(&self, wanted: impl Fn(&RecordingId) -> bool) -> Result<usize, Error> {
        let mut removed = 0;
        let listing = "list the directory";
        let entries =
            fs::read_dir(&self.directory).map_err(file_error(listing, &self.directory))?;
        for entry in entries {
            let entry = entry.map_err(file_error(listing, &self.directory))?;
            let path = entry.path();
            // A disk of its own has `lost+found`; what is no file is not ours.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let id = name.strip_suffix(".mp3").and_then(|stem| {
                let (pbx, recording) = stem.split_once('.')?;
                format!("{pbx}/{recording}").parse().ok()
            });
            if !id.is_some_and(|id| wanted(&id)) {
                remove(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(file_error("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// What a walk over a body's frames found.
pub struct Walked {
    /// The bytes of the source's own leading tags; audio begins behind them.
    pub source_tag_bytes: u64,
    pub walk: Walk,
}

impl Spooled {
    /// Walks the body to its last frame.
    pub fn walk(&self) -> Result<Result<Walked, NotAudio>, Error> {
        let source_tag_bytes = self.leading_tags()?;
        let mut walker = Walker::new();
        self.read(source_tag_bytes, |chunk| walker.push(chunk))?;
        Ok(walker.finish().map(|walk| Walked {
            source_tag_bytes,
            walk,
        }))
    }

    /// An existing tag is skipped by its size, checked against the file, never parsed.
    fn leading_tags(&self) -> Result<u64, Error> {
        let mut at = 0;
        // A longer one could not be carried; a body of nothing but tags ends here too.
        while at <= id3::SOURCE_TAG_MAX_BYTES as u64 {
            let left = self.bytes - at;
            let header = self.range(at, left.min(id3::HEADER_BYTES as u64) as usize)?;
            match id3::tag_len_at(&header, left) {
                Some(bytes) => at += bytes,
                None => break,
            }
        }
        Ok(at)
    }

    /// Passes the bytes from an offset on, in order.
    pub fn read(&self, from: u64, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
        let (mut at, mut buffer) = (from, vec![0; READ_BYTES]);
        loop {
            let read = self.file.read_at(&mut buffer, at);
            match read.map_err(file_error("read", &self.path))? {
                0 => return Ok(()),
                bytes => {
                    each(&buffer[..bytes]);
                    at += bytes as u64;
                }
            }
        }
    }

    /// The bytes of a range that must be small.
    pub fn range(&self, from: u64, bytes: usize) -> Result<Vec<u8>, Error> {
        let mut range = vec![0; bytes];
        let read = self.file.read_exact_at(&mut range, from);
        read.map_err(file_error("read", &self.path))?;
        Ok(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_exists_only_whole_and_is_found_by_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("spool"), 0).unwrap();
        let id: RecordingId = "hq/230307142318_40-2-1".parse().unwrap();
        let mut writing = spool.begin(&id).unwrap();
        writing.write(b"ab").unwrap();
        assert!(!spool.path(&id).exists());
        writing.write(b"c").unwrap();
        let spooled = writing.finish().unwrap().keep().unwrap();
        assert_eq!((spooled.bytes, spooled.sha256), (3, Digest::of(b"abc")));
        assert!(spool.find(&id, Digest::of(b"abc")).unwrap().is_some());
        assert!(spool.find(&id, Digest::of(b"abd")).unwrap().is_none());
        assert_eq!(spooled.range(1, 2).unwrap(), b"bc");
        spool.remove(&id).unwrap();
        spool.remove(&id).unwrap();
        assert!(spool.find(&id, Digest::of(b"abc")).unwrap().is_none());
    }

    #[test]
    fn two_who_write_the_same_recording_at_once_keep_apart() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), 0).unwrap();
        let id: RecordingId = "hq/230307142318_40-2-1".parse().unwrap();
        let (mut one, mut other) = (spool.begin(&id).unwrap(), spool.begin(&id).unwrap());
        one.write(b"one").unwrap();
        other.write(b"another").unwrap();
        drop(other);
        let kept = one.finish().unwrap().keep().unwrap();
        assert_eq!(std::fs::read(kept.path).unwrap(), b"one");
    }

    #[test]
    fn a_sweep_keeps_what_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), 0).unwrap();
        let kept: RecordingId = "hq/230307142318_40-2-1".parse().unwrap();
        let other: RecordingId = "hq/230307142318_40-1-1".parse().unwrap();
        for id in [&kept, &other] {
            spool.begin(id).unwrap().finish().unwrap().keep().unwrap();
        }
        let killed = spool.path(&other).with_extension(PART);
        std::fs::write(&killed, b"x").unwrap();
        std::fs::create_dir(dir.path().join("lost+found")).unwrap();
        assert_eq!(spool.sweep(|id| *id == kept).unwrap(), 2);
        drop(spool.begin(&other).unwrap().finish().unwrap());
        assert!(!killed.exists(), "what is not kept goes");
        assert!(spool.path(&kept).exists() && !spool.path(&other).exists());
    }

    #[test]
    fn the_reserve_holds_downloads_back() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), u64::MAX).unwrap();
        let refused = spool.check_room().unwrap_err();
        assert!(refused.is_full(), "{refused}");
    }
}
