//! `callvault status`: how the archive stands, and whether a person must act.

use std::time::Duration;

use serde_json::{Value, json};

use super::{announce, deliver_corpus};
use crate::support::calls::RECORDINGS;
use crate::support::hook::{self, Request};
use crate::support::inside::{Inside, START};
use crate::support::pbx::{Answer, Pbx, audio};
use crate::support::service::{Service, Setup};
use crate::support::wait::wait_for;

const RECORDING: &str = "230307142318_40-1-1";
const WELL: &str = "all is well, nobody need act";
const WITHIN: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);

fn text(service: &Service) -> String {
    let output = service.cli(&["status"]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    output.stdout
}

fn object(service: &Service) -> Value {
    let mut lines = service.json(&["status"]);
    assert_eq!(lines.len(), 1);
    lines.remove(0)
}

/// The reasons why a person must act, once there are any.
fn reasons(service: &Service) -> Vec<String> {
    let status = object(service);
    let reasons: Vec<String> = serde_json::from_value(status["reasons"].clone()).unwrap();
    assert_eq!(status["act"], !reasons.is_empty());
    let first = text(service).lines().next().unwrap().to_owned();
    match reasons.is_empty() {
        true => assert_eq!(first, WELL),
        false => assert_eq!(first, format!("a person must act: {}", reasons.join("; "))),
    }
    reasons
}

#[test]
fn what_waits_for_a_pbx_that_the_settings_name_no_longer_is_told() {
    let pbx = Pbx::start();
    pbx.script(RECORDING, [Answer::status(503)]);
    let mut service = Setup::hq(&pbx.base_url()).start();
    announce(&service, RECORDING);
    service.wait_for_recordings("pending", 1);
    service.rewrite(
        &service
            .settings()
            .replace("name = \"hq\"", "name = \"branch\""),
    );
    service.restart();
    let told = "1 recording or event waits for hq, which the settings do not name";
    assert_eq!(reasons(&service), ["branch has never sent an event", told]);
}

#[test]
fn whoever_only_knocks_is_no_sign_of_life() {
    let service = Setup::hq("http://127.0.0.1:9").start();
    for method in ["OPTIONS", "PUT", "GET", "POST"] {
        let knock = Request {
            method: method.to_owned(),
            ..Request::get(hook::target("hq"))
        };
        assert_eq!(
            hook::send(service.hook(), &knock).unwrap().status,
            200,
            "{method}"
        );
    }
    service.wait_until_read();
    assert_eq!(
        service.number("SELECT count(*) FROM events"),
        4,
        "logged all the same"
    );
    assert_eq!(reasons(&service), ["hq has never sent an event"]);
}

#[test]
fn a_service_that_was_killed_is_told() {
    let pbx = Pbx::start();
    let mut service = Setup::hq(&pbx.base_url()).start();
    deliver_corpus(&service);
    service.wait_for_recordings("archived", 10);
    service.kill();
    let index = rusqlite::Connection::open(service.data_dir().join("index.sqlite")).unwrap();
    let an_hour_ago = "UPDATE heartbeat SET beat_ms = beat_ms - 3600000";
    index.execute(an_hour_ago, []).unwrap();
    drop(index);
    let reasons = reasons(&service);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(
        reasons[0].starts_with("the service has not run, or could not write the index, since 20"),
        "{reasons:?}"
    );
}

/// Nobody can do anything about it: told for a week, and in `jobs` for ever.
#[test]
fn a_refused_url_is_no_alarm_for_ever() {
    let pbx = Pbx::start();
    let inside = Inside::start(Setup::hq(&pbx.base_url()));
    let ringing = || {
        inside.post(
            "hq",
            r#"{"Event":"ringing","User":"117","Id":"230307142318_40-0"}"#,
        );
        inside.files.wait_until_read();
    };
    inside.post("hq", "https://h/elsewhere/230307142318_40-1-1.mp3");
    ringing();
    assert_eq!(
        inside.status().reasons,
        ["1 recording of hq has failed: callvault jobs"]
    );
    inside.turn(7 * 24 * HOUR + Duration::from_secs(1));
    ringing();
    let status = inside.status();
    assert_eq!((status.reasons, status.pbxs[0].failed), (Vec::new(), 1));
}

#[test]
fn green_when_all_is_well() {
    let service = Setup::hq("http://127.0.0.1:9").prepare();
    let output = service.cli(&["status"]);
    assert_eq!(output.status, 1, "no index yet");
    assert!(
        output.stderr.contains("try: callvault serve"),
        "{}",
        output.stderr
    );

    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    assert_eq!(reasons(&service), ["hq has never sent an event"]);
    deliver_corpus(&service);
    service.wait_for_recordings("archived", 10);
    assert_eq!(reasons(&service), Vec::<String>::new());
    let status = object(&service);
    let of_pbx = &status["pbxs"][0];
    assert_eq!(of_pbx["pbx"], "hq");
    for key in ["last_event_age_s", "last_archived_age_s"] {
        let age_s = of_pbx[key].as_i64().unwrap();
        assert!((0..60).contains(&age_s), "{key}: {age_s}");
    }
    assert_eq!(
        (&of_pbx["pending"], &of_pbx["failed"], &of_pbx["backlog"]),
        (&json!(0), &json!(0), &json!({}))
    );
    assert_eq!(of_pbx["oldest_pending_expires_in_s"], Value::Null);
    assert_eq!(
        (&status["not_understood"], &status["unread_events"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(
        (&status["refused"], &status["gaps"]),
        (&json!([]), &json!([]))
    );
    let spool = &status["spool"];
    assert_eq!(spool["reserve_bytes"], 1 << 20);
    assert!(spool["free_bytes"].as_u64() > Some(0));
    let downloaded: usize = RECORDINGS
        .map(|recording| audio(recording).len())
        .iter()
        .sum();
    assert_eq!(spool["bytes_a_day"], downloaded);
    let room = spool["free_bytes"].as_u64().unwrap() - (1 << 20);
    let lasts_s = u128::from(room) * 86_400 / downloaded as u128;
    assert_eq!(u128::from(spool["room_for_s"].as_u64().unwrap()), lasts_s);
    let text = text(&service);
    assert!(text.contains("free beyond a reserve of 1.0 MiB"), "{text}");
    assert!(
        text.lines()
            .any(|line| line.starts_with("hq ") && line.contains(" s ago")),
        "{text}"
    );
}

#[test]
fn the_backlog_by_stage_and_its_oldest_against_source_keeps() {
    let pbx = Pbx::start();
    pbx.script(RECORDING, [Answer::status(404)]);
    pbx.script("230307142318_40-2-1", [Answer::ok("<html>")]);
    let setup = Setup::new()
        .pbx(
            "hq",
            "Europe/Prague",
            &pbx.base_url(),
            "source_keeps = \"10d\"",
        )
        .pbx(
            "branch",
            "Europe/Prague",
            "http://127.0.0.1:9",
            "source_keeps = \"36h\"",
        )
        .archive("retry", r#"["1h"]"#);
    let service = setup.start();
    for recording in [RECORDING, "230307142318_40-2-1"] {
        announce(&service, recording);
    }
    let url = format!("https://FQDN:5001/webapi/recording/{RECORDING}.mp3");
    let branch = Request::post(hook::target("branch"), "text/plain", url);
    hook::acknowledged(service.hook(), &branch);
    let tried = "SELECT count(*) FROM attempts WHERE ended_at IS NOT NULL";
    wait_for("each was tried", WITHIN, || service.number(tried) == 3);

    let status = object(&service);
    let backlog = |at: usize| &status["pbxs"][at]["backlog"];
    assert_eq!(*backlog(0), json!({"download": 1, "verify": 1}));
    assert_eq!(*backlog(1), json!({"download": 1}));
    let left_s = status["pbxs"][0]["oldest_pending_expires_in_s"]
        .as_i64()
        .unwrap();
    assert!((863_900..=864_000).contains(&left_s), "{left_s}");
    let text = text(&service);
    let line = |pbx: &str| {
        let found = text.lines().find(|line| line.starts_with(pbx));
        found.unwrap_or_else(|| panic!("{text}"))
    };
    assert!(line("hq ").contains("download 1, verify 1"), "{text}");
    assert!(line("hq ").ends_with("expires on the PBX in 9 d"), "{text}");
    // Less than two days are left: that is for a person.
    assert_eq!(
        reasons(&service),
        ["the oldest pending recording of branch expires on the PBX in 35 h"]
    );
}

#[test]
fn red_when_something_failed_or_was_not_understood() {
    let service = Setup::hq("http://127.0.0.1:9").start();
    hook::post(service.hook(), "what is this");
    hook::post(
        service.hook(),
        r#"{"Event":"tea time","Id":"230307142318_40-1"}"#,
    );
    service.wait_until_read();
    assert_eq!(object(&service)["not_understood"], 2);
    assert!(text(&service).contains("2 events were not understood"));
    assert_eq!(reasons(&service), Vec::<String>::new());
    hook::post(service.hook(), "https://FQDN:5001/elsewhere/x.mp3");
    service.wait_until_read();
    assert_eq!(
        reasons(&service),
        ["1 recording of hq has failed: callvault jobs"]
    );
}

#[test]
fn red_when_deliveries_were_turned_away() {
    let service = Setup::hq("http://127.0.0.1:9").start();
    hook::post(service.hook(), "what is this");
    let wrong = [
        "/hook/hq/0123456789abcdef0123456789abcdee",
        "/hook/hq/0123456789abcdef0123456789abcdee",
        "/hook/old-name/0123456789abcdef0123456789abcdef",
        "/favicon.ico",
    ];
    for target in wrong {
        let reply = hook::send(service.hook(), &Request::get(target)).unwrap();
        assert_eq!(reply.status, 404);
    }
    let counted = |status: &Value| {
        let rows = status["refused"].as_array().unwrap().iter();
        let mut rows: Vec<Value> = rows
            .map(|row| json!([row["reason"], row["peer"], row["count"]]))
            .collect();
        rows.sort_by_key(Value::to_string);
        rows
    };
    let expected = [
        json!(["no_hook_path", "127.0.0.1", 1]),
        json!(["wrong_pbx", "127.0.0.1", 1]),
        json!(["wrong_secret", "127.0.0.1", 2]),
    ];
    wait_for("refusals are counted", WITHIN, || {
        counted(&object(&service)) == expected
    });
    // A stranger who looks around is not a PBX that lost its address.
    assert_eq!(
        reasons(&service),
        [
            "3 deliveries were turned away, the last within a day: did a PBX's address or secret change?"
        ]
    );
    let text = text(&service);
    let row = |line: &str| {
        line.split_whitespace()
            .take(3)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert!(
        text.lines()
            .any(|line| row(line) == "wrong_secret 127.0.0.1 2"),
        "{text}"
    );
}

#[test]
fn red_when_nothing_comes_any_more() {
    let pbx = Pbx::start();
    let inside = Inside::start(Setup::hq(&pbx.base_url()));
    inside.announce("hq", RECORDING);
    inside.files.wait_until_read();
    inside.turn(Duration::from_secs(1));
    inside.files.wait_for_recordings("archived", 1);
    inside.turn(23 * HOUR);
    assert!(!inside.status().act, "{:?}", inside.status().reasons);
    inside.turn(2 * HOUR);
    assert_eq!(inside.status().reasons, ["hq has sent no event for 25 h"]);
    inside.turn(17 * 24 * HOUR);
    let status = inside.status();
    assert_eq!(status.reasons, ["hq has sent no event for 18 d"]);
    assert_eq!(status.pbxs[0].last_event_at, Some(START));
    // One event, and all is well again; backfill would be none.
    let file = inside.files.dir().join("backfill");
    std::fs::write(&file, "event=ringing&user=117&id=230307142318_40-0\n").unwrap();
    inside
        .files
        .json(&["ingest", file.to_str().unwrap(), "--pbx", "hq"]);
    assert!(inside.status().act);
    inside.post("hq", "event=ringing&user=117&id=230307142318_40-0");
    assert_eq!(inside.status().reasons, Vec::<String>::new());
}
