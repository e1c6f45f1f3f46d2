//! Pages by cursor, and that the API and the verbs say the same, row for row.

use serde_json::{Value, json};

use crate::support::calls::announce;
use crate::support::hook::{Request, acknowledged, target};
use crate::support::pbx::Pbx;
use crate::support::people::{self, archive};
use crate::support::service::Service;
use crate::support::visitor::Visitor;
use crate::support::web::get;

/// All pages of a list, and how many there were.
fn pages(service: &Service, token: &str, list: &str, query: &str) -> (Vec<Value>, usize) {
    let (mut rows, mut cursor) = (Vec::new(), None::<String>);
    for pages in 1.. {
        let behind = cursor
            .map(|cursor| format!("&cursor={cursor}"))
            .unwrap_or_default();
        let page = get(format!("/api/v1/{list}?{query}{behind}"))
            .by(token)
            .send(service.admin());
        rows.extend(page.items());
        assert!(pages < 1000, "paging does not end");
        match &page.json()["next"] {
            Value::String(next) => cursor = Some(next.clone()),
            end => {
                assert_eq!(end, &json!(null));
                return (rows, pages);
            }
        }
    }
    unreachable!("pages end or panic")
}

#[test]
fn each_row_is_on_one_page_and_as_the_verb_prints_it() {
    let pbx = Pbx::start();
    let service = archive(&pbx);
    // Several rows of one moment, one of them without a call.
    announce(
        &service,
        "https://pbx.example/webapi/recording/230307142318_40-1-2.mp3",
    );
    announce(&service, "https://pbx.example/webapi/recording/strange.mp3");
    service.wait_until_read();
    let several = json!([
        {"Event": "ringing", "User": "117", "Number": "0555", "Id": "230307142318_41-0"},
        {"Event": "ringing", "User": "204", "Number": "0555", "Id": "230307142318_41-0"},
        {"Event": "ringing", "User": "800", "Number": "0555", "Id": "230307142318_41-0"},
    ]);
    let array = Request::post(target("hq"), "application/json", several.to_string());
    acknowledged(service.hook(), &array);
    service.wait_until_read();
    let token = people::add(&service, "kim", "compliance", &[]);
    // What has no file fails; no row changes any more once it has its code.
    let still = "SELECT count(*) FROM recordings WHERE state = 'pending' AND attempts < 3";
    crate::support::wait::wait_for(
        "nothing changes",
        std::time::Duration::from_secs(20),
        || service.number(still) == 0,
    );
    let steady = |rows: Vec<Value>| -> Vec<Value> {
        let steady = |mut row: Value| {
            for changing in ["attempts", "next_at"] {
                row.as_object_mut().unwrap().remove(changing);
            }
            row
        };
        rows.into_iter().map(steady).collect()
    };
    let expected = steady(service.json(&["search"]));
    assert_eq!(expected.len(), 12);
    for limit in [1, 2, 3, 12, 13, 1000] {
        let (rows, count) = pages(&service, &token, "recordings", &format!("limit={limit}"));
        assert_eq!(steady(rows), expected, "limit {limit}");
        assert_eq!(count, 12usize.div_ceil(limit), "limit {limit}");
    }
    let expected = service.json(&["search", "--calls"]);
    assert_eq!(expected.len(), 19);
    for limit in [1, 5, 19] {
        let (rows, count) = pages(&service, &token, "calls", &format!("limit={limit}"));
        assert_eq!(rows, expected, "limit {limit}");
        assert_eq!(count, 19usize.div_ceil(limit), "limit {limit}");
    }
    events(&service, &token);
    // Nothing else is entered while custody is read.
    let (rows, count) = pages(&service, &token, "custody", "limit=7");
    assert_eq!(rows, service.json(&["custody", "list"]));
    assert_eq!(count, 1 + rows.len() / 7);
}

/// A delivery of several events may lie across the end of a page.
fn events(service: &Service, token: &str) {
    let all = "SELECT json_array(seq, item) FROM events ORDER BY seq DESC, item";
    let expected = service.rows(all);
    assert_eq!(expected.len(), 74 + 2 + 3);
    for limit in [1, 2, 10, 79] {
        let (rows, _) = pages(service, token, "events", &format!("limit={limit}"));
        let rows: Vec<Value> = rows
            .iter()
            .map(|row| json!([row["seq"], row["item"]]))
            .collect();
        assert_eq!(rows, expected, "limit {limit}");
    }
    let (rows, _) = pages(service, token, "events", "limit=10&kind=answered&pbx=hq");
    let answered = "SELECT count(*) FROM events WHERE kind = 'answered'";
    assert_eq!(rows.len() as i64, service.number(answered));
    assert!(
        rows.iter()
            .all(|row| row["kind"] == "answered" && row["raw"].is_string())
    );
}

/// What failed first, then by the next try; several are of one moment.
#[test]
fn the_backlog_is_paged() {
    let service = crate::support::service::Setup::hq("http://127.0.0.1:9")
        .archive("wait_for_late_events", r#""1h""#)
        .start();
    for several in ["webapi/recording", "elsewhere"].map(|path| {
        let url = |n| format!("https://pbx.example/{path}/230307142318_{n}-1-1.mp3");
        (1..=4).map(url).collect::<Vec<_>>()
    }) {
        let body = json!({ "FILES": several }).to_string();
        acknowledged(
            service.hook(),
            &Request::post(target("hq"), "application/json", body),
        );
    }
    service.wait_for_recordings("failed", 4);
    let token = people::add(&service, "kim", "viewer", &[]);
    let expected = service.json(&["jobs", "list"]);
    let states: Vec<&str> = expected
        .iter()
        .map(|job| job["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, [["failed"; 4], ["pending"; 4]].concat());
    for limit in [1, 2, 3, 8, 9] {
        let (rows, count) = pages(&service, &token, "jobs", &format!("limit={limit}"));
        assert_eq!(rows, expected, "limit {limit}");
        assert_eq!(count, 8usize.div_ceil(limit), "limit {limit}");
    }
}

#[test]
fn rows_that_come_meanwhile_move_nothing() {
    let pbx = Pbx::start();
    let service = archive(&pbx);
    let token = people::add(&service, "kim", "viewer", &[]);
    let before = service.json(&["search"]);
    let first = get("/api/v1/recordings?limit=4")
        .by(&token)
        .send(service.admin());
    announce(
        &service,
        "https://pbx.example/webapi/recording/990101000000_1-1-1.mp3",
    );
    service.wait_until_read();
    let cursor = first.json()["next"].as_str().unwrap().to_owned();
    let rest = get(format!("/api/v1/recordings?limit=1000&cursor={cursor}")).by(&token);
    let rest = rest.send(service.admin()).items();
    assert_eq!([first.items(), rest].concat(), before);
}

/// More than the service holds at a time.
#[test]
fn all_rows_are_streamed() {
    const ROWS: usize = 1203;
    let service = crate::support::service::Setup::hq("http://127.0.0.1:9")
        .archive("wait_for_late_events", r#""1h""#)
        .start();
    for hundred in (0..ROWS).collect::<Vec<_>>().chunks(100) {
        let url = |n: &usize| {
            format!(
                "https://pbx.example/webapi/recording/230307142318_{}-1-1.mp3",
                n + 1
            )
        };
        let files: Vec<String> = hundred.iter().map(url).collect();
        let body = json!({ "FILES": files }).to_string();
        acknowledged(
            service.hook(),
            &Request::post(target("hq"), "application/json", body),
        );
    }
    service.wait_for_recordings("pending", ROWS as i64);
    let token = people::add(&service, "kim", "compliance", &[]);
    let lines = get("/api/v1/recordings.jsonl")
        .by(&token)
        .send(service.admin());
    assert!(lines.is_whole && lines.header("content-length").is_none());
    assert_eq!(lines.text(), service.cli(&["search", "--json"]).stdout);
    assert_eq!(lines.text().lines().count(), ROWS);
    let table = get("/api/v1/recordings.csv")
        .by(&token)
        .send(service.admin());
    assert!(table.is_whole);
    assert_eq!(table.text(), service.cli(&["search", "--csv"]).stdout);
    assert_eq!(table.text().lines().count(), 1 + ROWS);

    // The page shows the first of them, and says how many there are.
    let health = Visitor::signed_in(&service, "admin", &[]).page("/health");
    assert!(health.contains("Held up <small>1203</small>"), "{health}");
    assert!(health.contains("1003 more: <code>callvault jobs</code>"));
    assert_eq!(health.matches(r#"href="/recording/"#).count(), 200);
}
