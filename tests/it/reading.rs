//! What people find: search and show, over the vendor's calls and one more.

mod fetch;
mod usage;

use std::time::Duration;

use callvault::model::time::UtcMs;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::support::calls::{RECORDINGS, post_corpus, url};
use crate::support::hook::{self, Request, target};
use crate::support::pbx::{Answer, Pbx};
use crate::support::service::{Service, Setup};
use crate::support::wait::wait_for;

/// Past midnight in Prague, and the day before in UTC; with an inbound rule; not archived.
const LATE_CALL: &str = "230308002000_70";
const LATE: &str = "230308002000_70-1-1";
/// All calls, newest first.
const CALLS: [&str; 19] = [
    LATE_CALL,
    "230307155409_66",
    "230307155208_64",
    "230307154408_63",
    "230307152319_52",
    "230307152031_50",
    "230307151412_47",
    "230307150805_46",
    "230307144544_42",
    "230307142318_40",
    "230307140234_35",
    "230307140011_32",
    "230307135611_31",
    "230307115339_12",
    "230307114903_10",
    "230102185935_18",
    "230102184431_17",
    "230102154720_16",
    "230102104542_15",
];

fn started() -> (Pbx, Service) {
    let pbx = Pbx::start();
    pbx.script(LATE, [Answer::status(404)]);
    let setup = Setup::hq(&pbx.base_url()).pbx("branch", "Europe/Prague", &pbx.base_url(), "");
    let service = setup.start();
    post_corpus(&service);
    for event in [
        json!({"Event": "incomingcall_started", "Callerid": "+420 601 234 567", "User": "301",
            "Did": "Sales", "Id": format!("{LATE_CALL}-1")}),
        json!({"Event": "recording", "FileUrls": [url(LATE)], "Id": format!("{LATE_CALL}-1")}),
    ] {
        hook::post(service.hook(), event.to_string());
    }
    service.wait_for_recordings("archived", RECORDINGS.len() as i64);
    wait_for("one is tried", Duration::from_secs(10), || {
        service.number("SELECT count(*) FROM recordings WHERE code = 'not_there'") == 1
    });
    (pbx, service)
}

#[test]
fn searches_find_what_they_name() {
    let (_pbx, service) = started();
    search_recordings(&service);
    search_calls(&service);

    let text = service.cli(&["search", "--number", "2221133", "--direction", "out"]);
    assert_eq!(
        (text.status, text.stdout.lines().count()),
        (0, 3),
        "{}",
        text.stdout
    );
    assert!(
        text.stdout.contains("2023-03-07 15:44:08"),
        "{}",
        text.stdout
    );
    let nothing = service.cli(&["search", "--number", "0111111"]);
    assert_eq!((nothing.status, nothing.stdout.as_str()), (1, ""));
    let nothing = service.cli(&["search", "--number", "0111111", "--json"]);
    assert_eq!((nothing.status, nothing.stdout.as_str()), (1, ""));
    let no_pbx = service.cli(&["search", "--call", "HQ/230307142318_40"]);
    assert_eq!((no_pbx.status, no_pbx.stdout.as_str()), (64, ""));
    let nothing = service.cli(&["search", "--calls", "--pbx", "branch"]);
    assert_eq!((nothing.status, nothing.stdout.as_str()), (1, ""));
}

fn search_recordings(service: &Service) {
    let check = |arguments: &str, expected: &[&str]| {
        let words: Vec<&str> = arguments.split_terminator('|').collect();
        let found = service.json(&[&["search"], words.as_slice()].concat());
        let ids: Vec<&str> = found
            .iter()
            .map(|row| row["recording"].as_str().unwrap())
            .collect();
        let expected: Vec<String> = expected.iter().map(|id| format!("hq/{id}")).collect();
        assert_eq!(ids, expected, "{arguments}");
        found.iter().for_each(check_recording);
    };
    let vendors = &RECORDINGS[..9];
    let oldest = RECORDINGS[9];
    let all = [&[LATE], RECORDINGS.as_slice()].concat();
    let [outgoing, other_outgoing] = [RECORDINGS[0], RECORDINGS[8]];
    check("", &all);
    for number in [
        "05552221133",
        "5552221133",
        "+90 555 222 11 33",
        "221133",
        "*1133",
        "0555*",
    ] {
        check(&format!("--number|{number}"), vendors);
    }
    check("--number|420774852629", &[oldest]);
    check("--number|00420774852629", &[oldest]);
    check("--number|601234567", &[LATE]);
    check(
        "--extension|204",
        &["230307144544_42-2-1", "230307142318_40-2-1"],
    );
    check("--extension|102", &[oldest]);
    check("--did|Sales", &[LATE]);
    check("--pbx|hq", &all);
    check("--direction|out", &[outgoing, other_outgoing, oldest]);
    check("--direction|in", &[&[LATE], &RECORDINGS[1..8]].concat());
    check("--state|pending", &[LATE]);
    check("--state|archived", &RECORDINGS);
    check(
        "--call|230307142318_40",
        &["230307142318_40-2-1", "230307142318_40-1-1"],
    );
    check(
        "--call|hq/230307142318_40",
        &["230307142318_40-2-1", "230307142318_40-1-1"],
    );
    check("--limit|2", &[LATE, outgoing]);
    // Days are the PBX's: the late call began before midnight in UTC.
    check("--from|2023-03-08", &[LATE]);
    check("--from|2023-03-07|--to|2023-03-08", vendors);
    check("--to|2023-03-07", &[oldest]);
    check("--from|2023-01-02|--to|2023-01-03", &[oldest]);
    check("--from|2023-03-07T23:20:00Z", &[LATE]);
    // The end is out, the beginning is in.
    check(
        "--from|2023-03-07T15:08:05|--to|2023-03-07T15:14:12",
        &["230307150805_46-1-1"],
    );
    check(
        "--from|2023-03-07T14:08:05Z|--to|2023-03-07T14:14:12Z",
        &["230307150805_46-1-1"],
    );
    check(
        "--number|2221133|--extension|117|--direction|out",
        &[outgoing, other_outgoing],
    );
}

fn search_calls(service: &Service) {
    let check = |arguments: &str, expected: &[&str]| {
        let words: Vec<&str> = arguments.split_terminator('|').collect();
        let found = service.json(&[&["search", "--calls"], words.as_slice()].concat());
        let ids: Vec<&str> = found
            .iter()
            .map(|row| row["call"].as_str().unwrap())
            .collect();
        assert_eq!(ids, expected, "{arguments}");
        found.iter().for_each(check_call);
    };
    check("", &CALLS);
    check("--limit|3", &CALLS[..3]);
    check(
        "--did|DID-420222000320",
        &["230102154720_16", "230102104542_15"],
    );
    check("--call|hq/230307115339_12", &["230307115339_12"]);
    check("--from|2023-03-08", &[LATE_CALL]);
    check(
        "--from|2023-03-07T15:23|--to|2023-03-07T15:44:08",
        &["230307152319_52"],
    );
    check(
        "--number|774852629|--direction|in",
        &["230102154720_16", "230102104542_15"],
    );
}

/// The fields that programs rely on.
fn check_recording(row: &Value) {
    check_fields(
        row,
        "recording pbx call leg part state direction external extension did started_at \
         duration_s media_duration_s transfer transferred_to finish flags object_key bytes \
         original_sha256 object_sha256 archived_at announced_at attempts last_error",
    );
    let is_archived = row["state"] == "archived";
    for field in [
        "object_key",
        "bytes",
        "original_sha256",
        "object_sha256",
        "archived_at",
    ] {
        assert_eq!(row[field].is_null(), !is_archived, "{field}: {row}");
    }
    assert!(row["attempts"].as_i64() >= Some(1), "{row}");
    assert_eq!(row["last_error"].is_string(), !is_archived, "{row}");
    assert!(row["flags"].is_array() && row["leg"].is_i64(), "{row}");
    assert!(row["started_at"].as_str().unwrap().ends_with('Z'), "{row}");
}

fn check_call(call: &Value) {
    check_fields(
        call,
        "call pbx direction external did started_at outcome legs ring_path",
    );
    for leg in call["legs"].as_array().unwrap() {
        check_fields(
            leg,
            "leg extension answered_at ended_at duration_s transfer transferred_to finish \
             recordings",
        );
    }
}

fn check_fields(object: &Value, names: &str) {
    for name in names.split_whitespace() {
        assert!(object.get(name).is_some(), "{name} is missing: {object}");
    }
}

#[test]
fn show_tells_all_of_a_call() {
    let (_pbx, service) = started();
    let call = &service.json(&["show", "230307142318_40"])[0];
    check_call(call);
    assert_eq!(call["outcome"], "answered");
    assert_eq!(call["ring_path"], json!(["800", "820", "117", "204"]));
    let leg = &call["legs"][0];
    assert_eq!([&leg["leg"], &leg["duration_s"]], [&json!(1), &json!(14)]);
    assert_eq!(
        [&leg["transfer"], &leg["transferred_to"]],
        ["attended", "204"]
    );
    let events = call["events"].as_array().unwrap();
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    let answered = [
        "answered",
        "answered",
        "ringing",
        "ended",
        "ended",
        "recording",
        "recording",
    ];
    assert_eq!(kinds, [&["ringing"; 3], answered.as_slice()].concat());
    for event in events {
        check_fields(event, "seq received_at kind repaired duplicate_of");
    }
    let same = |id: &str| {
        assert_eq!(&service.json(&["show", id])[0], call, "{id}");
    };
    same("hq/230307142318_40");
    same("230307142318_40-2");
    same("hq/230307142318_40-1");

    let text = service.cli(&["show", "230307142318_40"]);
    assert_eq!(text.status, 0);
    for said in [
        "hq/230307142318_40",
        "117 ⇢ 204",
        "attended → 204",
        "2023-03-07T13:23:18Z",
    ] {
        assert!(text.stdout.contains(said), "{said}: {}", text.stdout);
    }
    assert_local_times_stand_beside(&text.stdout);
}

/// The first moment of a line is followed by what the clock at the PBX showed.
fn assert_local_times_stand_beside(text: &str) {
    let zone = TimeZone::get("Europe/Prague").unwrap();
    let mut moments = 0;
    for line in text.lines() {
        let words: Vec<&str> = line
            .split([' ', '(', ')'])
            .filter(|word| !word.is_empty())
            .collect();
        let is_moment = |word: &&str| word.len() == "2023-03-07T13:23:18.000Z".len();
        let moment = |word: &&str| word.parse::<UtcMs>().ok().filter(|_| is_moment(word));
        let Some((at, moment)) = words
            .iter()
            .enumerate()
            .find_map(|(at, word)| Some((at, moment(word)?)))
        else {
            continue;
        };
        let beside = words[at + 1..].join(" ");
        let beside = beside.trim_start_matches("local ");
        assert!(beside.starts_with(&moment.wall_clock(&zone)), "{line}");
        moments += 1;
    }
    assert!(moments >= 6, "{text}");
}

#[test]
fn show_tells_all_of_a_recording() {
    let (_pbx, service) = started();
    let recording = &service.json(&["show", "hq/230307142318_40-2-1"])[0];
    check_recording(recording);
    assert_eq!(recording["duration_s"], 6);
    let bare = &service.json(&["show", "230307142318_40-2-1"])[0];
    assert_eq!(bare, recording);
    check_recording(&service.json(&["show", LATE])[0]);

    let text = service.cli(&["show", "230307142318_40-2-1"]);
    let sha256 = recording["object_sha256"].as_str().unwrap();
    for said in [
        sha256,
        "hq/2023/03/07/230307142318_40-2-1.mp3",
        "proved",
        "ATTEMPT",
    ] {
        assert!(text.stdout.contains(said), "{said}: {}", text.stdout);
    }
    assert_local_times_stand_beside(&text.stdout);
    for id in [
        "230307142318_41",
        "230307142318_40-3-1",
        "230307142318_40-9",
        "branch/230307142318_40",
        "x",
        "",
        "a/b/c",
    ] {
        let nothing = service.cli(&["show", id]);
        assert_eq!((nothing.status, nothing.stdout.as_str()), (1, ""), "{id}");
        assert!(nothing.stderr.contains("try: "), "{}", nothing.stderr);
    }
}

/// Two PBXs count their calls alike.
#[test]
fn an_ambiguous_id_is_asked_back() {
    let (_pbx, service) = started();
    for row in hook::corpus().iter().filter(|row| row.table == 2) {
        let request = Request::post(target("branch"), "application/json", &row.payload);
        hook::acknowledged(service.hook(), &request);
    }
    service.wait_for_recordings("archived", RECORDINGS.len() as i64 + 2);
    let out = service.dir().join("out");
    for (id, meant) in [
        (
            "230307142318_40",
            ["branch/230307142318_40", "hq/230307142318_40"],
        ),
        (
            "230307142318_40-2",
            ["branch/230307142318_40", "hq/230307142318_40"],
        ),
        (
            "230307142318_40-2-1",
            ["branch/230307142318_40-2-1", "hq/230307142318_40-2-1"],
        ),
    ] {
        let fetch = ["fetch", id, "-o", out.to_str().unwrap()];
        for arguments in [&["show", id][..], &fetch[..]] {
            let said = service.cli(arguments);
            assert_eq!(
                (said.status, said.stdout.as_str()),
                (64, ""),
                "{arguments:?}"
            );
            let names = meant.iter().all(|id| said.stderr.contains(id));
            assert!(names && said.stderr.contains("try: "), "{}", said.stderr);
        }
        for id in meant {
            let shown = &service.json(&["show", id])[0];
            let pbx = shown["pbx"].as_str().unwrap();
            assert!(id.starts_with(pbx), "{id}: {shown}");
        }
    }
    let said = service.cli(&["search", "--call", "230307142318_40"]);
    let both = ["branch/", "hq/"]
        .iter()
        .all(|pbx| said.stderr.contains(pbx));
    assert!(said.status == 64 && both, "{}", said.stderr);
    let one = service.json(&["search", "--call", "branch/230307142318_40"]);
    assert_eq!(one.len(), 2);
    // A file each, though their names are the same.
    let dir = out.to_str().unwrap();
    let calls = ["branch/230307142318_40", "hq/230307142318_40"];
    let said = service.cli(&["fetch", calls[0], calls[1], "-o", dir]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 4);
}
