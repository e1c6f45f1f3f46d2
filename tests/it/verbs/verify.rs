//! `callvault verify`: whatever is not what was archived has its name said.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{announce, deliver_corpus};
use crate::support::pbx::Pbx;
use crate::support::service::{Service, Setup};

const CALL: &str = "230307142318_40";
const ONE: &str = "230307142318_40-1-1";
const OTHER: &str = "230307142318_40-2-1";

/// Two recordings of one call and one of another, archived.
fn archived() -> (Pbx, Service) {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    for recording in [ONE, OTHER, "230307150805_46-1-1"] {
        announce(&service, recording);
    }
    service.wait_for_recordings("archived", 3);
    (pbx, service)
}

fn object(service: &Service, recording: &str) -> PathBuf {
    let shown = service.json(&["show", recording]).remove(0);
    service
        .dir()
        .join("archive")
        .join(shown["object_key"].as_str().unwrap())
}

fn manifest(service: &Service, recording: &str) -> PathBuf {
    object(service, recording).with_extension("json")
}

/// The error that is said of each recording, null where it is sound.
fn said(stdout: &str) -> BTreeMap<String, Value> {
    let line = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["verified"], row["error"].is_null());
        (
            row["recording"].as_str().unwrap().to_owned(),
            row["error"].clone(),
        )
    };
    stdout.lines().map(line).collect()
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn exchange(one: &Path, other: &Path) {
    let aside = one.with_extension("aside");
    fs::rename(one, &aside).unwrap();
    fs::rename(other, one).unwrap();
    fs::rename(&aside, other).unwrap();
}

/// Damages the archive; `expected` is a part of what is said of each recording that it hits.
fn check(damage: impl FnOnce(&Service), expected: &[(&str, &str)]) {
    let (_pbx, service) = archived();
    damage(&service);
    let output = service.cli(&["verify", "--all", "--json"]);
    assert_eq!(output.status, 65, "{output:?}");
    let said = said(&output.stdout);
    assert_eq!(said.len(), 3);
    for (recording, error) in &said {
        let hit = expected
            .iter()
            .find(|(hit, _)| format!("hq/{hit}") == *recording);
        match (hit, error.as_str()) {
            (None, None) => {}
            (Some((_, part)), Some(error)) => assert!(error.contains(part), "{error}"),
            _ => panic!("{recording}: {error}, expected {hit:?}"),
        }
    }
    let sound = 3 - expected.len();
    let tally = format!(
        "{sound} sound, {} not what was archived, 0 could not be read",
        expected.len()
    );
    assert!(output.stderr.contains(&tally), "{}", output.stderr);
    for (recording, part) in expected {
        let output = service.cli(&["verify", recording]);
        assert_eq!(output.status, 65, "{output:?}");
        let begins = "FAILED  ";
        assert!(
            output.stdout.starts_with(begins) && output.stdout.contains(part),
            "{output:?}"
        );
        assert!(output.stdout.contains(recording));
    }
}

#[test]
fn a_flipped_bit() {
    check(
        |service| change(&object(service, ONE), |bytes| bytes[9000] ^= 1),
        &[(ONE, "changed in place")],
    );
}

#[test]
fn a_flipped_bit_in_the_tag() {
    check(
        |service| change(&object(service, ONE), |bytes| bytes[200] ^= 1),
        &[(ONE, "changed in place")],
    );
}

#[test]
fn a_cut_and_a_grown_object() {
    check(
        |service| {
            change(&object(service, ONE), |bytes| bytes.truncate(4000));
            change(&object(service, OTHER), |bytes| bytes.push(0));
        },
        &[(ONE, "cut to 4000 of "), (OTHER, "grown to ")],
    );
}

#[test]
fn two_objects_exchanged() {
    check(
        |service| exchange(&object(service, ONE), &object(service, OTHER)),
        &[
            (ONE, "swapped with \"hq/230307142318_40-2-1\""),
            (OTHER, "swapped with \"hq/230307142318_40-1-1\""),
        ],
    );
}

#[test]
fn an_object_and_a_manifest_gone() {
    check(
        |service| {
            fs::remove_file(object(service, ONE)).unwrap();
            fs::remove_file(manifest(service, OTHER)).unwrap();
        },
        &[
            (
                ONE,
                "is gone from the store: nothing lies at hq/2023/03/07/230307142318_40-1-1.mp3",
            ),
            (OTHER, "the manifest of hq/230307142318_40-2-1 is gone"),
        ],
    );
}

#[test]
fn two_manifests_exchanged() {
    check(
        |service| exchange(&manifest(service, ONE), &manifest(service, OTHER)),
        &[
            (ONE, "the manifest of hq/230307142318_40-1-1 is not its own"),
            (
                OTHER,
                "the manifest of hq/230307142318_40-2-1 is not its own",
            ),
        ],
    );
}

/// They still name their objects.
#[test]
fn manifests_changed_where_they_tell_of_the_call() {
    check(
        |service| {
            change(&manifest(service, ONE), |bytes| {
                let at = bytes.len() - 20;
                bytes[at] ^= 1;
            });
            change(&manifest(service, OTHER), |bytes| bytes.push(b'\n'));
        },
        &[
            (ONE, "the manifest of hq/230307142318_40-1-1 is not its own"),
            (
                OTHER,
                "the manifest of hq/230307142318_40-2-1 is not its own",
            ),
        ],
    );
}

#[test]
fn an_archive_that_is_sound() {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    let output = service.cli(&["verify", "--all"]);
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (1, ""),
        "nothing yet"
    );
    deliver_corpus(&service);
    service.wait_for_recordings("archived", 10);
    let cases: [(&[&str], usize); 6] = [
        (&["--all"], 10),
        (&["--sample", "3"], 3),
        (&["--sample", "100"], 10),
        (&[CALL], 2),
        (&["hq/230307142318_40-1-1"], 1),
        (&[ONE, "230307150805_46"], 2),
    ];
    for (arguments, count) in cases {
        let json = service.cli(&[&["verify", "--json"], arguments].concat());
        assert_eq!(json.status, 0, "{arguments:?}: {json:?}");
        let said = said(&json.stdout);
        assert_eq!(said.len(), count, "{arguments:?}");
        assert!(said.values().all(Value::is_null));
        let text = service.cli(&[&["verify"], arguments].concat());
        assert_eq!(text.stdout.lines().count(), count);
        assert!(
            text.stdout
                .lines()
                .all(|line| line.starts_with("ok      hq/")),
            "{}",
            text.stdout
        );
    }
    let names = "SELECT json_quote(recording) FROM recordings ORDER BY recording";
    let all: Vec<Value> = service.rows(names);
    let verified = said(&service.cli(&["verify", "--all", "--json"]).stdout);
    assert_eq!(
        verified.into_keys().map(|id| json!(id)).collect::<Vec<_>>(),
        all
    );
    for (arguments, exit) in [
        (&["verify"] as &[&str], 64),
        (&["verify", "--all", ONE], 64),
        (&["verify", "--sample", "some"], 64),
        (&["verify", "230307142318_99-1-1"], 1),
    ] {
        assert_eq!(service.cli(arguments).status, exit, "{arguments:?}");
    }
}

#[test]
fn a_store_that_is_away_is_no_damage() {
    let (_pbx, mut service) = archived();
    service.kill();
    // A file instead of the directory above all objects of the PBX.
    let hq = service.dir().join("archive/hq");
    fs::rename(&hq, service.dir().join("away")).unwrap();
    fs::write(&hq, b"").unwrap();
    let output = service.cli(&["verify", "--all"]);
    assert_eq!(output.status, 1, "{output:?}");
    assert!(
        output.stderr.contains("3 could not be read"),
        "{}",
        output.stderr
    );
}
