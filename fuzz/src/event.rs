//! Any body of a delivery, in every dialect: read without failing, and what is read is plausible.

use callvault::model::event::{Event, Kind, Reading};
use callvault::model::id::RecordingName;
use callvault::model::vendor::Vendor;

use super::url;

pub fn check(data: &[u8]) {
    let readings = read(data);
    assert!(!readings.is_empty());
    let events = readings.iter().filter_map(Reading::event);
    events.for_each(is_plausible);
    assert_eq!(readings, read(&[data, b" \r\n"].concat()), "space after it");

    let object = std::str::from_utf8(data)
        .ok()
        .filter(|text| is_object(text));
    if let Some(text) = object {
        assert!(matches!(readings[..], [Reading::Event(_)]));
        let twice = read(format!("[{text},{text}]").as_bytes());
        assert_eq!(twice, [readings.clone(), readings].concat(), "in an array");
    }
}

fn read(raw: &[u8]) -> Vec<Reading> {
    Vendor::ThreeCx.read(raw)
}

/// Not so deep that an array around it would be too deep.
fn is_object(text: &str) -> bool {
    text.matches(['{', '[']).count() < 100
        && serde_json::from_str(text).is_ok_and(|value: serde_json::Value| value.is_object())
}

fn is_plausible(event: &Event) {
    for text in [&event.external, &event.user, &event.did]
        .into_iter()
        .flatten()
    {
        assert!(!text.is_empty() && text.trim() == text, "{event:?}");
    }
    assert_eq!(
        event.leg.is_some(),
        event.started_local.is_some(),
        "{event:?}"
    );
    assert!(
        event.started_exact.is_none() || event.leg.is_some(),
        "{event:?}"
    );
    assert!(
        event.duration_s.is_none() || event.kind == Kind::Ended,
        "{event:?}"
    );
    if let Some(leg) = &event.leg {
        assert_eq!(Vendor::ThreeCx.leg_of(&leg.to_string()).as_ref(), Some(leg));
    }
    for file in &event.files {
        url::is_safe(file);
        let name: RecordingName = file.recording.as_str().parse().unwrap();
        assert_eq!(name, file.recording);
    }
}
