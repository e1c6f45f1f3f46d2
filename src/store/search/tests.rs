//! What SQLite makes of each way along which a search may go, and of what each claim asks: no table
//! is read from end to end.

use rusqlite::types::Value;

use super::super::{Store, away, claims, recordings};
use super::{Filter, filtered};
use crate::model::access::Scope;
use crate::model::call::Outcome;
use crate::model::event::Direction;
use crate::model::filter::Place;
use crate::model::job::State;
use crate::model::time::{Seconds, UtcMs};
use crate::store::Reader;

fn only(change: impl FnOnce(&mut Filter)) -> Filter {
    let mut filter = Filter {
        limit: Some(100),
        ..Filter::default()
    };
    change(&mut filter);
    filter
}

fn single_filters() -> Vec<(&'static str, Filter)> {
    let some = |text: &str| Some(text.to_owned());
    let scope = |extensions: &[&str]| Scope {
        pbx: None,
        extensions: extensions.iter().map(|e| (*e).to_owned()).collect(),
    };
    let place = Place {
        at: UtcMs(1_700_000_000_000),
        id: "hq/230307142318_40".to_owned(),
    };
    vec![
        ("nothing", only(|_| {})),
        ("number", only(|f| f.number = some("05552221133"))),
        ("any number", only(|f| f.number = some("*"))),
        ("part of a number", only(|f| f.number = some("*52 221*"))),
        ("two digits", only(|f| f.number = some("*55*"))),
        ("extension", only(|f| f.extension = some("117"))),
        ("did", only(|f| f.did = some("Sales"))),
        ("pbx", only(|f| f.pbx = "hq".parse().ok())),
        (
            "direction",
            only(|f| f.direction = Some(Direction::Internal)),
        ),
        ("answered", only(|f| f.outcome = Some(Outcome::Answered))),
        ("missed", only(|f| f.outcome = Some(Outcome::Missed))),
        ("state", only(|f| f.state = Some(State::Failed))),
        ("call", only(|f| f.call = "230307142318_40".parse().ok())),
        ("from", only(|f| f.from = "2023-03-07".parse().ok())),
        ("to", only(|f| f.to = "2023-03-07T00:00:00Z".parse().ok())),
        ("min_duration", only(|f| f.min_duration = Some(Seconds(60)))),
        ("max_duration", only(|f| f.max_duration = Some(Seconds(60)))),
        ("scope", only(|f| f.scope = scope(&["117"]))),
        ("scope of many", only(|f| f.scope = scope(&["117"; 40]))),
        (
            "pbx of the scope",
            only(|f| f.scope.pbx = "hq".parse().ok()),
        ),
        ("a page behind", only(|f| f.after = Some(place.clone()))),
    ]
}

fn plan(db: &Reader, sql: &str, values: Vec<Value>) -> Vec<String> {
    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(sql);
    let rows = explain.query_map(rusqlite::params_from_iter(values), |row| row.get(3));
    rows.unwrap().map(Result::unwrap).collect()
}

/// Lists of keys are read whole; nothing else is, and nothing is sorted but what is of one moment
/// or one call.
fn assert_is_searched(what: &str, plan: &[String]) {
    let is_call = plan[0].ends_with("(call=?)");
    let is_scan = |line: &&String| line.starts_with("SCAN") && !line.contains("VIRTUAL TABLE");
    assert_eq!(plan.iter().find(is_scan), None, "{what}: {plan:#?}");
    let sorts = |line: &&String| line.ends_with("B-TREE FOR ORDER BY") && !is_call;
    assert_eq!(plan.iter().find(sorts), None, "{what}: {plan:#?}");
}

#[test]
fn no_filter_reads_a_table_from_end_to_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.sqlite");
    Store::open(&path).unwrap();
    let db = Reader::open(&path).unwrap();
    for (what, filter) in single_filters() {
        let of_recordings = filtered::recordings(&db, &filter).unwrap().expect(what);
        let of_calls = filtered::calls(&db, &filter).unwrap().expect(what);
        for (kind, listing) in [("recordings", of_recordings), ("calls", of_calls)] {
            let what = format!("{kind} by {what}");
            for way in listing.ways() {
                let (sql, values) = listing.statement(&way);
                assert_is_searched(&format!("{what}: {sql}"), &plan(&db, &sql, values));
            }
        }
    }
    // Nor does what keeps the columns right that listings go by.
    let key = vec![
        1.into(),
        Value::Text("c".to_owned()),
        Value::Text("hq".to_owned()),
    ];
    let plan_of_follow = plan(&db, &recordings::FOLLOW, key);
    assert_is_searched("follow", &plan_of_follow);
}

#[test]
fn what_falls_due_is_found_without_looking_at_all_that_waits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.sqlite");
    Store::open(&path).unwrap();
    let db = Reader::open(&path).unwrap();
    let key = [Value::Text("hq".to_owned()), 1.into()];
    let reason = [
        Value::Text("pbx_tls".to_owned()),
        key[0].clone(),
        1.into(),
        1.into(),
        Value::Null,
    ];
    for (sql, values, by) in [
        (
            claims::RIPEN,
            &key[..],
            "recording_due (pbx=? AND due_ms<?)",
        ),
        (claims::NEXT_DUE, &key[..1], "recording_due (pbx=?)"),
        (
            &away::recall_sql(),
            &reason[..],
            "recording_waiting (code=? AND pbx=?)",
        ),
    ] {
        let plan = plan(&db, sql, values.to_vec());
        assert_is_searched(sql, &plan);
        let search = format!("SEARCH recording USING INDEX {by}");
        assert!(
            plan.iter()
                .any(|line| line.replace("COVERING ", "") == search),
            "{plan:#?}"
        );
    }
}
