//! What lies in the store after recordings were archived: exactly that, once, to the byte.

mod acts;
mod changed;
mod keys;
mod standing;
mod tags;

use std::time::Duration;

use callvault::model::digest::Digest;
use serde_json::{Value, json};

use crate::support::calls::{
    RECORDINGS, announce, key, keys, manifest_key, post_corpus, post_table, spooled, url,
};
use crate::support::hook::{self, corpus};
use crate::support::id3;
use crate::support::pbx::{Answer, Pbx, audio};
use crate::support::service::{Service, Setup};
use crate::support::vault::{Vault, files_below, on_both_stores};
use crate::support::wait::wait_for;

on_both_stores!(each_recording_is_archived_once, what_is_decided_is_sent);

/// These are served under the names of two of the vendor's recordings.
const TAGGED: &str = "230307150805_46-1-1";
const VBR: &str = "230307151412_47-1-1";

fn served(recording: &str) -> Vec<u8> {
    audio(match recording {
        TAGGED => "tagged",
        VBR => "vbr",
        other => other,
    })
}

fn started(vault: &Vault) -> (Pbx, Service) {
    let pbx = Pbx::start();
    for recording in [TAGGED, VBR] {
        pbx.script(recording, [Answer::ok(served(recording))]);
    }
    let service = vault.set_up(Setup::hq(&pbx.base_url())).start();
    post_corpus(&service);
    service.wait_for_recordings("archived", RECORDINGS.len() as i64);
    wait_until_released(&service);
    (pbx, service)
}

/// The local copy goes right after the row says that the recording is archived.
fn wait_until_released(service: &Service) {
    wait_for("the spool is empty", Duration::from_secs(5), || {
        spooled(service).is_empty()
    });
}

fn each_recording_is_archived_once(vault: &Vault) {
    let (pbx, mut service) = started(vault);
    assert_eq!(vault.keys(), keys(RECORDINGS));
    let before = vault.contents();
    for recording in RECORDINGS {
        let row = row(&service, recording);
        assert_eq!(row["flags"], json!([]), "{row}");
        check_object(&before[&key(recording)], &served(recording), &row);
        let manifest = serde_json::from_slice(&before[&manifest_key(recording)]).unwrap();
        check_manifest(&manifest, &row, &service);
        check_head(vault, recording, &row);
    }
    let kept = |name: &str| !name.starts_with("index.sqlite");
    let mut files = files_below(&service.data_dir());
    files.retain(|name| kept(name));
    files.sort();
    assert_eq!(files, ["listen.json", "lock"]);

    let rows = service.json(&["search"]);
    post_corpus(&service);
    for recording in RECORDINGS {
        announce(&service, &url(recording));
    }
    service.wait_until_read();
    service.restart();
    post_corpus(&service);
    service.wait_until_read();
    assert_eq!(vault.contents(), before);
    assert_eq!(vault.keys(), keys(RECORDINGS));
    assert_eq!(service.json(&["search"]), rows);
    assert_eq!(pbx.requests().len(), RECORDINGS.len());
}

fn row(service: &Service, recording: &str) -> Value {
    let shown = service.json(&["show", &format!("hq/{recording}")]);
    shown[0].clone()
}

/// Our tag, then exactly the PBX's audio; and the way back to what the PBX gave.
fn check_object(object: &[u8], source: &[u8], row: &Value) {
    let (our_tag, stored_audio) = id3::split(object);
    let (source_tag, source_audio) = id3::split(source);
    assert!(our_tag.starts_with(b"ID3\x04"), "{row}");
    assert!(stored_audio == source_audio, "not the PBX's audio: {row}");
    assert_eq!(row["object_sha256"], Digest::of(object).to_string());
    assert_eq!(row["bytes"], object.len());
    let read = id3::read(object);
    let carried = &read["PRIV:callvault:source-tag"];
    if source_tag.is_empty() {
        assert_eq!(*carried, Value::Null, "{row}");
        assert_eq!(row["original_sha256"], Digest::of(source).to_string());
        return;
    }
    assert_eq!(carried["bytes"], source_tag.len());
    assert_eq!(carried["sha256"], Digest::of(source_tag).to_string());
    let mut windows = our_tag.windows(source_tag.len());
    let bytes = windows.find(|bytes| *bytes == source_tag).unwrap();
    let rebuilt = Digest::of(&[bytes, stored_audio].concat());
    assert_eq!(row["original_sha256"], rebuilt.to_string());
}

fn check_manifest(manifest: &Value, row: &Value, service: &Service) {
    assert_eq!(manifest["schema"], 1);
    let software = concat!("callvault ", env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest["software"], software);
    let same = [
        "recording",
        "leg",
        "part",
        "object_key",
        "object_sha256",
        "original_sha256",
        "source_url",
        "announced_at",
        "flags",
    ];
    for field in same {
        assert_eq!(manifest[field], row[field], "{field}");
    }
    assert_eq!(manifest["object_bytes"], row["bytes"]);
    let tags = &manifest["tags"];
    assert_eq!(tags["UFID:callvault"], row["recording"]);
    assert_eq!(tags["TXXX:ORIGINAL_SHA256"], row["original_sha256"]);
    assert_eq!(tags["TXXX:AS_OF"], manifest["as_of"]);

    // All of the call's events came before its recording was due.
    let call = row["call"].as_str().unwrap();
    let shown = &service.json(&["show", call])[0];
    for field in ["call", "pbx", "external", "direction", "legs", "ring_path"] {
        assert_eq!(manifest["call"][field], shown[field], "{field}");
    }
    let seqs = |events: &Value| -> Vec<i64> {
        let events = events.as_array().unwrap().iter();
        events.map(|event| event["seq"].as_i64().unwrap()).collect()
    };
    assert_eq!(seqs(&manifest["events"]), seqs(&shown["events"]));
    let sent = corpus();
    for event in manifest["events"].as_array().unwrap() {
        let row = &sent[event["seq"].as_u64().unwrap() as usize - 1];
        assert_eq!(event["raw"], row.payload);
        let is_get = row.form == "urlencoded";
        assert_eq!(event["method"], if is_get { "GET" } else { "POST" });
    }
}

/// What a bucket's own tools show.
fn check_head(vault: &Vault, recording: &str, row: &Value) {
    let Some(head) = vault.head(&key(recording)) else {
        return;
    };
    let sha256 = row["object_sha256"].as_str().unwrap();
    assert_eq!(head.checksum_sha256(), Some(base64_of(sha256).as_str()));
    assert_eq!(head.content_type(), Some("audio/mpeg"));
    let metadata = head.metadata().unwrap();
    for (name, field) in [
        ("sha256", "object_sha256"),
        ("recording", "recording"),
        ("original-sha256", "original_sha256"),
        ("direction", "direction"),
        ("external", "external"),
        ("extension", "extension"),
        ("started-at", "started_at"),
    ] {
        let said = metadata.get(name).map(String::as_str);
        assert_eq!(said, row[field].as_str(), "{name}");
    }
    assert!(metadata.values().all(|value| value.is_ascii()));
}

fn base64_of(hex: &str) -> String {
    use base64::Engine as _;
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// While the store is away all is decided; what is learned then, and a restart, change nothing.
fn what_is_decided_is_sent(vault: &Vault) {
    let pbx = Pbx::start();
    let (shut, setup) = vault.shut(Setup::hq(&pbx.base_url()));
    let mut service = setup.start();
    post_table(&service, 5);
    wait_until_tried(&service);
    let recording = "230307150805_46-1-1";
    let decided = row(&service, recording);
    assert_eq!(decided["state"], "pending");
    assert_eq!(decided["object_key"], key(recording));
    let later = json!({"Event": "incoming", "Callerid": "0999888777", "User": "117",
        "Finishtype": "Ok", "Transfer": "True", "Id": "230307150805_46-1"});
    hook::post(service.hook(), later.to_string());
    service.wait_until_read();

    service.restart();
    shut.open();
    service.wait_for_recordings("archived", 1);
    assert_eq!(vault.keys(), keys([recording]));
    let archived = row(&service, recording);
    for field in ["object_key", "object_sha256", "bytes", "original_sha256"] {
        assert_eq!(archived[field], decided[field], "{field}");
    }
    let object = vault.read(&key(recording));
    check_object(&object, &audio(recording), &archived);
    let manifest = vault.read(&manifest_key(recording));
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["events"].as_array().unwrap().len(), 5);
    // The file was there already: it was fetched once.
    assert_eq!(pbx.requests().len(), 1);
}

fn wait_until_tried(service: &Service) {
    let tried = "SELECT count(*) FROM attempts WHERE stage = 'upload' AND code IS NOT NULL";
    wait_for("the store was tried", Duration::from_secs(20), || {
        service.number(tried) > 0
    });
}
