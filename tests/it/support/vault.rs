//! The store of one test, looked at past the code under test: a directory, or a bucket with
//! versioning.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::ChecksumMode;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::faults::of_recordings;
use super::gate::Gate;
use super::proxy::{Proxy, seeded};
use super::service::Setup;
use super::wait::wait_for;
use super::weed::Weed;

const BUCKET: &str = "calls";
/// Where the keys of the PBX `hq` would go.
const IN_THE_WAY: &str = "hq";
const AT_REST_WITHIN: Duration = Duration::from_secs(20);

pub enum Vault {
    Directory(TempDir),
    Bucket(Box<Bucket>),
}

pub struct Bucket {
    weed: Weed,
    client: Client,
    runtime: Runtime,
}

/// A test for each kind of store, of functions that take a [`Vault`].
macro_rules! on_both_stores {
    ($($test:ident),+ $(,)?) => {
        mod directory {
            $(#[test] fn $test() { super::$test(&crate::support::vault::Vault::directory()) })+
        }
        mod bucket {
            $(#[test] fn $test() { super::$test(&crate::support::vault::Vault::bucket()) })+
        }
    };
}
pub(crate) use on_both_stores;

impl Vault {
    pub fn directory() -> Vault {
        Vault::Directory(tempfile::tempdir().expect("a temporary directory"))
    }

    pub fn bucket() -> Vault {
        let weed = Weed::start();
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(weed.create_bucket(BUCKET, true));
        Vault::Bucket(Box::new(Bucket {
            client: weed.client(),
            runtime,
            weed,
        }))
    }

    /// For people.
    pub fn kind(&self) -> &'static str {
        match self {
            Vault::Directory(_) => "directory",
            Vault::Bucket(_) => "bucket",
        }
    }

    /// With this as its store.
    pub fn set_up(&self, setup: Setup) -> Setup {
        match self {
            Vault::Directory(dir) => {
                let path = dir.path().display();
                setup.store(&format!("kind = \"directory\"\npath = \"{path}\"\n"))
            }
            Vault::Bucket(bucket) => setup.bucket(&bucket.weed, BUCKET),
        }
    }

    /// With this as its store, behind a proxy at which so many percent of a bucket's requests fail.
    pub fn faulty(&self, setup: Setup, seed: u64, percent: u64) -> (Option<Proxy>, Setup) {
        let Vault::Bucket(bucket) = self else {
            return (None, self.set_up(setup));
        };
        let proxy = Proxy::start(&bucket.weed.endpoint());
        proxy.plan(seeded(seed, percent, of_recordings));
        let setup = setup.bucket_at(&proxy.endpoint(), &bucket.weed, BUCKET);
        (Some(proxy), setup)
    }

    /// With a part of this as its store: what begins with the prefix, which ends in `/`.
    pub fn set_up_below(&self, setup: Setup, prefix: &str) -> Setup {
        match self {
            Vault::Directory(dir) => {
                let path = dir.path().join(prefix);
                let path = path.display();
                setup.store(&format!("kind = \"directory\"\npath = \"{path}\"\n"))
            }
            Vault::Bucket(bucket) => setup
                .bucket(&bucket.weed, BUCKET)
                .store_more(&format!("prefix = \"{prefix}\"\n")),
        }
    }

    /// All that is in it, sorted: a key for each version of each object; of a directory every file.
    /// What the store is tried with is none of it, nor is a file that is not whole: in a directory
    /// they are waited out, in a bucket passed over, for one may take a canary after its sender was
    /// killed and the next life has swept: that goes a day later.
    pub fn keys(&self) -> Vec<String> {
        self.keys_below("")
    }

    /// As `keys`, without the prefix.
    pub fn keys_below(&self, prefix: &str) -> Vec<String> {
        let below = || -> Vec<String> {
            let keys = self.all_keys().into_iter();
            let keys = keys.filter_map(|key| Some(key.strip_prefix(prefix)?.to_owned()));
            keys.collect()
        };
        let mut keys = below();
        match self {
            Vault::Directory(_) => {
                let is_passing = |key: &String| key.rsplit('/').next().is_some_and(is_ours);
                wait_for("the directory is at rest", AT_REST_WITHIN, || {
                    keys = below();
                    !keys.iter().any(is_passing)
                });
            }
            Vault::Bucket(_) => keys.retain(|key| !is_ours(key)),
        }
        keys.sort();
        keys
    }

    fn all_keys(&self) -> Vec<String> {
        match self {
            Vault::Directory(dir) => files_below(dir.path()),
            Vault::Bucket(bucket) => {
                let versions = bucket.runtime.block_on(bucket.weed.versions(BUCKET));
                versions.into_iter().map(|(key, _)| key).collect()
            }
        }
    }

    pub fn read(&self, key: &str) -> Vec<u8> {
        match self {
            Vault::Directory(dir) => fs::read(dir.path().join(key)).expect(key),
            Vault::Bucket(bucket) => bucket.runtime.block_on(async {
                let object = bucket.client.get_object().bucket(BUCKET).key(key);
                let object = object.send().await.expect(key);
                object.body.collect().await.expect(key).to_vec()
            }),
        }
    }

    /// All that is in it, by key.
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let read = |key: String| (key.clone(), self.read(&key));
        self.keys().into_iter().map(read).collect()
    }

    /// Puts what no archive would put there.
    pub fn write(&self, key: &str, bytes: &[u8]) {
        match self {
            Vault::Directory(dir) => {
                let path = dir.path().join(key);
                fs::create_dir_all(path.parent().expect("a parent")).expect(key);
                fs::write(path, bytes).expect(key);
            }
            Vault::Bucket(bucket) => {
                let put = bucket.client.put_object().bucket(BUCKET).key(key);
                let put = put.body(bytes.to_vec().into()).send();
                bucket.runtime.block_on(put).expect(key);
            }
        }
    }

    pub fn remove(&self, key: &str) {
        match self {
            Vault::Directory(dir) => fs::remove_file(dir.path().join(key)).expect(key),
            Vault::Bucket(bucket) => {
                let delete = bucket.client.delete_object().bucket(BUCKET).key(key);
                bucket.runtime.block_on(delete.send()).expect(key);
            }
        }
    }

    /// One bit in the middle of it is another.
    pub fn damage(&self, key: &str) {
        let mut bytes = self.read(key);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.write(key, &bytes);
    }

    /// What a bucket says of an object; none of a directory.
    pub fn head(&self, key: &str) -> Option<HeadObjectOutput> {
        let Vault::Bucket(bucket) = self else {
            return None;
        };
        let head = bucket.client.head_object().bucket(BUCKET).key(key);
        let head = head.checksum_mode(ChecksumMode::Enabled).send();
        Some(bucket.runtime.block_on(head).expect(key))
    }

    /// With a store that cannot be written to until it is opened.
    pub fn shut(&self, setup: Setup) -> (Shut<'_>, Setup) {
        let Vault::Bucket(bucket) = self else {
            self.write(IN_THE_WAY, b"where a directory is to be");
            let shut = Shut {
                vault: self,
                gate: None,
            };
            return (shut, self.set_up(setup));
        };
        let endpoint = bucket.weed.endpoint();
        let gate = Gate::before(endpoint.trim_start_matches("http://").parse().unwrap());
        let endpoint = format!("http://{}", gate.address());
        let setup = setup.bucket_at(&endpoint, &bucket.weed, BUCKET);
        let gate = Some(gate);
        (Shut { vault: self, gate }, setup)
    }
}

/// See [`Vault::shut`].
pub struct Shut<'a> {
    vault: &'a Vault,
    gate: Option<Gate>,
}

impl Shut<'_> {
    pub fn open(self) {
        match self.gate {
            Some(gate) => gate.open(),
            None => self.vault.remove(IN_THE_WAY),
        }
    }
}

/// What an archive writes beside recordings, for a while.
fn is_ours(name: &str) -> bool {
    name.starts_with(".callvault-")
}

/// Relative to it.
pub fn files_below(directory: &Path) -> Vec<String> {
    let (mut files, mut directories) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(&next).expect("list a directory") {
            let entry = entry.expect("list a directory");
            match entry.file_type().expect("its type").is_dir() {
                true => directories.push(entry.path()),
                false => {
                    let path = entry.path();
                    let path = path.strip_prefix(directory).expect("below it");
                    files.push(path.to_str().expect("UTF-8").to_owned());
                }
            }
        }
    }
    files
}
