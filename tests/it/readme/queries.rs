//! What the README's queries find, column by column.

use std::time::Duration;

use rusqlite::types::ValueRef;
use serde_json::{Map, Value, json};

use super::queries;
use crate::support::calls::{RECORDINGS, announce, post_corpus, url};
use crate::support::hook;
use crate::support::pbx::Pbx;
use crate::support::service::{Service, Setup};
use crate::support::wait::wait_for;

const MOMENTS: [&str; 5] = ["at", "received_at", "next_at", "started_at", "ended_at"];

/// Each row by its columns' names. Moments of this run are checked here, and shown as nothing more.
fn found(service: &Service, sql: &str) -> Vec<Value> {
    let index = service.index();
    let mut query = index.prepare(sql).unwrap();
    let names: Vec<String> = query.column_names().map(str::to_owned).collect();
    let mut rows = query.query([]).unwrap();
    let mut found = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let cells = names.iter().map(|name| {
            let value = match row.get_ref_unwrap(name.as_str()) {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => json!(number),
                ValueRef::Real(number) => json!(number),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    json!(String::from_utf8_lossy(bytes))
                }
            };
            (name.clone(), plain(name, value))
        });
        found.push(Value::Object(Map::from_iter(cells)));
    }
    found
}

fn plain(name: &str, value: Value) -> Value {
    match value.as_str() {
        Some(text) if MOMENTS.contains(&name) => {
            let moment: jiff::Timestamp = text.parse().expect(text);
            let off = jiff::Timestamp::now().duration_since(moment).abs();
            assert!(off < jiff::SignedDuration::from_hours(2), "{name}: {text}");
            json!("[now]")
        }
        Some(text) if name == "detail" => json!(without_digests(text)),
        _ => value,
    }
}

fn without_digests(text: &str) -> String {
    let is_hex = |c: char| c.is_ascii_hexdigit();
    let words = text.split_inclusive(|c: char| !c.is_alphanumeric());
    let words = words.map(|word| {
        let digits = word.chars().take_while(|c| is_hex(*c)).count();
        match digits {
            64 => format!("[digest]{}", &word[64..]),
            _ => word.to_owned(),
        }
    });
    words.collect()
}

fn query(what: &str) -> &'static str {
    let found = queries().into_iter().find(|(known, _)| *known == what);
    found.expect(what).1
}

#[test]
fn they_find_what_the_vendors_calls_are() {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    post_corpus(&service);
    service.wait_for_recordings("archived", RECORDINGS.len() as i64);
    service.wait_until_read();
    let mut shown = String::new();
    for (what, sql) in queries() {
        let rows = found(&service, sql).into_iter();
        let mut rows: Vec<String> = rows.map(|row| format!("  {row}\n")).collect();
        // Others leave open what comes first, or what comes first of two that are equal.
        if !sql.contains("ORDER BY seq") {
            rows.sort();
        }
        shown += &format!("{what}\n{}", rows.concat());
    }
    insta::with_settings!({snapshot_path => "../snapshots"}, {
        insta::assert_snapshot!("queries", shown);
    });
}

/// Of which the vendor's calls have nothing.
#[test]
fn they_find_what_is_amiss() {
    let pbx = Pbx::start();
    let setup = Setup::hq(&pbx.base_url()).archive("retry", r#"["1h"]"#);
    let mut service = setup.start();
    hook::post(service.hook(), "nobody understands this");
    announce(&service, &url("250101120000_1-1-1"));
    wait_for("it was asked for", Duration::from_secs(20), || {
        service.number("SELECT count(*) FROM recordings WHERE code IS NOT NULL") == 1
    });
    service.kill();
    service.restart();
    let pending = found(&service, query("What is not archived yet, and why:"));
    let reason = pending[0]["last_error"].as_str().unwrap().to_owned();
    assert!(reason.contains("404"), "{reason}");
    let expected = json!({"recording": "hq/250101120000_1-1-1", "state": "pending", "attempts": 1,
        "code": "not_there", "last_error": reason, "next_at": "[now]"});
    assert_eq!(pending, [expected]);

    let unknown = found(&service, query("Events that nobody understood:"));
    let expected = json!({"seq": 1, "received_at": "[now]", "kind": "unparsed",
        "raw": "nobody understands this"});
    assert_eq!(unknown, [expected]);

    let what = "When events may have been lost because nobody listened:";
    let gaps = found(&service, query(what));
    let lasted = gaps[0]["duration_s"].as_f64().unwrap();
    assert!((0.0..60.0).contains(&lasted), "{gaps:?}");
    let expected = json!({"started_at": "[now]", "ended_at": "[now]",
        "duration_s": gaps[0]["duration_s"]});
    assert_eq!(gaps, [expected]);
}
