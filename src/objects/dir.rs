//! A directory as object store: for trials, and for sites whose archive is a mounted volume.
//!
//! Never here: following a symlink below the directory, or a file that appears before it is whole
//! and on disk. User metadata is not kept; the manifest beside each recording has it all.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::body::{self, Body};
use super::error::{At, Error, Operation};
use super::{Head, Put, Stored};
use crate::failpoint::{self, Effect};
use crate::model::digest::{Digest, Hasher};
use crate::model::key::ObjectKey;
use crate::model::time::UtcMs;

/// Unfinished writes lie in the root, where a sweep finds them without walking the archive.
const PART_PREFIX: &str = super::probe::PREFIX;
const PART_SUFFIX: &str = ".part";
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
    /// Something was archived: a root without anything is a mount point without its volume.
    holds: Arc<AtomicBool>,
}

impl Directory {
    /// One that is away is told at each use: it may come back, and events are logged meanwhile.
    pub(super) fn open(root: &Path) -> Directory {
        Directory {
            root: root.to_owned(),
            holds: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Makes the directory where it can, unless it must be there.
    pub(super) async fn make_ready(&self, holds: bool) {
        self.holds.store(holds, Ordering::Relaxed);
        if !holds {
            let root = self.root.clone();
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(DIRECTORY_MODE);
            let _ = blocking(move || builder.create(&root)).await;
        }
    }

    pub(super) async fn put_new(&self, put: Put<'_>) -> Result<Stored, Error> {
        let (this, at) = (self.clone(), At::new(Operation::Put, put.key));
        let Put { body, sha256, .. } = put;
        blocking(move || {
            let disk = |source| Error::disk(at.clone(), source);
            this.is_there().map_err(disk)?;
            let part = write_part(&this.root, &body, sha256, &at)?;
            let stored = publish(&this.root, &at.key, &part).map_err(disk)?;
            let is_canary = at.key.as_str().starts_with(PART_PREFIX);
            this.holds.fetch_or(!is_canary, Ordering::Relaxed);
            Ok(stored)
        })
        .await
    }

    /// Without this the only copies would go under a mount point, out of sight when it is mounted.
    fn is_there(&self) -> io::Result<()> {
        let is_missed = self.holds.load(Ordering::Relaxed) && is_empty(&self.root)?;
        match is_missed {
            true => Err(io::Error::other(format!(
                "{} is empty, and recordings were archived: is its volume mounted? \
                 (one that is to be new needs a file in it)",
                self.root.display()
            ))),
            false => Ok(()),
        }
    }

    /// A directory has no checksums: whoever needs one reads the object back.
    pub(super) async fn head(&self, key: &ObjectKey) -> Result<Option<Head>, Error> {
        let found = self.find(Operation::Head, key).await?;
        Ok(found.map(|object| head(object.bytes)))
    }

    pub(super) async fn get(&self, key: &ObjectKey) -> Result<Option<OpenObject>, Error> {
        self.find(Operation::Get, key).await
    }

    /// Of all that is not whole, or of what nobody has written to since that moment.
    pub(super) async fn sweep(&self, since: Option<UtcMs>) -> Result<usize, Error> {
        let root = self.root.clone();
        blocking(move || {
            remove_parts(&root, since).map_err(|source| Error::Sweep { path: root, source })
        })
        .await
    }

    /// A canary lies in the root, as temporaries do.
    pub(super) async fn remove_canary(&self, key: &ObjectKey) -> Result<(), Error> {
        let (path, at) = (
            self.root.join(key.as_str()),
            At::new(Operation::Remove, key),
        );
        blocking(move || fs::remove_file(path).map_err(|source| Error::disk(at, source))).await
    }

    pub(super) fn describe(&self) -> String {
        self.root.display().to_string()
    }

    async fn find(
        &self,
        operation: Operation,
        key: &ObjectKey,
    ) -> Result<Option<OpenObject>, Error> {
        let (this, at) = (self.clone(), At::new(operation, key));
        blocking(move || {
            let found = this
                .is_there()
                .and_then(|()| open_object(&this.root, &at.key));
            found.map_err(|source| Error::disk(at, source))
        })
        .await
    }
}

pub(super) fn head(bytes: u64) -> Head {
    Head {
        bytes,
        sha256: None,
        version_id: None,
        lock: None,
    }
}

/// A stored file being read.
#[derive(Debug)]
pub struct OpenObject {
    file: Arc<File>,
    bytes: u64,
}

impl OpenObject {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// At least a byte.
    pub(super) async fn chunk(&self, from: u64, most_bytes: u64) -> io::Result<Bytes> {
        body::read_at(Arc::clone(&self.file), from, most_bytes).await
    }
}

/// The digest that the bytes on their way to disk had, where another was promised.
#[derive(Debug, thiserror::Error)]
#[error("expected {expected}, found {found}")]
struct WrongDigest {
    expected: Digest,
    found: Digest,
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .expect("file work does not panic, and is not cancelled once begun")
}

/// Writes a body to a temporary file and through to disk. Dropped unpublished, it is gone.
fn write_part(
    root: &Path,
    body: &Body,
    sha256: Digest,
    at: &At,
) -> Result<tempfile::NamedTempFile, Error> {
    let disk = |source| Error::disk(at.clone(), source);
    let mut part = tempfile::Builder::new()
        .prefix(PART_PREFIX)
        .suffix(PART_SUFFIX)
        .permissions(Permissions::from_mode(FILE_MODE))
        .tempfile_in(root)
        .map_err(disk)?;
    let mut hasher = Hasher::new();
    failpoint::before(Effect::ObjectWrite);
    body.feed(|chunk| {
        hasher.update(chunk);
        part.write_all(chunk).map_err(disk)
    })?;
    failpoint::after(Effect::ObjectWrite);
    let found = hasher.finish();
    if found != sha256 {
        return Err(Error::BadDigest {
            at: at.clone(),
            source: Box::new(WrongDigest {
                expected: sha256,
                found,
            }),
        });
    }
    failpoint::before(Effect::ObjectSync);
    part.as_file().sync_all().map_err(disk)?;
    failpoint::after(Effect::ObjectSync);
    Ok(part)
}

/// Gives a finished file its name, unless the name is taken. The directories above it are synced
/// all the way up, also where this call made none: another writer may have made one and not
/// come to its sync yet.
fn publish(root: &Path, key: &ObjectKey, part: &tempfile::NamedTempFile) -> io::Result<Stored> {
    let (parents, name) = split(key);
    let mut directories = vec![open_root(root)?];
    for parent in parents {
        let above = &directories[directories.len() - 1];
        failpoint::before(Effect::ObjectDirectory);
        match rustix::fs::mkdirat(above, parent, Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        failpoint::after(Effect::ObjectDirectory);
        let below = open_below(above, parent, OFlags::DIRECTORY)?;
        directories.push(below);
    }
    failpoint::before(Effect::ObjectRename);
    let stored = match take_name(part.path(), &directories[directories.len() - 1], name) {
        Ok(()) => Stored::Created {
            version_id: None,
            sha256: None,
        },
        Err(Errno::EXIST) => Stored::AlreadyThere,
        Err(errno) => return Err(errno.into()),
    };
    failpoint::after(Effect::ObjectRename);
    failpoint::before(Effect::ObjectDirectorySync);
    for directory in directories.iter().rev() {
        rustix::fs::fsync(directory)?;
    }
    failpoint::after(Effect::ObjectDirectorySync);
    Ok(stored)
}

/// Moves a file to a name that nothing has. NFS knows no such move, but links.
fn take_name(part: &Path, directory: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(CWD, part, directory, name, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => link_name(part, directory, name),
        moved => moved,
    }
}

/// The link is the object; the temporary name goes when the part is dropped.
fn link_name(part: &Path, directory: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    rustix::fs::linkat(CWD, part, directory, name, AtFlags::empty())
}

fn open_object(root: &Path, key: &ObjectKey) -> io::Result<Option<OpenObject>> {
    let (mut parents, name) = split(key);
    // Outside the search: a root that is gone is a failure, not an absent object.
    let mut directory = open_root(root)?;
    let found = parents
        .try_for_each(|parent| {
            directory = open_below(&directory, parent, OFlags::DIRECTORY)?;
            Ok(())
        })
        // NONBLOCK, or a FIFO in the way would hold us for ever.
        .and_then(|()| open_below(&directory, name, OFlags::NONBLOCK));
    let file = match found {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(Some(OpenObject {
        file: Arc::new(file),
        bytes: metadata.len(),
    }))
}

/// The directories above an object, from the root down, and its own name.
fn split(key: &ObjectKey) -> (impl Iterator<Item = &str>, &str) {
    let (parents, name) = key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()));
    (parents.split('/').filter(|part| !part.is_empty()), name)
}

/// The root itself may be a symlink: that is the administrator's choice.
fn open_root(root: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(root, flags, Mode::empty())?)
}

/// Name by name and never through a symlink, so that nothing leads out of the root.
fn open_below(directory: &OwnedFd, name: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory.as_fd(), name, flags, Mode::empty())
}

/// But for what is not whole.
fn is_empty(root: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(root)? {
        if !entry?
            .file_name()
            .as_encoded_bytes()
            .starts_with(PART_PREFIX.as_bytes())
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn remove_parts(root: &Path, since: Option<UtcMs>) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with(PART_PREFIX) || !name.ends_with(PART_SUFFIX) {
            continue;
        }
        // Whoever wrote it may have removed it by now.
        match remove_part(&entry.path(), since) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            is_gone => removed += usize::from(is_gone?),
        }
    }
    Ok(removed)
}

fn remove_part(path: &Path, since: Option<UtcMs>) -> io::Result<bool> {
    if let Some(since) = since
        && fs::symlink_metadata(path)?.mtime().saturating_mul(1000) > since.0
    {
        return Ok(false);
    }
    fs::remove_file(path).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_takes_no_name_either_that_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let root = open_root(dir.path()).unwrap();
        let part = dir.path().join("part");
        fs::write(&part, b"a call").unwrap();
        fs::write(dir.path().join("taken"), b"another").unwrap();

        assert_eq!(link_name(&part, &root, "free"), Ok(()));
        assert_eq!(fs::read(dir.path().join("free")).unwrap(), b"a call");
        assert_eq!(link_name(&part, &root, "taken"), Err(Errno::EXIST));
        assert_eq!(fs::read(dir.path().join("taken")).unwrap(), b"another");
    }
}
