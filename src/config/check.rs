//! Section by section: which keys there are, and what has to agree between them.
//!
//! Never here: a default. Those stand in `config/callvault.toml`.

use std::net::IpAddr;
use std::path::PathBuf;

use secrecy::SecretString;

use super::kind::{Kind, StoreKind};
use super::section::Section;
use super::{
    Access, Archive, Listen, Login, ObjectLock, Pbx, S3Keys, S3Settings, Settings, Sse,
    StoreSettings, TlsFiles, secret,
};
use crate::model::id::PbxName;
use crate::model::job::Schedule;

const AT_A_TIME_MAX: usize = 1000;
const RETRIES_MAX: usize = 100;
const PLAIN_HTTP: &str = "is not on loopback, and without TLS everyone on the way reads the hook's \
    secret: set tls_cert_file and tls_key_file, put a proxy that speaks TLS before it, or set \
    allow_plain_http = true";

/// What only `kind = "s3"` has.
pub(super) const S3_KEYS: &[&str] = &[
    "bucket",
    "prefix",
    "endpoint",
    "region",
    "path_style",
    "access_key",
    "access_key_file",
    "secret_key",
    "secret_key_file",
    "sse",
    "kms_key",
    "storage_class",
    "object_lock",
    "lock_for",
];
/// What only `kind = "directory"` has.
const DIRECTORY_KEYS: &[&str] = &["path"];

pub(super) fn settings(top: &mut Section<'_, '_>) -> Option<Settings> {
    let data_dir = top.path("data_dir");
    let listen = top.section("listen", listen);
    let mut names = Vec::new();
    let pbxs = top.sections("pbx", |section| pbx(section, &mut names));
    let store = top.section("store", store);
    let archive = top.section("archive", archive);
    let access = top.section("access", |section| {
        let require_reason = section.flag("require_reason")?;
        Some(Access { require_reason })
    });
    Some(Settings {
        data_dir: data_dir?,
        listen: listen?,
        pbxs: pbxs?,
        store: store?,
        archive: archive?,
        access: access?,
    })
}

fn listen(section: &mut Section<'_, '_>) -> Option<Listen> {
    let hook = section.text("hook", &Kind::LISTEN);
    let admin = section.text("admin", &Kind::LISTEN);
    let tls = tls(section);
    let allow_plain_http = section.flag("allow_plain_http");
    let (hook, admin, tls, allow_plain_http) = (hook?, admin?, tls?, allow_plain_http?);
    let is_safe = tls.is_some() || hook.ip().to_canonical().is_loopback();
    if !is_safe && !allow_plain_http {
        section.mistake::<()>("hook", format!("{hook} {PLAIN_HTTP}"));
    }
    if hook == admin && hook.port() != 0 {
        let what = format!("found {admin}, expected another than hook");
        section.mistake::<()>("admin", what);
    }
    Some(Listen {
        hook,
        admin,
        tls,
        allow_plain_http,
    })
}

fn tls(section: &mut Section<'_, '_>) -> Option<Option<TlsFiles>> {
    let cert = readable(section, "tls_cert_file");
    let key = secret::file(section, "tls_key_file");
    match (cert?, key?) {
        (None, None) => Some(None),
        (Some(cert), Some(key)) => Some(Some(TlsFiles { cert, key })),
        (Some(_), None) => section.missing("tls_key_file", "the key of tls_cert_file"),
        (None, Some(_)) => section.missing("tls_cert_file", "the certificate of tls_key_file"),
    }
}

fn pbx(section: &mut Section<'_, '_>, names: &mut Vec<PbxName>) -> Option<Pbx> {
    let name = section.text("name", &Kind::PBX_NAME);
    let name = name.and_then(|name| unused(section, name, names));
    let vendor = section.text("vendor", &Kind::VENDOR);
    let timezone = section.text("timezone", &Kind::TIMEZONE);
    let hook_secrets = secret::several(section, "hook_secret", &Kind::HOOK_SECRET);
    let allow_from = section.list("allow_from", &Kind::NETWORK);
    let base_url = section.text("base_url", &Kind::BASE_URL);
    let connect_to = section.optional("connect_to", &Kind::CONNECT_TO);
    if let (Some(base_url), Some(Some(_))) = (&base_url, &connect_to)
        && base_url.host().parse::<IpAddr>().is_ok()
    {
        let what = format!(
            "found beside base_url = \"{base_url}\", expected a name there, whose certificate is \
             looked for where connect_to leads"
        );
        section.mistake::<()>("connect_to", what);
    }
    let ca_file = readable(section, "ca_file");
    let login = login(section);
    let concurrency = section.count("concurrency", 1..=AT_A_TIME_MAX);
    let source_keeps = section.text("source_keeps", &Kind::DURATION);
    let not_recorded = section.list("not_recorded", &Kind::EXTENSION);
    Some(Pbx {
        name: name?,
        vendor: vendor?,
        timezone: timezone?,
        hook_secrets: hook_secrets?,
        allow_from: allow_from?,
        base_url: base_url?,
        connect_to: connect_to?,
        ca_file: ca_file?,
        login: login?,
        concurrency: concurrency?,
        source_keeps: source_keeps?,
        not_recorded: not_recorded?,
    })
}

fn unused(
    section: &mut Section<'_, '_>,
    name: PbxName,
    names: &mut Vec<PbxName>,
) -> Option<PbxName> {
    if names.contains(&name) {
        let what = format!("found \"{name}\" again, expected a name for each PBX");
        return section.mistake("name", what);
    }
    section.rename(format!("pbx[{name}]"));
    names.push(name.clone());
    Some(name)
}

fn readable(section: &mut Section<'_, '_>, key: &str) -> Option<Option<PathBuf>> {
    let Some(path) = section.optional(key, &Kind::PATH)? else {
        return Some(None);
    };
    let path = section.directory().join(path);
    match std::fs::read(&path) {
        Ok(text) if key == "ca_file" && !holds_certificate(&text) => {
            let what = format!("{} holds no certificate", path.display());
            section.mistake(
                key,
                format!("{what}, expected PEM: -----BEGIN CERTIFICATE-----"),
            )
        }
        Ok(_) => Some(Some(path)),
        Err(error) => section.mistake(key, format!("cannot read {}: {error}", path.display())),
    }
}

fn holds_certificate(text: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    text.windows(BEGIN.len()).any(|part| part == BEGIN)
}

fn login(section: &mut Section<'_, '_>) -> Option<Option<Login>> {
    let user = section.optional("basic_user", &Kind::USER);
    let password = secret::optional(section, "basic_password", &Kind::PASSWORD);
    let bearer = secret::optional(section, "bearer", &Kind::TOKEN);
    match (user?, password?, bearer?) {
        (None, None, None) => Some(None),
        (None, None, Some(token)) => Some(Some(Login::Bearer(token))),
        (Some(user), Some(password), None) => Some(Some(Login::Basic { user, password })),
        (Some(_), None, None) => section.missing(
            "basic_password_file",
            "a file with the password of basic_user",
        ),
        (None, Some(_), None) => section.missing("basic_user", "the user of basic_password"),
        (_, _, Some(_)) => section.mistake(
            "basic_user",
            "found beside a bearer token, expected only one login",
        ),
    }
}

fn store(section: &mut Section<'_, '_>) -> Option<StoreSettings> {
    let Some(kind) = section.text("kind", &Kind::STORE) else {
        section.given(DIRECTORY_KEYS);
        if !section.given(S3_KEYS).is_empty() {
            // What is wrong with them is told at once.
            s3(section);
        }
        return None;
    };
    let (foreign, what) = match kind {
        StoreKind::Directory => (S3_KEYS, "has no meaning with kind = \"directory\""),
        StoreKind::S3 => (DIRECTORY_KEYS, "has no meaning with kind = \"s3\""),
    };
    for key in section.given(foreign) {
        section.mistake::<()>(key, what);
    }
    match kind {
        StoreKind::Directory => section
            .path("path")
            .map(|path| StoreSettings::Directory { path }),
        StoreKind::S3 => s3(section).map(|s3| StoreSettings::S3(Box::new(s3))),
    }
}

fn s3(section: &mut Section<'_, '_>) -> Option<S3Settings> {
    let bucket = section.text("bucket", &Kind::BUCKET);
    let prefix = section.optional("prefix", &Kind::PREFIX);
    let endpoint = section.optional("endpoint", &Kind::BASE_URL);
    let region = section.text("region", &Kind::WORD);
    let path_style = section.flag("path_style");
    let access_key = secret::optional(section, "access_key", &Kind::TOKEN);
    let secret_key = secret::optional(section, "secret_key", &Kind::TOKEN);
    let keys = keys(section, access_key, secret_key);
    let sse = section.optional("sse", &Kind::SSE);
    let kms_key = section.optional("kms_key", &Kind::WORD);
    let storage_class = section.optional("storage_class", &Kind::WORD);
    let object_lock = object_lock(section);
    let (sse, kms_key) = (sse?, kms_key?);
    if kms_key.is_some() && sse != Some(Sse::AwsKms) {
        return section.mistake("kms_key", "found without sse = \"aws:kms\", expected both");
    }
    Some(S3Settings {
        bucket: bucket?,
        prefix: prefix?.unwrap_or_default(),
        endpoint: endpoint?,
        region: region?,
        path_style: path_style?,
        keys: keys?,
        sse,
        kms_key,
        storage_class: storage_class?,
        object_lock: object_lock?,
    })
}

fn object_lock(section: &mut Section<'_, '_>) -> Option<Option<ObjectLock>> {
    let mode = section.text("object_lock", &Kind::LOCK);
    let lock_for = section.optional("lock_for", &Kind::DURATION);
    match (mode?, lock_for?) {
        (None, None) => Some(None),
        (Some(mode), Some(lock_for)) => Some(Some(ObjectLock { mode, lock_for })),
        (Some(_), None) => section.missing("lock_for", "how long, such as \"7y\""),
        (None, Some(_)) => section.mistake("lock_for", "found without object_lock, expected both"),
    }
}

fn keys(
    section: &mut Section<'_, '_>,
    access_key: Option<Option<SecretString>>,
    secret_key: Option<Option<SecretString>>,
) -> Option<Option<S3Keys>> {
    match (access_key?, secret_key?) {
        (None, None) => Some(None),
        (Some(access_key), Some(secret_key)) => Some(Some(S3Keys {
            access_key,
            secret_key,
        })),
        (Some(_), None) => section.missing("secret_key_file", "it beside the access key"),
        (None, Some(_)) => section.missing("access_key_file", "it beside the secret key"),
    }
}

fn archive(section: &mut Section<'_, '_>) -> Option<Archive> {
    let key = section.text("key", &Kind::KEY);
    let workers = section.count("workers", 1..=AT_A_TIME_MAX);
    let wait_for_late_events = section.text("wait_for_late_events", &Kind::DURATION);
    let retry = section.list("retry", &Kind::DURATION);
    let recheck_doubtful = section.text("recheck_doubtful", &Kind::DURATION);
    let spool_reserve = section.text("spool_reserve", &Kind::SIZE);
    let retry = retry?;
    let found = retry.len();
    let schedule = Schedule::new(retry).filter(|_| found <= RETRIES_MAX);
    let Some(retry) = schedule else {
        let what = format!("found {found} durations, expected 1 to {RETRIES_MAX}");
        return section.mistake("retry", what);
    };
    Some(Archive {
        key: key?,
        workers: workers?,
        wait_for_late_events: wait_for_late_events?,
        retry,
        recheck_doubtful: recheck_doubtful?,
        spool_reserve_bytes: spool_reserve?.as_u64(),
    })
}
