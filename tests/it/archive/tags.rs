//! What an independent reader finds in the tags.

use serde_json::{Value, json};

use super::started;
use crate::support::calls::{key, manifest_key, url};
use crate::support::hook;
use crate::support::id3;
use crate::support::pbx::Pbx;
use crate::support::service::Setup;
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

/// None of the vendor's recordings is of a call that a rule with a name let in.
#[test]
fn tags_say_which_rule_let_the_call_in() {
    let (vault, pbx) = (Vault::directory(), Pbx::start());
    let service = vault.set_up(Setup::hq(&pbx.base_url())).start();
    let recordings = [
        ("230307142318_40-1-1", json!("DID-420222000320 Büro")),
        ("230307150805_46-1-1", Value::Null),
    ];
    for (recording, did) in &recordings {
        let leg = recording.strip_suffix("-1").unwrap();
        let event = json!({"Event": "incoming", "Callerid": "05552221133", "User": "117",
            "Finishtype": "Ok", "Did": did, "Id": leg, "FILES": [url(recording)]});
        hook::post(service.hook(), event.to_string());
    }
    service.wait_for_recordings("archived", 2);
    for (recording, did) in recordings {
        let read = id3::read(&vault.read(&key(recording)));
        assert_eq!(read["TXXX:DID"], did, "{recording}");
        let manifest = vault.read(&manifest_key(recording));
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["tags"]["TXXX:DID"], did, "{recording}");
    }
}
