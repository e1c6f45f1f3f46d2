//! `callvault demo`, running until it is dropped.
//!
//! Never here: what the demo shows.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::calls::RECORDINGS;
use super::wait::wait_for;

const BINARY: &str = env!("CARGO_BIN_EXE_callvault");
const WITHIN: Duration = Duration::from_secs(60);

pub struct Demo {
    child: Child,
    dir: TempDir,
}

impl Demo {
    /// All is archived when it returns.
    pub fn start() -> Demo {
        let dir = tempfile::Builder::new().prefix("callvault-demo-").tempdir();
        let dir = dir.expect("a temporary directory");
        let log = fs::File::create(dir.path().join("log")).expect("its log");
        let mut command = Command::new(BINARY);
        command.args(["demo", "--dir"]).arg(dir.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = command.spawn().expect("start the demo");
        let demo = Demo { child, dir };
        wait_for("the demo has archived all", WITHIN, || {
            let log = read(&demo.dir.path().join("log"));
            log.matches("archived demo/").count() == RECORDINGS.len()
        });
        demo
    }

    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    pub fn admin(&self) -> SocketAddr {
        let listen = read(&self.dir.path().join("data/listen.json"));
        let listen: Value = serde_json::from_str(&listen).expect("listen.json is JSON");
        let admin = listen["admin"].as_str().expect("an address");
        admin.parse().expect("an address")
    }

    /// A token, as the verb makes it.
    pub fn token(&self, name: &str, role: &str) -> String {
        let mut command = Command::new(BINARY);
        let config = self.dir.path().join("callvault.toml");
        command.arg("--config").arg(config).args(["token", "add"]);
        command.args([name, "--person", name, "--role", role]);
        let output = command.output().expect("run callvault");
        assert!(output.status.success(), "{output:?}");
        let token = String::from_utf8(output.stdout).expect("stdout is UTF-8");
        token.trim_end().to_owned()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
