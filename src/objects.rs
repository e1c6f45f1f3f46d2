//! The object store: where recordings and their manifests lie for good.
//!
//! Never here: what is worth storing, when to try again, or any way to overwrite or delete an
//! object. What a store says about itself (checksums, versions) is passed on, not believed.

mod body;
mod dir;
mod error;
mod probe;
mod s3;

use bytes::Bytes;

use crate::config::StoreSettings;
use crate::model::digest::{Digest, Hasher};
use crate::model::key::ObjectKey;
use crate::model::lock::Lock;
use crate::model::time::UtcMs;

pub use body::{Body, FileRange};
pub use error::{Answer, At, Error, Operation};
pub use probe::Probe;

/// No write of a temporary takes so long.
const UNTOUCHED_FOR_MS: i64 = 24 * 3600 * 1000;

#[derive(Debug, Clone)]
pub enum ObjectStore {
    Directory(dir::Directory),
    S3(s3::Bucket),
}

/// One object to store.
#[derive(Debug, Clone)]
pub struct Put<'a> {
    pub key: &'a ObjectKey,
    pub body: Body,
    /// Of the whole body. What arrives with another digest is not stored.
    pub sha256: Digest,
    pub content_type: &'static str,
    /// S3 user metadata: names in lower case, the values any text (see `s3::metadata`).
    /// The directory store keeps none; the manifest has it all.
    pub metadata: Vec<(&'static str, String)>,
    /// A bucket's; a directory has none.
    pub lock: Option<Lock>,
    /// Where the store answers that it knows no If-None-Match, it goes without: only for a caller
    /// who has seen that nothing lies there, and that nobody else will write there.
    pub or_unconditionally: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    Created {
        /// Where the store keeps versions.
        version_id: Option<String>,
        /// What the store says the whole object's is.
        sha256: Option<Digest>,
    },
    AlreadyThere,
}

/// What a store says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub bytes: u64,
    /// The checksum of the whole object, if the store keeps one.
    pub sha256: Option<Digest>,
    pub version_id: Option<String>,
    /// As far as the store tells it with the object.
    pub lock: Option<Lock>,
}

impl ObjectStore {
    /// Asks nothing of it yet, and makes nothing.
    pub async fn open(settings: &StoreSettings) -> ObjectStore {
        match settings {
            StoreSettings::Directory { path } => ObjectStore::Directory(dir::Directory::open(path)),
            StoreSettings::S3(settings) => ObjectStore::S3(s3::Bucket::open(settings).await),
        }
    }

    pub fn is_directory(&self) -> bool {
        matches!(self, ObjectStore::Directory(_))
    }

    /// Before anything is stored: where nothing was archived yet, a directory is made. One that
    /// should hold recordings and does not is taken for a volume that is not mounted.
    pub async fn make_ready(&self, holds: bool) {
        if let ObjectStore::Directory(directory) = self {
            directory.make_ready(holds).await;
        }
    }

    /// Stores a new object, whole or not at all, and never in place of another.
    pub async fn put_new(&self, put: Put<'_>) -> Result<Stored, Error> {
        match self {
            ObjectStore::Directory(directory) => directory.put_new(put).await,
            ObjectStore::S3(bucket) => bucket.put_new(put).await,
        }
    }

    /// `None` only if the store said that there is no such object.
    pub async fn head(&self, key: &ObjectKey) -> Result<Option<Head>, Error> {
        match self {
            ObjectStore::Directory(directory) => directory.head(key).await,
            ObjectStore::S3(bucket) => bucket.head(key).await,
        }
    }

    /// `None` only if the store said that there is no such object.
    pub async fn get(&self, key: &ObjectKey) -> Result<Option<Reader>, Error> {
        self.read(key, None).await
    }

    /// Some of an object's bytes, which must lie within it.
    pub async fn get_range(&self, key: &ObjectKey, range: Range) -> Result<Option<Reader>, Error> {
        self.read(key, Some(range)).await
    }

    async fn read(&self, key: &ObjectKey, range: Option<Range>) -> Result<Option<Reader>, Error> {
        let opened = match self {
            ObjectStore::Directory(directory) => directory.get(key).await?.map(Source::from),
            ObjectStore::S3(bucket) => bucket.get(key, None, range).await?.map(Source::from),
        };
        let at = At::new(Operation::Get, key);
        Ok(opened.map(|source| Reader::new(at, source, range)))
    }

    /// Of an object's bytes as they are read, and what the store says of it meanwhile; none where
    /// there is no object.
    pub async fn digest(&self, key: &ObjectKey) -> Result<Option<(Digest, Head)>, Error> {
        let Some(mut object) = self.get(key).await? else {
            return Ok(None);
        };
        let mut hasher = Hasher::new();
        while let Some(chunk) = object.chunk().await? {
            hasher.update(&chunk);
        }
        Ok(Some((hasher.finish(), object.head)))
    }

    /// An object that must be small; of a larger one no more than begins it.
    pub async fn read_whole(
        &self,
        key: &ObjectKey,
        most_bytes: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(mut object) = self.get(key).await? else {
            return Ok(None);
        };
        let mut whole = Vec::new();
        while let Some(chunk) = object.chunk().await? {
            whole.extend_from_slice(&chunk);
            if whole.len() > most_bytes {
                break;
            }
        }
        Ok(Some(whole))
    }

    /// The lock of a version, of the current one where none is named.
    pub async fn lock(
        &self,
        key: &ObjectKey,
        version_id: Option<&str>,
    ) -> Result<Option<Lock>, Error> {
        match self {
            ObjectStore::Directory(_) => Ok(None),
            ObjectStore::S3(bucket) => bucket.lock(key, version_id).await,
        }
    }

    /// Makes a lock longer or stricter; what makes it less, a store refuses. Only for a store that
    /// is known to lengthen locks: another may take this for a new object in place of the old.
    pub async fn lengthen(
        &self,
        key: &ObjectKey,
        version_id: Option<&str>,
        lock: Lock,
    ) -> Result<(), Error> {
        match self {
            ObjectStore::Directory(_) => Ok(()),
            ObjectStore::S3(bucket) => bucket.set_lock(key, version_id, lock).await,
        }
    }

    /// Removes what killed writes left behind; call it before the first write. Returns how many.
    pub async fn sweep(&self) -> Result<usize, Error> {
        match self {
            ObjectStore::Directory(directory) => directory.sweep(None).await,
            // A single PUT cut short leaves nothing in a bucket; a canary may be left.
            ObjectStore::S3(bucket) => bucket.sweep().await,
        }
    }

    /// Removes canaries that were locked until now, or could not be removed, and of a directory what
    /// nobody has written to for a day; uploads may run meanwhile.
    pub async fn sweep_old(&self, now: UtcMs) -> Result<usize, Error> {
        match self {
            ObjectStore::Directory(directory) => {
                directory
                    .sweep(Some(UtcMs(now.0.saturating_sub(UNTOUCHED_FOR_MS))))
                    .await
            }
            ObjectStore::S3(bucket) => bucket.sweep().await,
        }
    }

    /// For people: `s3://bucket/prefix`, or the path.
    pub fn describe(&self) -> String {
        match self {
            ObjectStore::Directory(directory) => directory.describe(),
            ObjectStore::S3(bucket) => bucket.describe(),
        }
    }
}

/// Bytes of an object: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub from: u64,
    pub bytes: u64,
}

/// An object being read, a chunk at a time. Its content is not checked against any digest here.
#[derive(Debug)]
pub struct Reader {
    at: At,
    /// Where in a file the bytes begin; an answer begins with them.
    from: u64,
    head: Head,
    read_bytes: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    File(dir::OpenObject),
    Answer(s3::AnswerBody),
}

impl From<dir::OpenObject> for Source {
    fn from(object: dir::OpenObject) -> Source {
        Source::File(object)
    }
}

impl From<s3::AnswerBody> for Source {
    fn from(body: s3::AnswerBody) -> Source {
        Source::Answer(body)
    }
}

impl Reader {
    fn new(at: At, source: Source, range: Option<Range>) -> Reader {
        let (from, head) = match (&source, range) {
            (Source::File(_), Some(range)) => (range.from, dir::head(range.bytes)),
            (Source::File(object), None) => (0, dir::head(object.bytes())),
            (Source::Answer(body), _) => (0, body.head().clone()),
        };
        Reader {
            at,
            from,
            head,
            read_bytes: 0,
            source,
        }
    }

    /// The length of what is read: the whole object, or the range.
    pub fn bytes(&self) -> u64 {
        self.head.bytes
    }

    /// The next bytes; `None` at the end of what is read, an error at any earlier end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let left_bytes = self.head.bytes - self.read_bytes;
        if left_bytes == 0 {
            return Ok(None);
        }
        let chunk = match &mut self.source {
            Source::File(object) => object
                .chunk(self.from + self.read_bytes, left_bytes)
                .await
                .map_err(|source| Error::disk(self.at.clone(), source))?,
            Source::Answer(body) => match body.chunk().await {
                Ok(chunk) => chunk.unwrap_or_default(),
                Err(source) => return Err(self.cut(Some(source))),
            },
        };
        let chunk_bytes = chunk.len() as u64;
        if chunk_bytes == 0 || chunk_bytes > left_bytes {
            return Err(self.cut(None));
        }
        self.read_bytes += chunk_bytes;
        Ok(Some(chunk))
    }

    fn cut(&self, source: Option<error::Source>) -> Error {
        Error::Cut {
            at: self.at.clone(),
            read_bytes: self.read_bytes,
            bytes: self.head.bytes,
            source,
        }
    }
}
