//! A PBX that gives another body than the one that was tagged, after our copy was lost.

use std::fs;

use serde_json::{Value, json};

use super::{check_object, row, wait_until_tried};
use crate::support::calls::{key, keys, post_table, spooled};
use crate::support::outcome::codes;
use crate::support::pbx::{Answer, Pbx, audio};
use crate::support::service::{Service, Setup};
use crate::support::vault::{Shut, Vault, on_both_stores};

on_both_stores!(
    another_body_is_never_stored_under_the_first_ones_tag,
    another_body_is_waited_out,
);

const RECORDING: &str = "230307150805_46-1-1";
const ID: &str = "hq/230307150805_46-1-1";
const ANOTHER: &str = "230307142318_40-2-1";

/// Stopped when key, tag and digest were decided while the store was away, and then lost its copy.
fn tagged_and_lost<'v>(vault: &'v Vault, pbx: &Pbx, keeps: &str) -> (Shut<'v>, Service, Value) {
    let setup = Setup::new().pbx("hq", "Europe/Prague", &pbx.base_url(), keeps);
    let (shut, setup) = vault.shut(setup);
    let mut service = setup.start();
    post_table(&service, 5);
    wait_until_tried(&service);
    service.kill();
    let [name] = &spooled(&service)[..] else {
        panic!("not one file: {:?}", spooled(&service));
    };
    fs::remove_file(service.data_dir().join("spool").join(name)).unwrap();
    let decided = row(&service, RECORDING);
    assert_eq!(decided["object_key"], key(RECORDING));
    (shut, service, decided)
}

fn assert_archived(vault: &Vault, service: &Service, decided: &Value) {
    service.wait_for_recordings("archived", 1);
    let archived = row(service, RECORDING);
    for field in ["object_key", "object_sha256", "bytes", "original_sha256"] {
        assert_eq!(archived[field], decided[field], "{field}");
    }
    assert_eq!(vault.keys(), keys([RECORDING]));
    check_object(&vault.read(&key(RECORDING)), &audio(RECORDING), &archived);
}

/// The last tries of the recording, as many as are expected.
fn assert_ended_with(service: &Service, expected: &[Value]) {
    let codes = codes(service, ID);
    let codes = codes.as_array().expect("an array");
    assert!(codes.ends_with(expected), "{codes:?}");
}

fn another_body_is_never_stored_under_the_first_ones_tag(vault: &Vault) {
    let pbx = Pbx::start();
    let (shut, mut service, decided) = tagged_and_lost(vault, &pbx, "source_keeps = \"1ms\"");
    pbx.script(RECORDING, [Answer::audio(ANOTHER)]);
    shut.open();
    service.restart();
    service.wait_for_recordings("failed", 1);
    let failed = row(&service, RECORDING);
    assert_eq!(failed["code"], "source_changed", "{failed}");
    assert_ended_with(&service, &[json!("source_changed")]);
    assert_eq!(vault.keys(), [""; 0]);
    assert_eq!(spooled(&service), [""; 0]);

    // The tag that was decided on goes with the body that it was made for.
    pbx.script(RECORDING, [Answer::audio(RECORDING)]);
    let retried = service.cli(&["jobs", "retry", ID]);
    assert_eq!(retried.status, 0, "{}", retried.stderr);
    assert_archived(vault, &service, &decided);
}

/// As long as the PBX keeps its files, nobody need ask for it.
fn another_body_is_waited_out(vault: &Vault) {
    let pbx = Pbx::start();
    let (shut, mut service, decided) = tagged_and_lost(vault, &pbx, "");
    let answers = [ANOTHER, ANOTHER, RECORDING].map(Answer::audio);
    pbx.script(RECORDING, answers);
    shut.open();
    service.restart();
    assert_archived(vault, &service, &decided);
    let changed = json!("source_changed");
    assert_ended_with(&service, &[changed.clone(), changed, Value::Null]);
}
