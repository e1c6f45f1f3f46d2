//! The vendor's documented events, all 74 of them, through the real hook.

use serde_json::{Value, json};

use crate::support::hook::{Connection, Request, Row, Scheme, corpus};
use crate::support::pbx::Pbx;
use crate::support::service::{Service, Setup};

const CALLS: &str = "SELECT count(*) FROM calls";
const LEGS: &str = "SELECT count(*) FROM legs";
const RECORDINGS: &str = "SELECT count(*) FROM recordings";
const EVENTS: &str = "SELECT count(*) FROM events";

/// Call, where in what `show` says of it, and what must stand there.
fn known_answers() -> Vec<(&'static str, &'static str, Value)> {
    let attended = json!(["117", 14, "attended", "204"]);
    vec![
        ("230307142318_40", "legs/0", attended),
        ("230307142318_40", "legs/1", json!(["204", 6, null, null])),
        (
            "230307144544_42",
            "legs/0",
            json!(["117", null, "blind", "204"]),
        ),
        ("230307144544_42", "legs/0/ended_at", json!(null)),
        ("230307144544_42", "legs/1", json!(["204", 4, null, null])),
        ("230307151412_47", "ring_path", json!(["800", "117", "204"])),
        ("230307151412_47", "legs/0", json!(["117", 5, null, null])),
        ("230307135611_31", "legs/0", json!(["117", 5, null, null])),
        ("230307135611_31", "legs/0/finish", json!("ok")),
        ("230307135611_31", "direction", json!("outgoing")),
        ("230307154408_63", "external", json!("05552221133")),
        ("230307114903_10", "ring_path", json!(["800", "820", "202"])),
        (
            "230307114903_10",
            "legs/0",
            json!(["202", null, null, null]),
        ),
        ("230307114903_10", "legs/0/ended_at", json!(null)),
        ("230307114903_10", "outcome", json!("answered")),
        ("230307140234_35", "ring_path", json!([])),
        ("230307140234_35", "legs/0", json!(["202", 6, null, null])),
        ("230307140234_35", "legs/0/answered_at", json!(null)),
        (
            "230307140234_35",
            "legs/0/recordings",
            json!(["hq/230307140234_35-1-1"]),
        ),
        ("230307155208_64", "direction", json!("outgoing")),
        ("230307155208_64", "outcome", json!(null)),
        ("230307155208_64", "legs", json!([])),
        ("230307155409_66", "direction", json!("outgoing")),
        ("230307155409_66", "outcome", json!("missed")),
        ("230102154720_16", "direction", json!("incoming")),
        ("230102154720_16", "outcome", json!("missed")),
        ("230102154720_16", "ring_path", json!([])),
        ("230102185935_18", "direction", json!("outgoing")),
        ("230102185935_18", "legs/0", json!(["102", 6, null, null])),
        (
            "230102185935_18",
            "legs/0/recordings",
            json!(["hq/230102185935_18-1-1"]),
        ),
    ]
}

#[test]
fn queries_are_understood() {
    check(Scheme::Query);
}

#[test]
fn forms_are_understood() {
    check(Scheme::Form);
}

#[test]
fn posted_twice_changes_nothing() {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    let rows = corpus();
    deliver(&service, &rows, Scheme::Query);
    service.wait_for_recordings("archived", 10);
    let before = calls(&service);

    deliver(&service, &rows, Scheme::Query);
    let counts = [CALLS, LEGS, RECORDINGS, EVENTS].map(|sql| service.number(sql));
    assert_eq!(counts, [18, 12, 10, 148]);
    let repeated = "SELECT count(*) FROM events e JOIN events f ON f.seq = e.duplicate_of \
        WHERE e.seq > 74 AND f.seq <= 74 AND e.raw = f.raw AND f.duplicate_of IS NULL";
    assert_eq!(service.number(repeated), 74);
    for (before, after) in before.iter().zip(&calls(&service)) {
        assert_eq!(without_events(before), without_events(after));
    }
    let untouched = "SELECT count(*) FROM recordings WHERE state = 'archived' AND attempts = 1";
    assert_eq!(service.number(untouched), 10);
    assert_eq!(pbx.requests().len(), 10, "fetched again");
}

fn check(scheme: Scheme) {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    let rows = corpus();
    assert_eq!(rows.len(), 74);
    deliver(&service, &rows, scheme);

    assert_logged_as_sent(&service, &rows, scheme);
    let counts = [CALLS, LEGS, RECORDINGS].map(|sql| service.number(sql));
    assert_eq!(counts, [18, 12, 10]);
    assert_eq!(marked(&service, &rows, "repaired = 1"), [(1, 4), (9, 3)]);
    let duplicates = marked(&service, &rows, "duplicate_of IS NOT NULL");
    assert_eq!(duplicates, [(14, 1), (14, 2), (14, 3), (16, 1)]);
    assert_eq!(
        marked(&service, &rows, "kind IN ('unknown', 'unparsed')"),
        []
    );
    let bare_url = marked(
        &service,
        &rows,
        "kind = 'recording' AND raw LIKE 'https://%'",
    );
    assert_eq!(bare_url, [(15, 4)]);

    let calls = calls(&service);
    for (id, place, expected) in known_answers() {
        let call = calls.iter().find(|call| call["call"] == id);
        let call = call.unwrap_or_else(|| panic!("no call {id}"));
        assert_eq!(looked_up(call, place), expected, "{id} {place}");
    }
    let silent = "SELECT json_group_array(call || '-' || leg ORDER BY call) FROM legs \
        WHERE answered_at IS NOT NULL AND recordings = '[]'";
    let silent: String = service
        .index()
        .query_row(silent, [], |row| row.get(0))
        .unwrap();
    assert_eq!(silent, r#"["230102104542_15-1","230307114903_10-1"]"#);
    // One text for both schemes: what a call is does not depend on how it was told.
    let golden: Vec<String> = calls.iter().map(printed).collect();
    insta::assert_snapshot!("calls", golden.join("\n"));
    service.wait_for_recordings("archived", 10);
}

/// In order, each acknowledged; then all is read.
fn deliver(service: &Service, rows: &[Row], scheme: Scheme) {
    let requests: Vec<Request> = rows.iter().map(|row| row.request("hq", scheme)).collect();
    let replies = Connection::send_all(service.hook(), &requests).unwrap();
    for (reply, row) in replies.iter().zip(rows) {
        let answer = (reply.status, reply.body.as_slice());
        assert_eq!(answer, (200, b"{}".as_slice()), "{row:?}");
    }
    service.wait_until_read();
}

fn assert_logged_as_sent(service: &Service, rows: &[Row], scheme: Scheme) {
    let index = service.index();
    let sql = "SELECT raw, method, content_type FROM events ORDER BY seq, item";
    let mut logged = index.prepare(sql).unwrap();
    let logged = logged.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let logged: Vec<(Vec<u8>, String, Option<String>)> =
        logged.unwrap().map(Result::unwrap).collect();
    assert_eq!(logged.len(), rows.len());
    for ((raw, method, content_type), row) in logged.iter().zip(rows) {
        assert_eq!(raw, row.payload.as_bytes(), "{row:?}");
        let sent = row.request("hq", scheme);
        let sent_type = sent.headers.first().map(|(_, value)| value.clone());
        assert_eq!(
            (method, content_type),
            (&sent.method, &sent_type),
            "{row:?}"
        );
    }
}

/// The rows (table, row) whose event fits. Events are numbered from 1 as they came.
fn marked(service: &Service, rows: &[Row], condition: &str) -> Vec<(u32, u32)> {
    let index = service.index();
    let sql = format!("SELECT seq FROM events WHERE {condition} ORDER BY seq");
    let mut found = index.prepare(&sql).unwrap();
    let seqs = found.query_map([], |row| row.get(0)).unwrap();
    let row = |seq: rusqlite::Result<u32>| &rows[seq.unwrap() as usize - 1];
    seqs.map(row).map(|row| (row.table, row.row)).collect()
}

/// What `show --json` says of every call, by its id.
fn calls(service: &Service) -> Vec<Value> {
    let listed = service.json(&["search", "--calls"]);
    let mut ids: Vec<&str> = listed
        .iter()
        .filter_map(|call| call["call"].as_str())
        .collect();
    ids.sort_unstable();
    ids.iter()
        .flat_map(|id| service.json(&["show", id]))
        .collect()
}

/// A value by its place; a leg is shortened to extension, duration, transfer and its target.
fn looked_up(call: &Value, place: &str) -> Value {
    let found = call.pointer(&format!("/{place}"));
    let found = found.unwrap_or_else(|| panic!("nothing at {place} of {call}"));
    match found.get("leg") {
        Some(_) => ["extension", "duration_s", "transfer", "transferred_to"]
            .map(|key| found[key].clone())
            .into_iter()
            .collect(),
        None => found.clone(),
    }
}

fn without_events(call: &Value) -> Value {
    let mut call = without_arrivals(call);
    call.as_object_mut().unwrap().remove("events");
    call
}

fn without_arrivals(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| {
                let arrives = ["answered_at", "ended_at", "received_at"].contains(&key.as_str());
                let value = match arrives && value.is_string() {
                    true => json!("[arrival]"),
                    false => without_arrivals(value),
                };
                (key.clone(), value)
            };
            fields.iter().map(field).collect()
        }
        Value::Array(values) => values.iter().map(without_arrivals).collect(),
        other => other.clone(),
    }
}

/// As it was printed, but a leg or an event a line.
fn printed(call: &Value) -> String {
    let line = without_arrivals(call).to_string();
    line.replace("[{", "[\n  {").replace("},{", "},\n  {")
}
