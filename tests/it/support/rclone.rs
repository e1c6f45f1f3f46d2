//! An S3 store that ignores half of what it is asked: `rclone serve s3` over a directory, on
//! loopback, gone when dropped. It takes conditions, checksums and locks, and heeds none.
//!
//! Never here: a store shared by tests.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::port::Port;
use super::wait::wait_for;
use super::weed::venv_program;

const READY_WITHIN: Duration = Duration::from_secs(20);

pub struct Rclone {
    child: Child,
    port: Port,
    dir: TempDir,
}

impl Rclone {
    /// With these buckets; ready when it returns.
    pub fn start(buckets: &[&str]) -> Rclone {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for bucket in buckets {
            fs::create_dir(dir.path().join(bucket)).expect("a bucket");
        }
        let port = Port::reserve();
        let child = Command::new(venv_program("rclone"))
            .args(["serve", "s3", "--addr", &port.address().to_string()])
            .arg(dir.path())
            .env("RCLONE_CONFIG", "/dev/null")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start rclone");
        let rclone = Rclone { child, port, dir };
        wait_for("rclone listens", READY_WITHIN, || {
            TcpStream::connect(rclone.port.address()).is_ok()
        });
        rclone
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// What lies there, past the store.
    pub fn read(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        fs::read(self.dir.path().join(bucket).join(key)).ok()
    }

    /// Before anybody has asked for it.
    pub fn write(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let path = self.dir.path().join(bucket).join(key);
        fs::create_dir_all(path.parent().expect("a bucket")).expect("a directory");
        fs::write(path, bytes).expect("a file");
    }
}

impl Drop for Rclone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
