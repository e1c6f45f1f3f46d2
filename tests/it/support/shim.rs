//! Small libraries that are loaded before libc, so that a test sees or changes what a process asks
//! of its system.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// One of `tests/shim`, built; gone when dropped.
pub struct Shim {
    _dir: TempDir,
    path: PathBuf,
}

impl Shim {
    pub fn build(name: &str) -> Shim {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join(format!("{name}.so"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/shim/{name}.c"));
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]);
        let built = cc.arg(&path).arg(source).status().expect("run cc");
        assert!(built.success(), "cc: {built}");
        Shim { _dir: dir, path }
    }

    /// For `LD_PRELOAD`.
    pub fn path(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }
}
