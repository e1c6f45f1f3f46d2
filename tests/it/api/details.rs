//! A call as the verb, the API and its page tell it: the same.

use callvault::model::time::clock_text;
use serde_json::Value;

use crate::support::hook;
use crate::support::pbx::{Answer, Pbx};
use crate::support::people::{self, post_corpus};
use crate::support::service::{Service, Setup};
use crate::support::visitor::{Visitor, read};
use crate::support::web::get;

/// Recordings in every state that there is.
fn started(pbx: &Pbx) -> Service {
    pbx.script("230307142318_40-1-1", [Answer::status(404)]);
    let service = Setup::hq(&pbx.base_url())
        .archive("retry", r#"["1h"]"#)
        .start();
    post_corpus(&service, "hq");
    // Its URL is not one to ask for.
    let event = serde_json::json!({
        "Event": "recording", "User": "117", "Id": "230401142318_1-1",
        "FileUrls": ["https://pbx/other/230401142318_1-1-1.mp3"],
    });
    hook::post(service.hook(), event.to_string());
    service.wait_until_read();
    service.wait_for_recordings("archived", 9);
    service.wait_for_recordings("failed", 1);
    let tried = "SELECT count(*) FROM recordings WHERE code = 'not_there'";
    crate::support::wait::wait_for(
        "one is not there",
        std::time::Duration::from_secs(20),
        || service.number(tried) == 1,
    );
    service
}

fn text<'v>(row: &'v Value, field: &str) -> &'v str {
    row[field].as_str().unwrap_or("—")
}

#[test]
fn every_call_and_recording_is_told_alike() {
    let pbx = Pbx::start();
    let service = started(&pbx);
    let token = people::add(&service, "kim", "compliance", &[]);
    let mut visitor = Visitor::signed_in(&service, "viewer", &[]);
    let recordings = service.json(&["search"]);
    for row in &recordings {
        let id = text(row, "recording");
        let answer = get(format!("/api/v1/recordings/{id}")).by(&token);
        let shown = service.json(&["show", id]).remove(0);
        assert_eq!(answer.send(service.admin()).json(), shown, "{id}");
        for (field, value) in row.as_object().unwrap() {
            assert_eq!(&shown[field], value, "{id} {field}");
        }
    }
    let calls = service.json(&["search", "--calls"]);
    assert_eq!((recordings.len(), calls.len()), (11, 19));
    for call in &calls {
        let id = format!("{}/{}", text(call, "pbx"), text(call, "call"));
        let answer = get(format!("/api/v1/calls/{id}")).by(&token);
        let shown = service.json(&["show", &id]).remove(0);
        assert_eq!(answer.send(service.admin()).json(), shown, "{id}");
        for (field, value) in call.as_object().unwrap() {
            assert_eq!(&shown[field], value, "{id} {field}");
        }
        let of_call = |row: &&Value| row["call"] == call["call"];
        let mut mine: Vec<&Value> = recordings.iter().filter(of_call).collect();
        mine.sort_by_key(|row| text(row, "recording"));
        page(&visitor.page(&format!("/call/{id}")), &shown, &mine);
    }
}

fn page(page: &str, call: &Value, recordings: &[&Value]) {
    let (course, rest) = page.split_once("id=\"recordings\"").unwrap();
    let course = read(course);
    let has = |text: &str, part: &str| assert!(text.contains(part), "no {part:?}: {text}");
    for fact in ["external", "did", "outcome", "call"] {
        has(&course, text(call, fact));
    }
    for leg in call["legs"].as_array().unwrap() {
        let with = leg["extension"].as_str().unwrap_or("an unknown extension");
        let length = leg["duration_s"].as_u64().map(clock_text);
        let length = length.unwrap_or_else(|| "length unknown".to_owned());
        has(
            &course,
            &format!("Conversation {} with {with}, {length}", leg["leg"]),
        );
        if let Some(how) = leg["transfer"].as_str() {
            let to = text(leg, "transferred_to");
            has(&course, &format!("ended by {how} transfer to {to}"));
        }
    }
    let items: Vec<String> = rest
        .split("<li class=\"conversation\"")
        .skip(1)
        .map(read)
        .collect();
    assert_eq!(items.len(), recordings.len(), "{}", text(call, "call"));
    for (item, row) in items.iter().zip(recordings) {
        has(item, text(row, "recording"));
        has(item, text(row, "state"));
        has(item, &format!("with {}", text(row, "extension")));
        for digest in ["original_sha256", "object_sha256", "object_key"] {
            has(item, text(row, digest));
        }
        if let Some(seconds) = row["media_duration_s"].as_f64() {
            has(item, &clock_text(seconds as u64));
        }
    }
    let events = call["events"].as_array().unwrap().len();
    has(&read(rest), &format!("Events {events} "));
}
