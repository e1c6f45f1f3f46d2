//! A process whose clocks are ahead of the machine's, by as much as a test says: minutes pass at
//! once for the whole program, also where it asks no clock of its own.
//!
//! Never here: a clock that is set; all of them go on together.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::service::Service;
use super::shim::Shim;

const FILE: &str = "TURN_CLOCK_FILE";

pub struct Ahead {
    shim: Shim,
    _dir: TempDir,
    path: PathBuf,
    file: File,
    ms: AtomicI64,
}

impl Ahead {
    /// By nothing yet.
    pub fn by_nothing() -> Ahead {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("ahead_ms");
        fs::write(&path, 0i64.to_ne_bytes()).expect("write how far");
        Ahead {
            shim: Shim::build("turn_clock"),
            file: File::options().write(true).open(&path).expect("the file"),
            path,
            _dir: dir,
            ms: AtomicI64::new(0),
        }
    }

    /// From its next start on.
    pub fn of(&self, service: &mut Service) {
        service.set_env("LD_PRELOAD", Some(self.shim.path()));
        service.set_env(FILE, self.path.to_str());
    }

    pub fn of_verb(&self, verb: &mut Command) {
        verb.env("LD_PRELOAD", self.shim.path());
        verb.env(FILE, &self.path);
    }

    /// Time passes.
    pub fn turn(&self, by: Duration) {
        let by_ms = i64::try_from(by.as_millis()).expect("so long");
        let ms = self.ms.fetch_add(by_ms, Ordering::SeqCst) + by_ms;
        let written = self.file.write_all_at(&ms.to_ne_bytes(), 0);
        written.expect("write how far");
    }
}
