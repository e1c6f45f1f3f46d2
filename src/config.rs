//! The settings: a TOML text in, values that need no further check out, or all its mistakes.
//!
//! `config/callvault.toml` is the defaults; no default stands in this code. Never here: the
//! network, the clock, or a value that another module has to check again.

mod address;
mod check;
mod kind;
mod nearest;
mod secret;
mod section;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod values_tests;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use secrecy::SecretString;

use crate::model::id::PbxName;
use crate::model::job::Schedule;
use crate::model::key::KeyTemplate;
use crate::model::lock::LockMode;
use crate::model::vendor::Vendor;

pub use address::{BaseUrl, ConnectTo};

/// Every setting, commented, with its default.
pub const EXAMPLE: &str = include_str!("../config/callvault.toml");

/// Of one PBX, so that a new one can take over from an old one.
pub const HOOK_SECRETS_MAX: usize = 4;

/// All that the settings say. Debug never shows a secret.
#[derive(Debug, Clone)]
pub struct Settings {
    pub data_dir: PathBuf,
    pub listen: Listen,
    /// At least one; names are unique.
    pub pbxs: Vec<Pbx>,
    pub store: StoreSettings,
    pub archive: Archive,
    pub access: Access,
}

impl Settings {
    /// None of a PBX that they do not name any more.
    pub fn zone(&self, pbx: &PbxName) -> Option<TimeZone> {
        let pbx = self.pbxs.iter().find(|known| known.name == *pbx);
        pbx.map(|pbx| pbx.timezone.clone())
    }

    /// That of all PBXs, where they have one.
    pub fn common_zone(&self) -> Option<TimeZone> {
        let mut zones = self.pbxs.iter().map(|pbx| &pbx.timezone);
        let first = zones.next()?;
        zones.all(|zone| zone == first).then(|| first.clone())
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Access {
    pub require_reason: bool,
}

#[derive(Debug, Clone)]
pub struct Listen {
    /// On loopback, unless there is TLS or `allow_plain_http`.
    pub hook: SocketAddr,
    pub admin: SocketAddr,
    /// For both.
    pub tls: Option<TlsFiles>,
    pub allow_plain_http: bool,
}

/// In PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone)]
pub struct Pbx {
    pub name: PbxName,
    pub vendor: Vendor,
    /// Its `iana_name()` is always there.
    pub timezone: TimeZone,
    /// At least one, at most [`HOOK_SECRETS_MAX`], the newest first.
    pub hook_secrets: Vec<SecretString>,
    /// Who may call the hook; empty means anybody.
    pub allow_from: Vec<IpNet>,
    pub base_url: BaseUrl,
    pub connect_to: Option<ConnectTo>,
    pub ca_file: Option<PathBuf>,
    pub login: Option<Login>,
    /// Downloads at a time, at least 1.
    pub concurrency: usize,
    pub source_keeps: Duration,
    /// Extensions without recordings by policy.
    pub not_recorded: Vec<String>,
}

/// How to log in for recordings.
#[derive(Debug, Clone)]
pub enum Login {
    Basic {
        user: String,
        password: SecretString,
    },
    Bearer(SecretString),
}

/// Where the archive lies.
#[derive(Debug, Clone)]
pub enum StoreSettings {
    Directory { path: PathBuf },
    S3(Box<S3Settings>),
}

impl StoreSettings {
    pub fn object_lock(&self) -> Option<ObjectLock> {
        match self {
            StoreSettings::Directory { .. } => None,
            StoreSettings::S3(s3) => s3.object_lock,
        }
    }
}

#[derive(Debug, Clone)]
pub struct S3Settings {
    pub bucket: String,
    /// Empty, or ending in `/`: goes right before a key.
    pub prefix: String,
    /// None means AWS.
    pub endpoint: Option<BaseUrl>,
    pub region: String,
    pub path_style: bool,
    /// None means the SDK's own chain.
    pub keys: Option<S3Keys>,
    pub sse: Option<Sse>,
    /// Only with [`Sse::AwsKms`].
    pub kms_key: Option<String>,
    pub storage_class: Option<String>,
    pub object_lock: Option<ObjectLock>,
}

/// The lock that every object is stored with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLock {
    pub mode: LockMode,
    pub lock_for: Duration,
}

#[derive(Debug, Clone)]
pub struct S3Keys {
    pub access_key: SecretString,
    pub secret_key: SecretString,
}

/// Encryption at the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sse {
    Aes256,
    AwsKms,
}

#[derive(Debug, Clone)]
pub struct Archive {
    pub key: KeyTemplate,
    /// At least 1.
    pub workers: usize,
    pub wait_for_late_events: Duration,
    pub retry: Schedule,
    pub recheck_doubtful: Duration,
    pub spool_reserve_bytes: u64,
}

/// One thing that is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// From 1; of the section, where something is missing in it.
    pub line: Option<usize>,
    /// Such as `pbx[hq].timezone`; empty where the text is no TOML.
    pub key: String,
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)
    }
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum Errors {
    #[error("cannot read the settings {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the settings {} are not right:{}", path.display(), lines(mistakes))]
    Check {
        path: PathBuf,
        mistakes: Vec<Mistake>,
    },
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|m| format!("\n  {m}")).collect()
}

/// Reads a file of settings. Secrets by bare name are looked up in `$CREDENTIALS_DIRECTORY`.
pub fn load(path: &Path) -> Result<Settings, Errors> {
    let text = std::fs::read_to_string(path).map_err(|source| Errors::Read {
        path: path.to_owned(),
        source,
    })?;
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    parse(&text, path, credentials.as_deref())
}

/// Understands a text of settings as if it lay at `origin`, whose directory relative paths start
/// from. Reads the files of secrets that it names.
pub fn parse(
    text: &str,
    origin: &Path,
    credentials_dir: Option<&Path>,
) -> Result<Settings, Errors> {
    let directory = origin.parent().unwrap_or(Path::new(""));
    section::read(text, directory, credentials_dir, check::settings).map_err(|mistakes| {
        Errors::Check {
            path: origin.to_owned(),
            mistakes,
        }
    })
}
