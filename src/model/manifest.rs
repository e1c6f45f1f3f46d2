//! The manifest: what is known of a recording, in a JSON object beside it in the store, so that an
//! archive can be understood, and its index rebuilt, from the store alone.
//!
//! It is written once, with the recording; later events change the index only.

use serde::Serialize;

use super::call::Call;
use super::digest::Digest;
use super::id::{EventSeq, RecordingId};
use super::id3::TagSet;
use super::key::ObjectKey;
use super::time::UtcMs;

const SCHEMA: u32 = 1;
/// A call's events are at most a megabyte each, and few; what is larger is no manifest.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;

/// All that a manifest says. Durations and lengths in milliseconds and bytes.
#[derive(Serialize)]
pub struct Manifest<'a> {
    pub recording: &'a RecordingId,
    pub leg: Option<u32>,
    pub part: Option<u32>,
    pub as_of: UtcMs,
    pub announced_at: UtcMs,
    pub source_url: &'a str,
    pub object_key: &'a ObjectKey,
    pub object_sha256: Digest,
    pub object_bytes: u64,
    pub original_sha256: Digest,
    pub original_bytes: u64,
    pub media_ms: u64,
    pub flags: &'a [&'static str],
    /// The call with its legs as they were known then.
    pub call: Option<&'a Call>,
    pub events: Vec<RawEvent>,
}

/// A delivery as it was logged.
#[derive(Debug, Clone, Serialize)]
pub struct RawEvent {
    pub seq: EventSeq,
    pub received_at: UtcMs,
    pub method: String,
    pub content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// In place of `raw` where that is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_hex: Option<String>,
    /// What stood in the target beside a body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}

impl RawEvent {
    pub fn new(
        seq: EventSeq,
        received_at: UtcMs,
        method: String,
        content_type: Option<String>,
        raw: Vec<u8>,
        query: Option<&[u8]>,
    ) -> RawEvent {
        let query = query.map(|query| String::from_utf8_lossy(query).into_owned());
        let (raw, raw_hex) = match String::from_utf8(raw) {
            Ok(text) => (Some(text), None),
            Err(error) => {
                let hex = error.as_bytes().iter().map(|byte| format!("{byte:02x}"));
                (None, Some(hex.collect()))
            }
        };
        RawEvent {
            seq,
            received_at,
            method,
            content_type,
            raw,
            raw_hex,
            query,
        }
    }
}

/// The manifest's bytes: readable JSON, the same for the same content.
pub fn bytes(manifest: &Manifest, tags: &TagSet) -> Vec<u8> {
    #[derive(Serialize)]
    struct Whole<'a> {
        schema: u32,
        software: &'static str,
        #[serde(flatten)]
        manifest: &'a Manifest<'a>,
        tags: serde_json::Map<String, serde_json::Value>,
    }
    let whole = Whole {
        schema: SCHEMA,
        software: concat!("callvault ", env!("CARGO_PKG_VERSION")),
        manifest,
        tags: tag_map(tags),
    };
    let mut bytes = serde_json::to_vec_pretty(&whole)
        .expect("a manifest has only text keys and finite numbers");
    bytes.push(b'\n');
    bytes
}

/// Whether these bytes are the manifest of this recording, stored with this digest.
pub fn is_of(bytes: &[u8], recording: &RecordingId, object_sha256: Digest) -> bool {
    let fields: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    fields["recording"] == recording.to_string()
        && fields["object_sha256"] == object_sha256.to_string()
}

/// The manifest of an object that stood there already, under another tag: its own digest and
/// length, and not the tags that were never stored.
pub fn of_adopted(manifest: &[u8], object_sha256: Digest, object_bytes: u64) -> Vec<u8> {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::from_slice(manifest) else {
        return manifest.to_vec();
    };
    fields.insert("object_sha256".to_owned(), object_sha256.to_string().into());
    fields.insert("object_bytes".to_owned(), object_bytes.into());
    fields.remove("tags");
    fields.insert("adopted".to_owned(), true.into());
    let mut bytes = serde_json::to_vec_pretty(&fields).expect("JSON that was read can be written");
    bytes.push(b'\n');
    bytes
}

fn tag_map(tags: &TagSet) -> serde_json::Map<String, serde_json::Value> {
    let mut map = serde_json::Map::new();
    map.insert("TIT2".to_owned(), tags.title.clone().into());
    if let Some(artist) = &tags.artist {
        map.insert("TPE1".to_owned(), artist.clone().into());
    }
    if let Some(recorded) = &tags.recorded_utc {
        map.insert("TDRC".to_owned(), recorded.clone().into());
    }
    map.insert("TLEN".to_owned(), tags.length_ms.into());
    if let Some((leg, legs)) = tags.track {
        map.insert("TRCK".to_owned(), format!("{leg}/{legs}").into());
    }
    map.insert(
        "UFID:callvault".to_owned(),
        tags.recording_id.clone().into(),
    );
    map.insert("COMM".to_owned(), tags.comment.clone().into());
    for (name, text) in &tags.texts {
        map.insert(format!("TXXX:{name}"), text.clone().into());
    }
    map
}
