//! Whether the index still has its name. What is committed to files that somebody has removed or
//! replaced is gone with the process, however well it was synced.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use rusqlite::Connection;

/// Device and inode.
type Id = (u64, u64);

/// The files that a connection writes, as they were when they were first seen.
pub struct InPlace(Vec<(PathBuf, Option<Id>)>);

impl InPlace {
    /// Of an index in memory there is nothing to look for.
    pub fn of(connection: &Connection) -> InPlace {
        let path = connection.path().filter(|path| !path.is_empty());
        let names = |path: &str| [path.to_owned(), format!("{path}-wal")];
        let names = path.map(names).into_iter().flatten();
        InPlace(names.map(|name| (PathBuf::from(name), None)).collect())
    }

    /// A file that is not the one any more, by its name. One that cannot be looked up just now may be.
    pub fn lost(&mut self) -> Option<&Path> {
        let lost = self.0.iter_mut().find_map(|(path, known)| {
            let found = id(path).ok()?;
            let is_lost = known.is_some() && found != *known;
            *known = known.or(found);
            is_lost.then_some(path)
        });
        lost.map(|path| path.as_path())
    }
}

fn id(path: &Path) -> io::Result<Option<Id>> {
    match fs::metadata(path) {
        Ok(file) => Ok(Some((file.dev(), file.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
