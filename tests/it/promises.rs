//! Stores that lie: each promise of a store is tried, what does not hold is said, and nothing is
//! called archived, or locked, on a store's word that was seen to be worth nothing.

mod later;
mod locks;
mod rclone;
mod told;

use std::time::Duration;

use serde_json::Value;

use crate::support::hook;
use crate::support::pbx::{Answer, Pbx};
use crate::support::service::{Service, Setup};
use crate::support::wait::wait_for;

const WITHIN: Duration = Duration::from_secs(20);

/// The lines of `[store]`.
fn bucket(endpoint: &str, name: &str, keys: (&str, &str), lock: Option<&str>) -> String {
    let (access_key, secret_key) = keys;
    let lock = lock.map(|mode| format!("object_lock = \"{mode}\"\nlock_for = \"1d\"\n"));
    format!(
        "kind = \"s3\"\nbucket = \"{name}\"\nendpoint = \"{endpoint}\"\npath_style = true\n\
         access_key = \"{access_key}\"\nsecret_key = \"{secret_key}\"\n{}",
        lock.unwrap_or_default()
    )
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

/// What one recording's row says in the public view.
fn row(service: &Service, name: &str) -> Value {
    let sql = format!(
        "SELECT json_object('state', state, 'code', code, 'object_sha256', object_sha256, \
         'lock_mode', lock_mode, 'lock_until', lock_until) \
         FROM recordings WHERE recording = 'hq/{name}'"
    );
    service.rows(&sql).pop().unwrap_or_default()
}

fn wait_until_archived(service: &Service, name: &str) {
    wait_for(&format!("{name} is archived"), WITHIN, || {
        row(service, name)["state"] == "archived"
    });
}

/// Until it has failed so, and so again.
fn wait_until_failing(service: &Service, name: &str, code: &str) {
    let sql =
        format!("SELECT count(*) FROM attempts WHERE recording = 'hq/{name}' AND code = '{code}'");
    wait_for(&format!("{name} fails twice with {code}"), WITHIN, || {
        service.number(&sql) >= 2
    });
    assert_eq!(row(service, name)["state"], "pending", "{code}");
}

/// Of one act of custody on a recording.
fn detail(service: &Service, name: &str, act: &str) -> String {
    let sql = format!(
        "SELECT json_array(detail) FROM custody WHERE subject = 'hq/{name}' AND act = '{act}'"
    );
    let found = service.rows(&sql).pop().unwrap_or_default();
    found[0].as_str().unwrap_or_default().to_owned()
}

/// What `check --online` says of the store, a line each, and its exit code.
fn check(service: &Service) -> (i32, Vec<String>) {
    let output = service.cli(&["check", "--online"]);
    let lines = output.stdout.lines();
    let store = lines.filter(|line| line.contains("store s3://"));
    (output.status, store.map(str::to_owned).collect())
}

fn set_up(pbx: &Pbx, lines: &str) -> Setup {
    Setup::hq(&pbx.base_url()).store(lines)
}
