//! Announced file URLs: `https://HOST[:PORT]/webapi/recording/<id>-<part>.mp3`.
//!
//! The events are unsigned, so a URL is untrusted: its host is whatever the PBX was configured
//! with (even text that no URL parser takes), and only a single plain segment below the recording
//! path is ever asked for.

use crate::model::digest::Digest;
use crate::model::event::{FetchPath, File, FileLeg, RefusedUrl};
use crate::model::id::{LegId, RecordingName};

use super::ids;

const RECORDING_PATH: &str = "/webapi/recording/";
const URL_MAX_BYTES: usize = 2048;

pub fn is_url(text: &str) -> bool {
    after_scheme(text).is_some()
}

/// The URLs of a text that holds one or several: another begins where its scheme does, behind
/// white space or a comma. A host may have spaces in it.
pub fn several(text: &str) -> Vec<&str> {
    let is_between = |c: char| c.is_whitespace() || c == ',' || c == ';';
    let mut urls = Vec::new();
    let mut from = 0;
    let mut before = None;
    for (at, c) in text.char_indices() {
        let begins = before.is_some_and(is_between) && !is_between(c) && begins_url(&text[at..]);
        if begins {
            urls.push(&text[from..at]);
            from = at;
        }
        before = Some(c);
    }
    urls.push(&text[from..]);
    let urls = urls.into_iter().map(|url| url.trim_matches(is_between));
    urls.filter(|url| !url.is_empty()).collect()
}

fn begins_url(text: &str) -> bool {
    let scheme = text
        .as_bytes()
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic());
    scheme.count() <= "https".len() && is_url(text)
}

/// A URL and no word more; in its host there may be spaces.
pub fn is_bare_url(text: &str) -> bool {
    let path = |rest: &str| rest.find('/').map(|at| rest[at..].to_owned());
    let path = after_scheme(text).map(|rest| path(rest).unwrap_or_default());
    path.is_some_and(|path| !path.contains(char::is_whitespace))
}

pub fn file(url: &str) -> File {
    let segment = segment(url);
    let stem = segment.ok().and_then(|name| {
        let (stem, suffix) = name.rsplit_once('.')?;
        suffix.eq_ignore_ascii_case("mp3").then_some(stem)
    });
    let of = stem
        .and_then(ids::leg_and_part)
        .map(|(leg, part, started_local)| FileLeg {
            leg,
            part,
            started_local,
        });
    let named = of.as_ref().and(stem).and_then(|stem| stem.parse().ok());
    let mut end = url.len().min(URL_MAX_BYTES);
    while !url.is_char_boundary(end) {
        end -= 1;
    }
    File {
        url: url[..end].to_owned(),
        recording: named.unwrap_or_else(|| unnamed(url)),
        of,
        path: segment.map(|name| FetchPath::checked(format!("{RECORDING_PATH}{name}"))),
    }
}

/// Where a leg's first recording would lie, announced or not.
pub fn foretold(leg: &LegId) -> FetchPath {
    FetchPath::checked(format!("{RECORDING_PATH}{leg}-1.mp3"))
}

/// A name that no recording has.
pub fn nothing() -> FetchPath {
    FetchPath::checked(format!("{RECORDING_PATH}callvault-check.mp3"))
}

/// A recording whose file name is no id is named by its URL.
fn unnamed(url: &str) -> RecordingName {
    let digest = Digest::of(url.as_bytes()).to_string();
    let name = format!("u-{}", &digest[..16]);
    name.parse()
        .expect("u- and hex digits are a recording name")
}

/// The file name below the recording path. A query or fragment is no part of it.
fn segment(url: &str) -> Result<&str, RefusedUrl> {
    let rest = after_scheme(url).ok_or(RefusedUrl::NotAUrl)?;
    if url.len() > URL_MAX_BYTES {
        return Err(RefusedUrl::Long(URL_MAX_BYTES));
    }
    let path = &rest[rest.find('/').ok_or(RefusedUrl::OffPath)?..];
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let name = path
        .strip_prefix(RECORDING_PATH)
        .ok_or(RefusedUrl::OffPath)?;
    plain_segment(name)
        .then_some(name)
        .ok_or(RefusedUrl::OffPath)
}

fn after_scheme(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let http = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    http.then_some(rest)
}

/// Unreserved characters, and escapes of anything that is not itself a dot, a separator or a
/// control character: what is asked for is exactly this segment, however a server decodes it.
fn plain_segment(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let hex = bytes
                .get(at + 1..at + 3)
                .and_then(|pair| std::str::from_utf8(pair).ok());
            let Some(byte) = hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) else {
                return false;
            };
            if byte < b' ' || byte == 0x7f || b"./\\%?#".contains(&byte) {
                return false;
            }
            at += 3;
        } else if bytes[at].is_ascii_alphanumeric() || b"-_.~".contains(&bytes[at]) {
            at += 1;
        } else {
            return false;
        }
    }
    !name.is_empty() && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On some disks two names that differ in case are one file: no name has a capital letter.
    #[test]
    fn no_two_recordings_differ_in_case_only() {
        for stem in [
            "call",
            "230307142318_40-2-1a",
            "a30307142318_40-2-1",
            "230307142318_40-2-1.mp3",
            "230307142318_d-2-1",
        ] {
            let urls = [stem.to_ascii_lowercase(), stem.to_ascii_uppercase()]
                .map(|stem| format!("https://h{RECORDING_PATH}{stem}.mp3"));
            let [lower, upper] = urls.each_ref().map(|url| file(url).recording.to_string());
            assert_ne!(lower, upper, "{stem}");
            for name in [lower, upper] {
                assert_eq!(name, name.to_ascii_lowercase(), "{stem}");
            }
        }
        // An id has no letters, and its suffix is no part of the name.
        let suffixes = ["mp3", "MP3"].map(|suffix| {
            let url = format!("https://h{RECORDING_PATH}230307142318_40-2-1.{suffix}");
            file(&url).recording.to_string()
        });
        assert_eq!(suffixes, ["230307142318_40-2-1"; 2]);
    }
}
