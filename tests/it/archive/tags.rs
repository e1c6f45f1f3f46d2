//! What an independent reader finds in the tags.

use serde_json::Value;

use super::started;
use crate::support::calls::key;
use crate::support::id3;
use crate::support::vault::Vault;

/// As they stand in golden files: a transfer told by its leg, its other side, a blind one that
/// never ended, an outgoing call, a sentinel for a number, a bare URL, a tag of the source's own.
#[test]
fn tags_say_what_the_legs_say() {
    let vault = Vault::directory();
    let (_pbx, _service) = started(&vault);
    for recording in [
        "230307142318_40-1-1",
        "230307142318_40-2-1",
        "230307144544_42-1-1",
        "230307135611_31-1-1",
        "230307154408_63-1-1",
        "230102185935_18-1-1",
        super::TAGGED,
    ] {
        let object = vault.read(&key(recording));
        let mut read = id3::read(&object);
        let fields = read.as_object_mut().unwrap();
        let as_of = fields.remove("TXXX:AS_OF").unwrap_or_default();
        let as_of: Option<jiff::Timestamp> = as_of.as_str().and_then(|text| text.parse().ok());
        assert!(as_of.is_some(), "{recording}");
        // Its length is that of the moment's digits, too.
        fields.remove("tag_bytes");
        fields.sort_keys();
        let shown = serde_json::to_string_pretty(&Value::Object(fields.clone())).unwrap();
        insta::with_settings!({snapshot_path => "../snapshots"}, {
            insta::assert_snapshot!(recording, shown);
        });
    }
}
