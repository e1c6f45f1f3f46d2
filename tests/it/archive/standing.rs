//! An object that stands at the key already.

use std::fs;
use std::path::Path;

use callvault::model::digest::Digest;
use serde_json::Value;

use super::{row, wait_until_released, wait_until_tried};
use crate::support::calls::{key, keys, manifest_key, post_table, spooled};
use crate::support::pbx::{Pbx, audio};
use crate::support::service::{Service, Setup};
use crate::support::vault::{Vault, on_both_stores};

on_both_stores!(
    the_same_bytes_are_found,
    the_same_original_is_adopted,
    another_recording_is_left_alone,
);

const RECORDING: &str = "230307150805_46-1-1";
const ADOPTED: &str = "SELECT count(*) FROM custody WHERE act = 'adopted'";

fn service(vault: &Vault, pbx: &Pbx) -> Service {
    let service = vault.set_up(Setup::hq(&pbx.base_url())).start();
    post_table(&service, 5);
    service
}

/// An index from a backup made before the upload, and the store as it is now.
fn the_same_bytes_are_found(vault: &Vault) {
    let pbx = Pbx::start();
    let (shut, setup) = vault.shut(Setup::hq(&pbx.base_url()));
    let mut service = setup.start();
    post_table(&service, 5);
    wait_until_tried(&service);
    service.kill();
    let backup = service.dir().join("backup");
    copy(&service.data_dir(), &backup);

    shut.open();
    service.restart();
    service.wait_for_recordings("archived", 1);
    service.wait_until_store_is_tried();
    service.kill();
    let (stored, known) = (vault.contents(), row(&service, RECORDING));
    fs::remove_dir_all(service.data_dir()).unwrap();
    fs::rename(&backup, service.data_dir()).unwrap();

    service.restart();
    service.wait_for_recordings("archived", 1);
    wait_until_released(&service);
    service.wait_until_store_is_tried();
    assert_eq!(vault.contents(), stored);
    assert_eq!(vault.keys(), keys([RECORDING]));
    let now = row(&service, RECORDING);
    assert_eq!(now["object_sha256"], known["object_sha256"]);
    assert_eq!(service.number(ADOPTED), 0);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// An index that was lost with all its directory; the same calls come again.
fn the_same_original_is_adopted(vault: &Vault) {
    let pbx = Pbx::start();
    let first = service(vault, &pbx);
    first.wait_for_recordings("archived", 1);
    drop(first);
    let object = vault.read(&key(RECORDING));
    let manifest = vault.read(&manifest_key(RECORDING));

    for manifest_is_gone in [false, true] {
        if manifest_is_gone {
            vault.remove(&manifest_key(RECORDING));
        }
        let again = service(vault, &pbx);
        again.wait_for_recordings("archived", 1);
        wait_until_released(&again);
        assert_eq!(again.number(ADOPTED), 1);
        let row = row(&again, RECORDING);
        assert_eq!(row["object_sha256"], Digest::of(&object).to_string());
        assert_eq!(row["bytes"], object.len());
        let original = Digest::of(&audio(RECORDING)).to_string();
        assert_eq!(row["original_sha256"], original);
        assert!(vault.read(&key(RECORDING)) == object);
        let now = vault.read(&manifest_key(RECORDING));
        if manifest_is_gone {
            let now: Value = serde_json::from_slice(&now).unwrap();
            assert_eq!(now["recording"], row["recording"]);
            assert_eq!(now["original_sha256"], row["original_sha256"]);
            assert_eq!(now["object_sha256"], row["object_sha256"]);
            assert_eq!(now["object_bytes"], row["bytes"]);
        } else {
            assert!(now == manifest);
            assert_eq!(vault.keys(), keys([RECORDING]));
        }
    }
}

fn another_recording_is_left_alone(vault: &Vault) {
    let pbx = Pbx::start();
    let another = audio("tagged");
    vault.write(&key(RECORDING), &another);
    let mut service = service(vault, &pbx);
    service.wait_for_recordings("failed", 1);
    let check = |service: &Service| {
        let row = row(service, RECORDING);
        assert_eq!(row["code"], "conflict", "{row}");
        let reason = row["last_error"].as_str().unwrap();
        assert!(reason.contains(&key(RECORDING)), "{reason}");
        assert_eq!(vault.keys(), [key(RECORDING)]);
        assert!(vault.read(&key(RECORDING)) == another);
        let spooled = spooled(service);
        let [name] = spooled.as_slice() else {
            panic!("not one file: {spooled:?}");
        };
        let kept = fs::read(service.data_dir().join("spool").join(name)).unwrap();
        assert!(kept == audio(RECORDING));
    };
    check(&service);
    service.restart();
    check(&service);
}
