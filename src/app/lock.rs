//! One process works a data directory.
//!
//! An advisory lock on a file, which the kernel lets go of when its process ends, however it ends.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, bail};

pub struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

impl Lock {
    /// Makes the directory where there is none, and fails naming the holder where there is one.
    pub fn take(data_dir: &Path) -> anyhow::Result<Lock> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(data_dir)
            .with_context(|| format!("data_dir: make {}", data_dir.display()))?;
        let path = data_dir.join("lock");
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let mut file = options
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        let mut holder = String::new();
        file.read_to_string(&mut holder)
            .with_context(|| format!("read {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "{} is already worked by {}: stop it first, or give this one a data_dir of its own",
                data_dir.display(),
                if holder.is_empty() {
                    "another process"
                } else {
                    holder.trim()
                },
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", path.display()));
            }
        }
        let write = file.rewind().and_then(|()| {
            file.set_len(0)?;
            writeln!(file, "process {}", std::process::id())
        });
        write.with_context(|| format!("write {}", path.display()))?;
        Ok(Lock(file))
    }
}
