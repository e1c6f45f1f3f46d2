//! `callvault jobs`: the backlog, and putting it to work again.

use std::time::Duration;

use callvault::model::digest::Digest;
use serde_json::{Value, json};

use super::announce;
use crate::support::hook;
use crate::support::pbx::{Answer, Pbx};
use crate::support::service::{Service, Setup};
use crate::support::wait::wait_for;

const WITHIN: Duration = Duration::from_secs(20);
const FIRST: &str = "230307142318_40-1-1";
const SECOND: &str = "230307142318_40-2-1";
const OFF_PATH: &str = "https://FQDN:5001/elsewhere/230307142318_40-1-1.mp3";

fn off_path() -> String {
    format!("u-{}", &Digest::of(OFF_PATH.as_bytes()).to_string()[..16])
}

/// Null until it is known.
fn state(service: &Service, recording: &str) -> Value {
    let sql = format!(
        "SELECT json_array(state, code) FROM recordings WHERE recording = 'hq/{recording}'"
    );
    service.rows(&sql).pop().unwrap_or_default()
}

fn wait_for_state(service: &Service, recording: &str, expected: Value) {
    wait_for(&format!("{recording} is {expected}"), WITHIN, || {
        state(service, recording) == expected
    });
}

#[test]
fn an_empty_backlog_is_a_success() {
    let service = Setup::hq("http://127.0.0.1:9").prepare();
    let output = service.cli(&["jobs"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("no index") && output.stderr.contains("try: callvault serve"));
    let mut service = service;
    service.restart();
    let cases: [&[&str]; 6] = [
        &["jobs"],
        &["jobs", "list"],
        &["jobs", "--json"],
        &["jobs", "list", "--json"],
        &["jobs", "retry", "--all-failed"],
        &["jobs", "retry", "--all-failed", "--json"],
    ];
    for arguments in cases {
        let output = service.cli(arguments);
        assert_eq!(
            (output.status, output.stdout.as_str()),
            (0, ""),
            "{arguments:?}"
        );
    }
}

/// The PBX's wall clock then.
fn on_the_wall(at: &str) -> String {
    let at: jiff::Timestamp = at.parse().unwrap();
    let local = at.in_tz("Europe/Prague").unwrap();
    local.strftime("%F %T").to_string()
}

#[test]
fn what_waits_and_what_failed_is_listed() {
    let pbx = Pbx::start();
    pbx.script(FIRST, [Answer::status(404)]);
    pbx.script(SECOND, [Answer::status(401)]);
    let setup = Setup::hq(&pbx.base_url()).archive("retry", r#"["1h"]"#);
    let service = setup.start();
    announce(&service, FIRST);
    announce(&service, SECOND);
    hook::post(service.hook(), OFF_PATH);
    wait_for_state(&service, FIRST, json!(["pending", "not_there"]));
    wait_for_state(&service, SECOND, json!(["pending", "pbx_login"]));
    service.wait_until_read();

    let rows = service.json(&["jobs", "list"]);
    let keys = [
        "recording",
        "state",
        "code",
        "reason",
        "attempts",
        "announced_at",
        "next_at",
    ];
    for row in &rows {
        let found: Vec<&String> = row.as_object().unwrap().keys().collect();
        assert_eq!(found, keys);
    }
    assert_eq!(rows.len(), 3);
    // What failed comes first.
    assert_eq!(rows[0]["recording"], format!("hq/{}", off_path()));
    assert_eq!(
        (&rows[0]["state"], &rows[0]["code"]),
        (&json!("failed"), &json!("url_off_path"))
    );
    assert_eq!(
        (&rows[0]["attempts"], &rows[0]["next_at"]),
        (&json!(0), &Value::Null)
    );
    let of = |recording: &str| {
        let id = json!(format!("hq/{recording}"));
        rows.iter().find(|row| row["recording"] == id).unwrap()
    };
    assert_eq!(
        (&of(FIRST)["code"], &of(FIRST)["attempts"]),
        (&json!("not_there"), &json!(1))
    );
    let reason = of(SECOND)["reason"].as_str().unwrap();
    assert!(reason.contains("401"), "{reason}");
    assert!(of(SECOND)["next_at"].as_str() > of(SECOND)["announced_at"].as_str());

    let table = service.cli(&["jobs"]);
    let head = table.stdout.lines().next().unwrap();
    let columns = [
        "RECORDING",
        "STATE",
        "CODE",
        "ATTEMPTS",
        "ANNOUNCED",
        "LOCAL TIME",
        "NEXT",
        "LOCAL TIME",
        "REASON",
    ];
    let of_table = head
        .split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty());
    assert_eq!(of_table.collect::<Vec<_>>(), columns);
    assert_eq!(table.stdout.lines().count(), 4);
    for row in &rows {
        for at in [&row["announced_at"], &row["next_at"]]
            .into_iter()
            .filter_map(Value::as_str)
        {
            let beside = format!("{at}  {}", on_the_wall(at));
            assert!(table.stdout.contains(&beside), "{beside}\n{}", table.stdout);
        }
    }
}

#[test]
fn a_waiting_one_is_made_due_at_once() {
    let pbx = Pbx::start();
    for recording in [FIRST, SECOND] {
        pbx.script(recording, [Answer::status(404), Answer::audio(recording)]);
    }
    let setup = Setup::hq(&pbx.base_url()).archive("retry", r#"["1h"]"#);
    let service = setup.start();
    announce(&service, FIRST);
    announce(&service, SECOND);
    for recording in [FIRST, SECOND] {
        wait_for_state(&service, recording, json!(["pending", "not_there"]));
    }
    let output = service.cli(&["jobs", "retry", FIRST]);
    assert_eq!(
        (output.status, output.stdout),
        (0, format!("hq/{FIRST}  due at once\n"))
    );
    service.wait_for_recordings("archived", 1);
    // A call means all its recordings; that one of them is archived is no failure.
    let said = service.json(&["jobs", "retry", "230307142318_40"]);
    let mut said: Vec<Value> = said
        .iter()
        .map(|row| json!([row["recording"], row["said"], row["ok"]]))
        .collect();
    said.sort_by_key(Value::to_string);
    assert_eq!(
        said,
        [
            json!([format!("hq/{FIRST}"), "archived already", true]),
            json!([format!("hq/{SECOND}"), "due at once", true]),
        ]
    );
    service.wait_for_recordings("archived", 2);
    let acts = "SELECT json_array(subject, actor LIKE 'os user %') FROM custody \
        WHERE act = 'retried' ORDER BY seq";
    let expected = [FIRST, SECOND].map(|recording| json!([format!("hq/{recording}"), 1]));
    assert_eq!(service.rows(acts), expected);
}

#[test]
fn a_failed_one_gets_a_new_window() {
    let pbx = Pbx::start();
    pbx.script(FIRST, [Answer::status(404)]);
    let setup = Setup::new()
        .pbx(
            "hq",
            "Europe/Prague",
            &pbx.base_url(),
            "source_keeps = \"1s\"",
        )
        .archive("retry", r#"["20ms"]"#);
    let service = setup.start();
    announce(&service, FIRST);
    hook::post(service.hook(), OFF_PATH);
    let given_up = json!(["failed", "not_there"]);
    wait_for_state(&service, FIRST, given_up.clone());
    let before = pbx.requests().len();
    let said = service.json(&["jobs", "retry", "--all-failed"]);
    let [row] = said.as_slice() else {
        panic!("what is never fetched is not retried: {said:?}")
    };
    assert_eq!(row["recording"], format!("hq/{FIRST}"));
    // Without a new window the first answer would have been the last.
    wait_for("it is tried and tried", WITHIN, || {
        pbx.requests().len() >= before + 3
    });
    wait_for_state(&service, FIRST, given_up);
    pbx.script(FIRST, [Answer::audio(FIRST)]);
    assert_eq!(service.cli(&["jobs", "retry", "--all-failed"]).status, 0);
    service.wait_for_recordings("archived", 1);
}

#[test]
fn what_no_try_can_help() {
    let pbx = Pbx::start();
    pbx.script(FIRST, [Answer::status(404)]);
    let setup = Setup::hq(&pbx.base_url()).archive("retry", r#"["1h"]"#);
    let service = setup.start();
    hook::post(service.hook(), OFF_PATH);
    announce(&service, FIRST);
    wait_for_state(&service, FIRST, json!(["pending", "not_there"]));
    let never = off_path();
    let cases: [(&[&str], i32, &str, &str); 5] = [
        (
            &[&never],
            1,
            "its URL is never requested",
            "try: callvault jobs",
        ),
        (&[FIRST, &never], 2, "due at once", ""),
        (&["230307142318_41-1-1"], 1, "", "230307142318_41-1-1"),
        (&[], 64, "", "<ID>"),
        (&["--all-failed", FIRST], 64, "", "--all-failed"),
    ];
    for (ids, exit, stdout, stderr) in cases {
        let output = service.cli(&[&["jobs", "retry"], ids].concat());
        assert_eq!(output.status, exit, "{ids:?}: {output:?}");
        assert!(output.stdout.contains(stdout), "{ids:?}: {}", output.stdout);
        assert!(output.stderr.contains(stderr), "{ids:?}: {}", output.stderr);
    }
    assert_eq!(state(&service, &never), json!(["failed", "url_off_path"]));
}
