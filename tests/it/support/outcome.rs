//! What became of recordings, as the index, the attempts and the store say it.
//!
//! Never here: waiting for it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::hook;
use super::service::Service;

/// A body that must lie in the archive: of which recording, its bytes, its flags.
pub type Archived<'a> = (&'a str, &'a [u8], &'a [&'a str]);

/// Announces a recording of the PBX `hq`, and with it the end of its leg, after so many seconds.
/// The names are those of files: `230307142318_40-1-1`.
pub fn announce(service: &Service, recording: &str, leg_s: Option<u32>) {
    let url = url(recording);
    let (leg, _part) = recording.rsplit_once('-').expect("a recording's name");
    let event = match leg_s {
        None => json!({"Event": "recording", "FileUrls": [url], "User": "117", "Id": leg}),
        Some(leg_s) => json!({"Event": "incoming", "Callerid": "05552221133", "User": "117",
            "Finishtype": "Ok", "Duration": format!("{:02}:{:02}", leg_s / 60, leg_s % 60),
            "Id": leg, "FileUrls": [url]}),
    };
    hook::post(service.hook(), event.to_string());
}

pub fn url(recording: &str) -> String {
    format!("https://FQDN:5001/webapi/recording/{recording}.mp3")
}

/// Where a recording stands. Its id is whole: `hq/230307142318_40-1-1`.
#[derive(Debug)]
pub struct Outcome {
    pub state: String,
    /// Why it is not archived.
    pub code: Option<String>,
    pub flags: Value,
    pub attempts: i64,
    /// From the end of the last attempt to the next one.
    pub pause_ms: Option<i64>,
    object_key: Option<String>,
}

pub fn outcome(service: &Service, id: &str) -> Outcome {
    let sql = "SELECT state, code, flags, attempts, object_key, \
        CAST(round((julianday(next_at) - julianday((SELECT max(ended_at) FROM attempts a \
            WHERE a.recording = r.recording))) * 86400000) AS INTEGER) \
        FROM recordings r WHERE recording = ?1";
    let read = service.index().query_row(sql, [id], |row| {
        let flags: String = row.get(2)?;
        Ok(Outcome {
            state: row.get(0)?,
            code: row.get(1)?,
            flags: serde_json::from_str(&flags).expect("flags are JSON"),
            attempts: row.get(3)?,
            object_key: row.get(4)?,
            pause_ms: row.get(5)?,
        })
    });
    read.unwrap_or_else(|error| panic!("{id}: {error}"))
}

/// The codes of a recording's ended attempts, in their order; null for success.
pub fn codes(service: &Service, id: &str) -> Value {
    let sql = format!(
        "SELECT json_quote(code) FROM attempts \
         WHERE recording = '{id}' AND ended_at IS NOT NULL ORDER BY attempt"
    );
    service.rows(&sql).into()
}

/// The store holds these bodies, to the byte and with these flags in index and manifest, and
/// nothing else; and the program can read them back.
pub fn assert_archive_holds(service: &Service, expected: &[Archived]) {
    let archive = service.dir().join("archive");
    let mut files = Vec::new();
    for (id, body, flags) in expected {
        let found = outcome(service, id);
        let key = found.object_key.as_ref();
        let key = key.unwrap_or_else(|| panic!("{id} is not archived: {found:?}"));
        let (audio, manifest) = (archive.join(key), archive.join(key).with_extension("json"));
        let object = fs::read(&audio).unwrap_or_else(|error| panic!("{key}: {error}"));
        assert!(without_tag(&object) == *body, "{id}: another body");
        let text = fs::read(&manifest).unwrap_or_else(|error| panic!("{key}: {error}"));
        let text: Value = serde_json::from_slice(&text).expect("a manifest is JSON");
        assert_eq!(
            (&found.flags, &text["flags"]),
            (&json!(flags), &json!(flags)),
            "{id}"
        );
        files.extend([audio, manifest]);
    }
    files.sort();
    assert_eq!(all_files(&archive), files);
    let count = "SELECT count(*) FROM recordings WHERE state = 'archived'";
    assert_eq!(service.number(count), expected.len() as i64);
    if !expected.is_empty() {
        let verified = service.cli(&["verify", "--all"]);
        assert_eq!(verified.status, 0, "{}", verified.stderr);
    }
}

/// What follows the tag that the archive puts before every body.
fn without_tag(object: &[u8]) -> &[u8] {
    let size = object.strip_prefix(b"ID3\x04\0\0").expect("an ID3v2.4 tag");
    let bytes = size[..4]
        .iter()
        .fold(0, |bytes, seven| bytes << 7 | usize::from(*seven));
    &object[10 + bytes..]
}

fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else {
        return files;
    };
    for entry in entries {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files.extend(all_files(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}
