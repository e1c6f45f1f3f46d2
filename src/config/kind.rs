//! Kinds of values: what a text must be, and the type it becomes.
//!
//! Never here: keys, sections, files. A kind knows nothing but the text it is given.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use humantime_serde::re::humantime;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use secrecy::SecretString;

use super::{BaseUrl, ConnectTo, Sse};
use crate::model::access::is_extension;
use crate::model::id::PbxName;
use crate::model::key::{KeyTemplate, ObjectKey};
use crate::model::lock::LockMode;
use crate::model::vendor::Vendor;

pub(super) struct Kind<T> {
    /// Goes after "expected".
    pub expected: &'static str,
    pub parse: fn(&str) -> Option<T>,
    /// Whether a message may show what was found.
    pub shown: bool,
}

/// The two kinds of store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreKind {
    Directory,
    S3,
}

const fn shown<T>(expected: &'static str, parse: fn(&str) -> Option<T>) -> Kind<T> {
    Kind {
        expected,
        parse,
        shown: true,
    }
}

const fn secret(
    expected: &'static str,
    parse: fn(&str) -> Option<SecretString>,
) -> Kind<SecretString> {
    Kind {
        expected,
        parse,
        shown: false,
    }
}

impl Kind<PathBuf> {
    pub const PATH: Self = shown("a path", |text| Some(PathBuf::from(text)));
}

impl Kind<String> {
    pub const FILE: Self = Kind {
        expected: "the name of a file",
        parse: |text| Some(text.to_owned()),
        // A secret may have been put here instead of the name of its file.
        shown: false,
    };
    pub const BUCKET: Self = shown(
        "the name of a bucket: 3 to 63 of a-z, 0-9, . and -, with a letter or digit at both ends",
        bucket,
    );
    pub const PREFIX: Self = shown(
        "a relative path of letters, digits and !-_.'()~, such as calls/",
        prefix,
    );
    /// Goes into a header or a host name.
    pub const WORD: Self = shown("1 to 256 letters, digits and -_.:/", |text| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b);
        ((1..=256).contains(&text.len()) && text.bytes().all(fits)).then(|| text.to_owned())
    });
    pub const EXTENSION: Self = shown("an extension's number, such as \"117\"", |text| {
        is_extension(text).then(|| text.to_owned())
    });
    pub const USER: Self = Kind {
        expected: "a user without : and control characters",
        parse: |text| {
            let fits = !text.contains(|c: char| c == ':' || c.is_control());
            fits.then(|| text.to_owned())
        },
        // Behind a : stands the password.
        shown: false,
    };
}

impl Kind<SecretString> {
    pub const HOOK_SECRET: Self = secret(
        "at least 32 hex digits or 22 base64url characters, 256 at most (to make one: openssl rand -hex 16)",
        |text| {
            let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
            let base64url = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            let long = ((if hex { 32 } else { 22 })..=256).contains(&text.len());
            (long && text.bytes().all(base64url)).then(|| text.into())
        },
    );
    pub const PASSWORD: Self = secret("a password without control characters", |text| {
        (!text.is_empty() && !text.contains(char::is_control)).then(|| text.into())
    });
    /// A token of a header, or a key of S3.
    pub const TOKEN: Self = secret("printable ASCII characters without spaces", |text| {
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())).then(|| text.into())
    });
}

impl Kind<PbxName> {
    pub const PBX_NAME: Self = shown("1 to 64 of a-z, 0-9 and -", parsed);
}

impl Kind<SocketAddr> {
    pub const LISTEN: Self = shown("an IP address and a port, such as 127.0.0.1:8480", parsed);
}

impl Kind<Vendor> {
    pub const VENDOR: Self = shown("\"threecx\"", Vendor::from_word);
}

impl Kind<TimeZone> {
    pub const TIMEZONE: Self = shown(
        "the IANA name of a time zone, such as Europe/Berlin or UTC",
        |text| {
            TimeZone::get(text)
                .ok()
                .filter(|zone| zone.iana_name().is_some())
        },
    );
}

impl Kind<IpNet> {
    pub const NETWORK: Self = shown(
        "an IP address or network, such as 192.0.2.10 or 10.0.0.0/8",
        |text| {
            // Peers are known by their IPv4 address where they have one.
            let address = || parsed::<IpAddr>(text).map(|ip| IpNet::from(ip.to_canonical()));
            parsed(text).or_else(address)
        },
    );
}

impl Kind<BaseUrl> {
    pub const BASE_URL: Self = shown(
        "http or https, host and maybe port, nothing else, such as https://pbx.example.com:5001",
        parsed,
    );
}

impl Kind<ConnectTo> {
    pub const CONNECT_TO: Self = shown(
        "an IP address or host and maybe a port, such as 10.0.0.5:5001",
        parsed,
    );
}

impl Kind<Duration> {
    pub const DURATION: Self = shown(
        "a duration above 0, such as 500ms, 5s, 2m, 1h or 14d",
        |text| {
            let most = Duration::from_secs(100 * 366 * 24 * 60 * 60);
            let duration = humantime::parse_duration(text).ok();
            duration.filter(|duration| !duration.is_zero() && *duration <= most)
        },
    );
}

impl Kind<ByteSize> {
    pub const SIZE: Self = shown("a size, such as 500MiB or 1GiB", parsed);
}

impl Kind<KeyTemplate> {
    pub const KEY: Self = shown(
        "a key with {pbx} and {recording}, maybe {yyyy} {mm} {dd}, of letters, digits and !-_.'()~/, that ends in .mp3",
        |text| KeyTemplate::parse(text).ok(),
    );
}

impl Kind<StoreKind> {
    pub const STORE: Self = shown("\"directory\" or \"s3\"", |text| match text {
        "directory" => Some(StoreKind::Directory),
        "s3" => Some(StoreKind::S3),
        _ => None,
    });
}

impl Kind<Option<LockMode>> {
    pub const LOCK: Self = shown(
        "\"off\", \"governance\" or \"compliance\"",
        |text| match text {
            "off" => Some(None),
            text => LockMode::from_word(text).map(Some),
        },
    );
}

impl Kind<Sse> {
    pub const SSE: Self = shown("\"AES256\" or \"aws:kms\"", |text| match text {
        "AES256" => Some(Sse::Aes256),
        "aws:kms" => Some(Sse::AwsKms),
        _ => None,
    });
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn bucket(text: &str) -> Option<String> {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let fits = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| alphanumeric(*b) || b".-".contains(b))
        && alphanumeric(bytes[0])
        && alphanumeric(bytes[bytes.len() - 1]);
    fits.then(|| text.to_owned())
}

fn prefix(text: &str) -> Option<String> {
    let path = text.strip_suffix('/').unwrap_or(text);
    path.parse::<ObjectKey>()
        .ok()
        .map(|path| format!("{path}/"))
}
