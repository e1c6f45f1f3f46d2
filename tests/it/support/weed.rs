//! A real S3 store for one test: SeaweedFS on loopback, gone when dropped.
//!
//! Never here: a store shared by tests, or data that outlives one.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use aws_smithy_http_client::tls;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(8);
const POLL_EVERY: Duration = Duration::from_millis(20);
const STARTS: usize = 5;

/// In the order of `free_ports`; the first is S3's.
const PORT_FLAGS: [&str; 10] = [
    "s3.port",
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "admin.port",
    "admin.port.grpc",
];

const FLAGS: [&str; 10] = [
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-webdav=false",
    "-admin.ui=false",
    "-master.telemetry=false",
    "-master.volumeSizeLimitMB=64",
    "-s3.autoCreateBucket=false",
    "-s3.allowDeleteBucketNotEmpty=false",
];

pub struct Weed {
    child: Child,
    s3: SocketAddr,
    access_key: String,
    secret_key: String,
    _dir: TempDir,
}

impl Weed {
    /// One that asks nobody who they are, so that what is signed may change on the way.
    pub fn start_open() -> Weed {
        Weed::start_with(false)
    }

    /// Ready when it returns.
    pub fn start() -> Weed {
        Weed::start_with(true)
    }

    /// Ports are free when chosen and may be taken when used: then again.
    fn start_with(identities: bool) -> Weed {
        let mut log = String::new();
        for _ in 0..STARTS {
            match Weed::try_start(identities) {
                Ok(weed) => return weed,
                Err(failed) => log = failed,
            }
        }
        panic!("weed did not start in {STARTS} tries; the last one said:\n{log}");
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.s3)
    }

    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// May read and list, and nothing else; has the same secret.
    pub fn read_only_access_key(&self) -> String {
        format!("ro-{}", self.access_key)
    }

    /// May read, list and write, and by that delete, unless a bucket's policy denies it; has the
    /// same secret.
    pub fn writer_access_key(&self) -> String {
        format!("rw-{}", self.access_key)
    }

    pub async fn create_bucket(&self, name: &str, versioning: bool) {
        let client = self.client();
        taken_in_the_end(|| client.create_bucket().bucket(name).send()).await;
        if versioning {
            let enabled = VersioningConfiguration::builder()
                .status(BucketVersioningStatus::Enabled)
                .build();
            let set = client
                .put_bucket_versioning()
                .bucket(name)
                .versioning_configuration(enabled);
            set.send().await.expect("enable versioning");
        }
    }

    /// With versioning, as object lock wants it.
    pub async fn create_lock_bucket(&self, name: &str) {
        let client = self.client();
        taken_in_the_end(|| {
            let create = client.create_bucket().bucket(name);
            create.object_lock_enabled_for_bucket(true).send()
        })
        .await;
    }

    /// Mode and end of an object's lock.
    pub async fn lock(&self, bucket: &str, key: &str) -> Option<(String, String)> {
        let client = self.client();
        let asked = client.get_object_retention().bucket(bucket).key(key);
        let retention = asked.send().await.ok()?.retention?;
        let until = retention.retain_until_date?.to_string();
        Some((retention.mode?.as_str().to_lowercase(), until))
    }

    /// Every version of every object, as (key, version id): what a listing of keys would hide.
    pub async fn versions(&self, bucket: &str) -> Vec<(String, String)> {
        let client = self.client();
        let (mut versions, mut key, mut id) = (Vec::new(), None, None);
        loop {
            let listed = client.list_object_versions().bucket(bucket);
            let listed = listed.set_key_marker(key).set_version_id_marker(id);
            let page = listed.send().await.expect("list versions");
            versions.extend(
                page.versions
                    .unwrap_or_default()
                    .into_iter()
                    .map(|version| {
                        let (key, id) = (version.key, version.version_id);
                        (key.unwrap_or_default(), id.unwrap_or_default())
                    }),
            );
            (key, id) = (page.next_key_marker, page.next_version_id_marker);
            if page.is_truncated != Some(true) {
                return versions;
            }
        }
    }

    /// With all rights, for looking at the store past the code under test.
    pub fn client(&self) -> Client {
        let crypto = tls::rustls_provider::CryptoMode::AwsLc;
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(crypto))
            .build_https();
        let keys = Credentials::new(&self.access_key, &self.secret_key, None, None, "test");
        let config = Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .region(Region::new("us-east-1"))
            .credentials_provider(keys)
            .endpoint_url(self.endpoint())
            .force_path_style(true);
        Client::from_conf(config.build())
    }

    fn try_start(identities: bool) -> Result<Weed, String> {
        let dir = tempfile::Builder::new().prefix("weed-").tempdir();
        let dir = dir.expect("a temporary directory");
        let ports = free_ports();
        // Keys of its own, so that a test can never talk to another test's store unnoticed.
        let access_key = format!("test-{}-{}", std::process::id(), ports[0]);
        let secret_key = format!("secret-of-{access_key}");
        fs::create_dir(dir.path().join("data")).expect("weed's data directory");
        if identities {
            write_identities(dir.path(), &access_key, &secret_key);
        }
        let mut weed = Weed {
            child: spawn(dir.path(), &ports),
            s3: SocketAddr::from((Ipv4Addr::LOCALHOST, ports[0])),
            access_key,
            secret_key,
            _dir: dir,
        };
        match weed.wait_until_ready() {
            true => Ok(weed),
            false => Err(fs::read_to_string(weed._dir.path().join("log")).unwrap_or_default()),
        }
    }

    fn wait_until_ready(&mut self) -> bool {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            let exited = self.child.try_wait().expect("ask for weed's exit");
            if exited.is_some() {
                return false;
            }
            if is_healthy(self.s3) {
                return true;
            }
            thread::sleep(POLL_EVERY);
        }
        false
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.child);
        // Not reaped yet, so the id is still its own.
        let deadline = match kill_process(pid, Signal::TERM) {
            Ok(()) => Instant::now() + STOPPED_WITHIN,
            Err(_) => Instant::now(),
        };
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(POLL_EVERY);
        }
    }
}

fn spawn(dir: &Path, ports: &[u16; 10]) -> Child {
    let log = File::create(dir.join("log")).expect("weed's log");
    let shared = log.try_clone().expect("weed's log");
    let ports = PORT_FLAGS.iter().zip(ports);
    let config = dir.join("s3.json");
    Command::new(venv_program("weed"))
        .arg("mini")
        .arg(format!("-dir={}", dir.join("data").display()))
        .args(
            config
                .exists()
                .then(|| format!("-s3.config={}", config.display())),
        )
        .arg(format!("-s3.localSocket={}", dir.join("s3.sock").display()))
        .arg(format!(
            "-filer.localSocket={}",
            dir.join("f.sock").display()
        ))
        .args(FLAGS)
        .args(ports.map(|(flag, port)| format!("-{flag}={port}")))
        // It keeps files of its own in the directory it runs in and in its home.
        .current_dir(dir)
        .env("HOME", dir)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(shared)
        .spawn()
        .expect("start weed")
}

/// A program of the tests' Python environment: where `tests/run` puts it, or elsewhere by
/// `CALLVAULT_TEST_VENV`.
pub fn venv_program(name: &str) -> PathBuf {
    let venv = std::env::var_os("CALLVAULT_TEST_VENV").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv"),
        PathBuf::from,
    );
    let program = venv.join("bin").join(name);
    assert!(
        program.exists(),
        "{} is missing: run tests/run first",
        program.display()
    );
    program
}

fn write_identities(dir: &Path, access_key: &str, secret_key: &str) {
    let identity = |name: &str, access_key: &str, actions: &[&str]| {
        serde_json::json!({
            "name": name,
            "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
            "actions": actions,
        })
    };
    let all = ["Admin", "Read", "List", "Tagging", "Write"];
    let identities = serde_json::json!({"identities": [
        identity("admin", access_key, &all),
        identity("ro", &format!("ro-{access_key}"), &["Read", "List"]),
        identity("rw", &format!("rw-{access_key}"), &["Read", "List", "Write"]),
    ]});
    fs::write(dir.join("s3.json"), identities.to_string()).expect("weed's identities");
}

/// All held at once, so that no two are the same; below those that the system gives to outgoing
/// connections, for weed wants a port on every address, and any test's connection may have it.
fn free_ports() -> [u16; 10] {
    let random = || u16::from_ne_bytes(callvault::random::bytes().expect("random bytes"));
    let held: [TcpListener; 10] = std::array::from_fn(|_| {
        let mut ports = std::iter::repeat_with(|| 10_000 + random() % 22_000);
        let free = ports.find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
        free.expect("a free port")
    });
    held.map(|listener| listener.local_addr().expect("its address").port())
}

fn is_healthy(s3: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&s3, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: weed\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        std::io::Result::Ok(status)
    };
    matches!(ask(), Ok(status) if status.ends_with(b" 200"))
}

/// A store that calls itself healthy may not have found its own parts yet.
async fn taken_in_the_end<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(
    mut ask: impl FnMut() -> F,
) {
    let deadline = Instant::now() + READY_WITHIN;
    while let Err(error) = ask().await {
        let error = format!("{error:?}");
        if error.contains("BucketAlready") {
            return;
        }
        assert!(Instant::now() < deadline, "make a bucket: {error}");
        tokio::time::sleep(POLL_EVERY).await;
    }
}
