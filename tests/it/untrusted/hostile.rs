//! Values that would harm whoever shows them or makes a name of them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::calls::{key, keys, spooled, url};
use crate::support::hook;
use crate::support::pbx::{Answer, Pbx, audio};
use crate::support::service::{Service, Setup};
use crate::support::vault::{Vault, files_below, on_both_stores};
use crate::support::wait::wait_for;

on_both_stores!(hostile_values_harm_nobody);

const BIDI: char = '\u{202e}';
/// No line of output is longer, whatever it shows.
const LINE_MAX_BYTES: usize = 16 * 1024;

fn hostile() -> Vec<String> {
    vec![
        "nul\0nul".to_owned(),
        "line\nINJECTED line\r\nINJECTED: header".to_owned(),
        "esc\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m".to_owned(),
        format!("{BIDI}3pm.gpj\u{2066}"),
        "../../../etc/passwd".to_owned(),
        "long".repeat(16 * 1024),
        "'); DROP TABLE call; --".to_owned(),
        "=cmd|' /C calc'!A0".to_owned(),
        "%2e%2e%2f%00%0d%0aINJECTED".to_owned(),
    ]
}

/// One call a value, which is in every field; and one where it is in the ids themselves.
fn hostile_values_harm_nobody(vault: &Vault) {
    let pbx = Pbx::start();
    let setup = vault.set_up(Setup::hq(&pbx.base_url()));
    let service = setup.env("CALLVAULT_LOG", "callvault=trace").start();
    let mut recordings = Vec::new();
    for (at, value) in hostile().iter().enumerate() {
        let call = format!("23030712000{at}_{at}");
        let recording = format!("{call}-1-1");
        pbx.script(&recording, [Answer::ok(audio("230307150805_46-1-1"))]);
        post_all(&service, &call, value, &url(&recording));
        hook::post(
            service.hook(),
            json!({"Event": value, "Id": value, "FileUrls":
            [format!("https://h/webapi/recording/{value}.mp3")]})
            .to_string(),
        );
        hook::post(service.hook(), value);
        recordings.push(recording);
    }
    service.wait_for_recordings("archived", recordings.len() as i64);
    service.wait_until_read();
    wait_for(
        "only archived and refused ones are left",
        Duration::from_secs(10),
        || {
            service
                .number("SELECT count(*) FROM recordings WHERE state = 'pending' AND code IS NULL")
                == 0
        },
    );

    assert_eq!(vault.keys(), keys(recordings.iter().map(String::as_str)));
    assert_eq!(
        files_below(&service.data_dir().join("spool")),
        spooled(&service)
    );
    for recording in &recordings {
        check_metadata(vault, recording);
    }
    check_texts(&service, &recordings);
    check_asked(&service);
    check_custody(&service, &recordings[0]);
    check_json(&service, &recordings);
}

fn post_all(service: &Service, call: &str, value: &str, url: &str) {
    let events = [
        json!({"Event": "ringing", "Callerid": value, "User": value, "Usertype": value,
            "Did": value, "Id": format!("{call}-0"), "title": value}),
        json!({"Event": "incomingcall_started", "Callerid": value, "User": value,
            "Trtype": value, "Did": value, "Id": format!("{call}-1"), "chid": value}),
        json!({"Event": "incoming", "Callerid": value, "User": value, "Finishtype": value,
            "Transfer": value, "Did": value, "Duration": value, "Id": format!("{call}-1")}),
        json!({"Event": "recording", "Callerid": value, "User": value, "FileUrls": [url],
            "Id": format!("{call}-1")}),
    ];
    for event in events {
        hook::post(service.hook(), event.to_string());
    }
}

fn check_metadata(vault: &Vault, recording: &str) {
    let Some(head) = vault.head(&key(recording)) else {
        return;
    };
    let metadata = head.metadata().unwrap();
    assert_eq!(metadata["recording"], format!("hq/{recording}"));
    let plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    for (name, value) in metadata {
        assert!(value.bytes().all(plain), "{name}: {value:?}");
        assert!(value.len() < 2048, "{name}: {} bytes", value.len());
    }
    // The headers that a value would have added.
    assert!(!metadata.contains_key("injected"));
}

fn check_texts(service: &Service, recordings: &[String]) {
    check_text("the log", &service.log());
    let rows = recordings.len();
    for (arguments, lines) in [
        (vec!["search", "--state", "archived"], Some(rows + 1)),
        (vec!["search"], None),
        (vec!["search", "--calls"], Some(rows + 1)),
    ] {
        let said = service.cli(&arguments);
        assert_eq!(said.status, 0, "{}", said.stderr);
        check_text(&format!("{arguments:?}"), &said.stdout);
        if let Some(lines) = lines {
            assert_eq!(said.stdout.lines().count(), lines, "{arguments:?}");
        }
    }
    for recording in recordings {
        let (call, _) = recording.split_once('-').unwrap();
        for id in [call, recording] {
            let said = service.cli(&["show", id]);
            assert_eq!(said.status, 0, "{}", said.stderr);
            check_text(id, &said.stdout);
        }
    }
    for value in hostile().iter().filter(|value| !value.contains('\0')) {
        for verb in ["show", "fetch"] {
            let said = service
                .cli(&[verb, value, "-o", "/nonexistent"][..if verb == "show" { 2 } else { 4 }]);
            assert_eq!(said.status, 1, "{verb}: {}", said.stderr);
            check_text(verb, &said.stderr);
        }
    }
}

/// What was asked for is repeated no rawer than what is found.
fn check_asked(service: &Service) {
    let filters = ["number", "extension", "did", "call"];
    let filters = filters.map(|filter| (&["search"][..], filter));
    let of_custody = ["actor", "recording", "act"].map(|filter| (&["custody", "list"][..], filter));
    for value in hostile().iter().filter(|value| !value.contains('\0')) {
        for (verb, filter) in filters.iter().chain(&of_custody) {
            let filter = format!("--{filter}={value}");
            let said = service.cli(&[verb, &[filter.as_str()][..]].concat());
            for text in [&said.stdout, &said.stderr] {
                check_text(&format!("{verb:?} {filter:?}"), text);
            }
        }
    }
}

/// Reasons are whatever somebody gives, and so is what was searched for.
fn check_custody(service: &Service, recording: &str) {
    let out = service.dir().join("out");
    for value in hostile().iter().filter(|value| !value.contains('\0')) {
        let fetch = ["fetch", recording, "-o", out.to_str().unwrap()];
        let why = ["--reason", value, "--case", value];
        let said = service.cli(&[&fetch[..], &why].concat());
        assert_eq!(said.status, 0, "{}", said.stderr);
    }
    let entries = service.number("SELECT count(*) FROM custody") as usize;
    let said = service.cli(&["custody", "list"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    check_text("custody list", &said.stdout);
    assert_eq!(said.stdout.lines().count(), entries + 1);
    assert!(said.stdout.contains("esc\\u{1b}[2J"), "{}", said.stdout);
}

fn check_text(what: &str, text: &str) {
    let bad = |c: char| (c.is_control() && c != '\n') || c == BIDI || c == '\u{2066}';
    let found = text
        .lines()
        .find(|line| line.contains(bad) || line.starts_with("INJECTED"));
    assert_eq!(found, None, "{what}");
    let longest = text.lines().map(str::len).max().unwrap_or_default();
    assert!(
        longest <= LINE_MAX_BYTES,
        "{what}: a line of {longest} bytes"
    );
}

/// To programs it is all said as it came.
fn check_json(service: &Service, recordings: &[String]) {
    let rows = service.json(&["search", "--state", "archived"]);
    assert_eq!(rows.len(), recordings.len());
    let calls = service.json(&["search", "--calls"]);
    for (recording, value) in recordings.iter().zip(hostile()) {
        let (call, _) = recording.split_once('-').unwrap();
        let row = rows
            .iter()
            .find(|row| row["recording"] == format!("hq/{recording}"));
        let shown = &service.json(&["show", recording])[0];
        let shown_call = &service.json(&["show", call])[0];
        let listed = calls.iter().find(|listed| listed["call"] == call);
        for said in [row.unwrap(), shown, shown_call, listed.unwrap()] {
            assert_eq!(said["external"], Value::from(value.trim()), "{said}");
        }
    }
}
