//! The store fails in every way there is, and nothing is lost, stored twice or called archived
//! that is not.

mod alone;
mod check;
mod directory;
mod many;
mod taken;

use std::time::Duration;

use callvault::model::digest::Digest;
use serde_json::Value;

use crate::support::hook;
use crate::support::pbx::{Answer, Pbx};
use crate::support::proxy::Proxy;
use crate::support::service::{Service, Setup};
use crate::support::wait::wait_for;
use crate::support::weed::Weed;

const WITHIN: Duration = Duration::from_secs(20);
const SQL: &str = "SELECT json_array(recording, object_key, object_sha256) FROM recordings \
    WHERE state = 'archived'";

/// The lines of `[store]` for a bucket.
fn bucket(endpoint: &str, name: &str, access_key: &str, secret_key: &str) -> String {
    format!(
        "kind = \"s3\"\nbucket = \"{name}\"\nendpoint = \"{endpoint}\"\npath_style = true\n\
         access_key = \"{access_key}\"\nsecret_key = \"{secret_key}\"\n"
    )
}

/// A service whose bucket `calls` lies behind a proxy.
fn behind(proxy: &Proxy, weed: &Weed, pbx: &Pbx) -> Setup {
    let endpoint = proxy.endpoint();
    let lines = bucket(&endpoint, "calls", weed.access_key(), weed.secret_key());
    Setup::hq(&pbx.base_url()).store(&lines)
}

/// A recording that nobody announced yet: `230307142318_1007-1-1`.
fn name(counter: usize) -> String {
    format!("230307142318_{}-1-1", 1000 + counter)
}

fn key(name: &str) -> String {
    format!("hq/2023/03/07/{name}.mp3")
}

/// The PBX has it, and says so.
fn announce(service: &Service, pbx: &Pbx, name: &str) {
    pbx.script(name, [Answer::audio("230307150805_46-1-1")]);
    let url = format!("https://FQDN:5001/webapi/recording/{name}.mp3");
    hook::post(service.hook(), format!(r#"{{"FILES":["{url}"]}}"#));
}

/// Until it has failed so, and so again.
fn wait_until_failing(service: &Service, name: &str, code: &str) {
    let sql =
        format!("SELECT count(*) FROM attempts WHERE recording = 'hq/{name}' AND code = '{code}'");
    wait_for(&format!("{name} fails twice with {code}"), WITHIN, || {
        service.number(&sql) >= 2
    });
    assert_eq!(state(service, name), "pending", "{code}");
}

/// Empty where nobody knows it yet.
fn state(service: &Service, name: &str) -> String {
    let sql = format!("SELECT json_array(state) FROM recordings WHERE recording = 'hq/{name}'");
    let row = service.rows(&sql).pop().unwrap_or_default();
    row[0].as_str().unwrap_or_default().to_owned()
}

/// Until it is archived, by itself.
fn wait_until_archived(service: &Service, name: &str) {
    wait_for(&format!("{name} is archived"), WITHIN, || {
        state(service, name) == "archived"
    });
}

/// What the index says of a recording now, as `jobs` shows it.
fn job(service: &Service, name: &str) -> Value {
    let jobs = service.json(&["jobs"]);
    let mut jobs = jobs.into_iter();
    let found = jobs.find(|job| job["recording"] == format!("hq/{name}"));
    found.unwrap_or_else(|| panic!("no job {name}"))
}

/// The bucket holds exactly what the index says, once each, and nothing else.
async fn assert_all_there(service: &Service, weed: &Weed, recordings: usize) {
    service.wait_until_store_is_tried();
    let rows = service.rows(SQL);
    assert_eq!(rows.len(), recordings);
    let mut expected = Vec::new();
    for row in &rows {
        let [_, Value::String(key), Value::String(sha256)] = &row.as_array().unwrap()[..] else {
            panic!("{row}");
        };
        let object = get(weed, key).await;
        assert_eq!(Digest::of(&object).to_string(), *sha256, "{row}");
        let manifest_key = key.replace(".mp3", ".json");
        let manifest: Value = serde_json::from_slice(&get(weed, &manifest_key).await).unwrap();
        assert_eq!(manifest["object_sha256"], sha256.as_str(), "{row}");
        expected.extend([key.clone(), manifest_key]);
    }
    let versions = weed.versions("calls").await;
    let mut keys: Vec<String> = versions.into_iter().map(|(key, _)| key).collect();
    keys.sort();
    expected.sort();
    assert_eq!(keys, expected, "one version a key, and no other keys");
    wait_for("no local copy is left", WITHIN, || spooled(service) == 0);
    let verified = service.cli(&["verify", "--all"]);
    assert_eq!(verified.status, 0, "{}", verified.stderr);
}

async fn get(weed: &Weed, key: &str) -> Vec<u8> {
    let got = weed.client().get_object().bucket("calls").key(key).send();
    let got = got.await.unwrap_or_else(|error| panic!("{key}: {error:?}"));
    got.body.collect().await.unwrap().to_vec()
}

/// How many files lie in the spool.
fn spooled(service: &Service) -> usize {
    let listed = std::fs::read_dir(service.data_dir().join("spool"));
    listed.unwrap().count()
}
