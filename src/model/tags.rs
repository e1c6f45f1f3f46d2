//! What a recording's tag says, from what its call's legs say.
//!
//! One row a tag. Never here: how a tag is encoded (`id3`).

use super::call::{Call, Leg};
use super::digest::Digest;
use super::event::{Direction, Transfer};
use super::id::RecordingId;
use super::id3::TagSet;
use super::time::{UtcMs, clock_text};

/// All that a tag is made of.
pub struct Facts<'a> {
    pub id: &'a RecordingId,
    pub call: Option<&'a Call>,
    pub leg: Option<u32>,
    pub media_ms: u64,
    pub source_url: &'a str,
    pub original_sha256: Digest,
    pub as_of: UtcMs,
}

pub fn tags(facts: &Facts) -> TagSet {
    let call = facts.call;
    let leg = call
        .zip(facts.leg)
        .and_then(|(call, number)| call.leg(number));
    let started = call.and_then(|call| call.started.as_ref());
    let external = call.and_then(|call| call.external.clone());
    let user = |leg: &Leg| leg.extension.clone();
    let texts = [
        ("PBX", Some(facts.id.pbx.to_string())),
        ("CALL_ID", call.map(|call| call.id.call.to_string())),
        ("LEG", facts.leg.map(|leg| leg.to_string())),
        (
            "DIRECTION",
            call.and_then(|call| call.direction).map(|d| d.to_string()),
        ),
        ("EXTERNAL", external.clone()),
        ("EXTENSION", leg.and_then(user)),
        ("DID", call.and_then(|call| call.did.clone())),
        (
            "STARTED_AT",
            started.map(|started| started.utc.to_seconds()),
        ),
        (
            "STARTED_AT_LOCAL",
            started.map(|started| started.local_text()),
        ),
        (
            "DURATION",
            leg.and_then(|leg| leg.duration_s).map(|s| s.to_string()),
        ),
        (
            "TRANSFER",
            leg.and_then(|leg| leg.transfer).map(|t| t.to_string()),
        ),
        (
            "TRANSFERRED_TO",
            leg.and_then(|leg| leg.transferred_to.clone()),
        ),
        (
            "FINISH",
            leg.and_then(|leg| leg.finish).map(|f| f.to_string()),
        ),
        ("RING_PATH", call.map(|call| call.ring_path.join(", "))),
        ("SOURCE_URL", Some(facts.source_url.to_owned())),
        ("ORIGINAL_SHA256", Some(facts.original_sha256.to_string())),
        ("AS_OF", Some(facts.as_of.to_string())),
    ];
    let known = texts.into_iter().filter_map(|(name, text)| {
        let text = text.filter(|text| !text.is_empty())?;
        Some((name, text))
    });
    TagSet {
        title: call.map_or_else(|| facts.id.to_string(), |call| title(call, leg)),
        artist: external,
        recorded_utc: started.map(|s| s.utc.to_seconds().trim_end_matches('Z').to_owned()),
        length_ms: facts.media_ms,
        track: call.zip(facts.leg).map(|(call, leg)| (leg, legs_of(call))),
        recording_id: facts.id.to_string(),
        comment: call.map_or_else(
            || format!("Recording {} of no known call", facts.id),
            |call| in_words(call, facts.leg, leg),
        ),
        texts: known.collect(),
    }
}

/// `Incoming 05552221133 → 117 ⇢ 204`
fn title(call: &Call, leg: Option<&Leg>) -> String {
    let external = call.external.as_deref().unwrap_or("unknown");
    let inside = leg
        .and_then(|leg| leg.extension.as_deref())
        .unwrap_or("unknown");
    let way = match call.direction {
        Some(Direction::Outgoing) => format!("Outgoing {inside} → {external}"),
        Some(Direction::Internal) => format!("Internal {external} → {inside}"),
        Some(Direction::Incoming) => format!("Incoming {external} → {inside}"),
        None => format!("Call {external} – {inside}"),
    };
    match leg.and_then(|leg| leg.transferred_to.as_deref()) {
        Some(to) => format!("{way} ⇢ {to}"),
        None => way,
    }
}

fn in_words(call: &Call, number: Option<u32>, leg: Option<&Leg>) -> String {
    let mut words = match call.direction {
        Some(direction) => format!("{direction} call"),
        None => "call".to_owned(),
    };
    words[..1].make_ascii_uppercase();
    if let Some(external) = &call.external {
        let preposition = match call.direction {
            Some(Direction::Outgoing) => "to",
            _ => "from",
        };
        words.push_str(&format!(" {preposition} {external}"));
    }
    if let Some(started) = &call.started {
        words.push_str(&format!(" at {}", started.local_text()));
    }
    if let Some(number) = number {
        words.push_str(&format!(", leg {number} of {}", legs_of(call)));
    }
    if let Some(extension) = leg.and_then(|leg| leg.extension.as_deref()) {
        words.push_str(&format!(" with {extension}"));
    }
    if let Some(seconds) = leg.and_then(|leg| leg.duration_s) {
        words.push_str(&format!(", {}", clock_text(seconds.into())));
    }
    if let Some(transfer) = leg.and_then(|leg| leg.transfer) {
        let how = match transfer {
            Transfer::Attended => "ended by an attended transfer",
            Transfer::Blind => "ended by a blind transfer",
            Transfer::Unknown => "ended by a transfer",
        };
        words.push_str(&format!(", {how}"));
    }
    if let Some(to) = leg.and_then(|leg| leg.transferred_to.as_deref()) {
        words.push_str(&format!(" to {to}"));
    }
    if !call.ring_path.is_empty() {
        words.push_str(&format!("; rang {}", call.ring_path.join(", ")));
    }
    words
}

/// A leg that nothing told of still counts when a later one did.
fn legs_of(call: &Call) -> u32 {
    call.legs
        .iter()
        .map(|leg| leg.leg)
        .max()
        .unwrap_or(0)
        .max(1)
}
