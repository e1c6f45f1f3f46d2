//! What is sent: bytes in memory, then a range of a local file, so that a tag and the audio it
//! stands before go out as one sized body without a tagged copy on disk.
//!
//! Never here: which store it goes to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::{ReadWriteFlags, preadv2};

use super::error::Error;

/// What one read takes from disk, and so the memory that a transfer needs.
const CHUNK_BYTES: u64 = 256 * 1024;

#[derive(Debug, Clone)]
pub struct Body {
    pub head: Bytes,
    pub tail: Option<FileRange>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRange {
    pub path: PathBuf,
    pub from: u64,
    pub bytes: u64,
}

impl Body {
    /// The length of all of it.
    pub fn bytes(&self) -> u64 {
        self.head.len() as u64 + self.tail.as_ref().map_or(0, |range| range.bytes)
    }

    /// Gives all of it to `take`, in order and a chunk at a time; blocks.
    pub(super) fn feed(
        &self,
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        take(&self.head)?;
        let Some(range) = &self.tail else {
            return Ok(());
        };
        let file = range.open()?;
        let mut chunk = vec![0; CHUNK_BYTES as usize];
        let (mut from, end) = (range.from, range.from + range.bytes);
        while from < end {
            let most_bytes = (end - from).min(CHUNK_BYTES) as usize;
            let read_bytes = read_some(&file, from, &mut chunk[..most_bytes])
                .map_err(|source| range.unreadable(source))?;
            take(&chunk[..read_bytes])?;
            from += read_bytes as u64;
        }
        Ok(())
    }
}

impl From<Bytes> for Body {
    fn from(head: Bytes) -> Body {
        Body { head, tail: None }
    }
}

impl FileRange {
    /// Opens the file and makes sure that it holds the range, before anybody is promised it.
    pub(super) fn open(&self) -> Result<File, Error> {
        let opened = File::open(&self.path).and_then(|file| {
            if file.metadata()?.len() < self.from.saturating_add(self.bytes) {
                return Err(ended_early());
            }
            Ok(file)
        });
        opened.map_err(|source| self.unreadable(source))
    }

    pub(super) fn unreadable(&self, source: io::Error) -> Error {
        Error::Local {
            path: self.path.clone(),
            source,
        }
    }
}

/// Reads at least a byte and at the most a chunk: what the kernel has at hand at once, else off the
/// async threads. What is uploaded was written a moment ago.
pub(super) async fn read_at(file: Arc<File>, from: u64, most_bytes: u64) -> io::Result<Bytes> {
    let mut chunk = vec![0; most_bytes.min(CHUNK_BYTES) as usize];
    let pieces = &mut [io::IoSliceMut::new(&mut chunk)];
    if let Ok(read_bytes @ 1..) = preadv2(&file, pieces, from, ReadWriteFlags::NOWAIT) {
        chunk.truncate(read_bytes);
        return Ok(Bytes::from(chunk));
    }
    let read = tokio::task::spawn_blocking(move || {
        let read_bytes = read_some(&file, from, &mut chunk)?;
        chunk.truncate(read_bytes);
        Ok(Bytes::from(chunk))
    });
    read.await.map_err(io::Error::other)?
}

/// Reads at least a byte of what must be there.
fn read_some(file: &File, from: u64, chunk: &mut [u8]) -> io::Result<usize> {
    match file.read_at(chunk, from)? {
        0 => Err(ended_early()),
        read_bytes => Ok(read_bytes),
    }
}

fn ended_early() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the file ends before its range",
    )
}
