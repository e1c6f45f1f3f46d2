//! Keys as the settings have them.

use std::fs;

use serde_json::Value;

use super::row;
use crate::support::calls::post_table;
use crate::support::pbx::Pbx;
use crate::support::service::{Service, Setup};
use crate::support::vault::{Vault, on_both_stores};

on_both_stores!(recordings_lie_where_the_settings_say_and_are_found_there);

const KEY: &str = r#""calls/{yyyy}-{mm}/{dd}/{recording}_of_{pbx}.mp3""#;
const CALL: &str = "230307142318_40";
const RECORDINGS: [&str; 2] = ["230307142318_40-1-1", "230307142318_40-2-1"];

fn key(recording: &str) -> String {
    format!("calls/2023-03/07/{recording}_of_hq.mp3")
}

fn recordings_lie_where_the_settings_say_and_are_found_there(vault: &Vault) {
    let pbx = Pbx::start();
    let setup = Setup::hq(&pbx.base_url()).archive("key", KEY);
    let mut service = vault.set_up(setup).start();
    post_table(&service, 2);
    service.wait_for_recordings("archived", 2);
    let manifest = |recording| key(recording).replace(".mp3", ".json");
    let mut expected: Vec<String> = RECORDINGS.map(key).into();
    expected.extend(RECORDINGS.map(manifest));
    expected.sort();
    assert_eq!(vault.keys(), expected);
    for recording in RECORDINGS {
        let manifest = vault.read(&manifest(recording));
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["recording"], format!("hq/{recording}"));
        for said in [&manifest, &row(&service, recording)] {
            assert_eq!(said["object_key"], key(recording));
        }
    }
    assert_taken_out(vault, &service, "out");

    // What is archived stays where it is, whatever holds for others from now on.
    let settings = service.settings().replace(&format!("key = {KEY}\n"), "");
    assert!(!settings.contains("{recording}"), "{settings}");
    service.rewrite(&settings);
    service.restart();
    assert_taken_out(vault, &service, "out again");
    assert_eq!(vault.keys(), expected);
}

fn assert_taken_out(vault: &Vault, service: &Service, directory: &str) {
    let said = service.cli(&["verify", CALL]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    let out = service.dir().join(directory);
    let said = service.cli(&["fetch", CALL, "-o", out.to_str().unwrap()]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    for recording in RECORDINGS {
        let file = fs::read(out.join(format!("{recording}.mp3"))).unwrap();
        assert!(file == vault.read(&key(recording)), "{recording}");
    }
    assert_eq!(fs::read_dir(out).unwrap().count(), RECORDINGS.len());
}
