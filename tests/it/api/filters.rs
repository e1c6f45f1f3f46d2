//! What may be asked, each filter as the verb `search` understands it, and what may not.

use callvault::model::time::clock_text;
use serde_json::{Value, json};

use crate::support::pbx::Pbx;
use crate::support::people::{self, archive};
use crate::support::visitor::{Visitor, read};
use crate::support::web::{Ask, get};

/// Query, the verb's options for the same, and how many recordings and calls that finds.
type Case = (&'static str, &'static [&'static str], usize, usize);

const FILTERS: [Case; 31] = [
    ("", &[], 10, 18),
    ("number=05552221133", &["--number", "05552221133"], 9, 14),
    ("number=2221133", &["--number", "2221133"], 9, 14),
    ("number=*1133", &["--number", "*1133"], 9, 14),
    (
        "number=%2B4205552221133",
        &["--number", "+4205552221133"],
        9,
        14,
    ),
    ("number=*222*", &["--number", "*222*"], 9, 14),
    ("min_duration=1m", &["--min-duration", "1m"], 0, 0),
    (
        "min_duration=5&max_duration=6s",
        &["--min-duration", "5s", "--max-duration", "6"],
        5,
        5,
    ),
    ("max_duration=4s", &["--max-duration", "4"], 3, 3),
    ("number=nobody", &["--number", "nobody"], 0, 0),
    ("extension=204", &["--extension", "204"], 2, 2),
    ("did=DID-420222000320", &["--did", "DID-420222000320"], 0, 2),
    ("did=did-420222000320", &["--did", "did-420222000320"], 0, 0),
    ("pbx=hq", &["--pbx", "hq"], 10, 18),
    ("pbx=branch", &["--pbx", "branch"], 0, 0),
    ("direction=in", &["--direction", "in"], 7, 11),
    ("direction=outgoing", &["--direction", "out"], 3, 7),
    ("direction=internal", &["--direction", "internal"], 0, 0),
    (
        "from=2023-03-07T14:45:44",
        &["--from", "2023-03-07T14:45:44"],
        5,
        8,
    ),
    (
        "from=2023-03-07T13:23:18Z&to=2023-03-07T13:45:44Z",
        &[
            "--from",
            "2023-03-07T13:23:18Z",
            "--to",
            "2023-03-07T13:45:44Z",
        ],
        2,
        1,
    ),
    ("to=2023-03-07", &["--to", "2023-03-07"], 1, 4),
    ("state=archived", &["--state", "archived"], 10, 8),
    ("state=pending", &["--state", "pending"], 0, 0),
    ("call=230307142318_40", &["--call", "230307142318_40"], 2, 1),
    (
        "call=230307142318_40&extension=204",
        &["--call", "hq/230307142318_40", "--extension", "204"],
        1,
        1,
    ),
    ("outcome=missed", &["--outcome", "missed"], 0, 7),
    (
        "outcome=missed&direction=in&number=05552221133",
        &[
            "--outcome",
            "missed",
            "--direction",
            "in",
            "--number",
            "05552221133",
        ],
        0,
        3,
    ),
    (
        "outcome=missed&state=archived",
        &["--outcome", "missed", "--state", "archived"],
        0,
        0,
    ),
    ("number=1133", &["--number", "1133"], 0, 0),
    (
        "number=2221133&extension=117&direction=in&from=2023-03-07T14:00&to=2023-03-08&state=archived",
        &[
            "--number",
            "2221133",
            "--extension",
            "117",
            "--direction",
            "in",
            "--from",
            "2023-03-07T14:00",
            "--to",
            "2023-03-08",
            "--state",
            "archived",
        ],
        4,
        4,
    ),
    ("limit=3", &["--limit", "3"], 3, 3),
];

#[test]
fn every_filter_is_the_verbs() {
    let pbx = Pbx::start();
    let service = archive(&pbx);
    let token = people::add(&service, "kim", "compliance", &[]);
    let mut page = Visitor::signed_in(&service, "compliance", &[]);
    let all = service.json(&["search"]);
    for (query, options, recordings, calls) in FILTERS {
        for (list, option, count) in [
            ("recordings", None, recordings),
            ("calls", Some("--calls"), calls),
        ] {
            let answer = get(format!("/api/v1/{list}?{query}"))
                .by(&token)
                .send(service.admin());
            let verb: Vec<&str> = ["search", "--json"].into_iter().chain(option).collect();
            let verb = service.cli(&[&verb, options].concat());
            assert_eq!(
                verb.status,
                i32::from(verb.stdout.is_empty()),
                "{}",
                verb.stderr
            );
            let lines = verb
                .stdout
                .lines()
                .map(|line| serde_json::from_str(line).unwrap());
            let rows: Vec<Value> = lines.collect();
            assert_eq!(rows.len(), count, "{list} {query}");
            assert_eq!(answer.items(), rows, "{list} {query}");
            let shown = page.page(&format!("/?{query}"));
            match option {
                Some(_) => assert_eq!(table(&shown), expected(&rows, &all), "{query}"),
                None if query.starts_with("limit") => {}
                None => assert_eq!(exported(&mut page, &shown), rows, "{query}"),
            }
        }
        if query.starts_with("limit") {
            continue;
        }
        for (twin, form) in [("csv", "--csv"), ("jsonl", "--json")] {
            let answer = get(format!("/api/v1/recordings.{twin}?{query}")).by(&token);
            let answer = answer.send(service.admin());
            let verb = service.cli(&[&["search", form], options].concat());
            assert_eq!(answer.text(), verb.stdout, "{twin} {query}");
            assert!(answer.is_whole, "{twin} {query}");
        }
    }
}

/// What the page shows of each call: its address, then what stands under each heading.
fn table(page: &str) -> Vec<Value> {
    let rows = page.split("<a href=\"/call/").skip(1).map(|row| {
        let (id, _) = row.split_once('"').unwrap();
        let cell = |label: &str| {
            let mark = format!("data-label=\"{label}\">");
            let (_, cell) = row
                .split_once(&mark)
                .unwrap_or_else(|| panic!("{label}: {row}"));
            read(cell.split_once("</td>").unwrap().0)
        };
        let cells = [
            "Direction",
            "External",
            "Result",
            "Talk",
            "Recordings",
            "State",
        ]
        .map(cell);
        json!([id, cells])
    });
    rows.collect()
}

/// The same of calls as the verb tells them, with all recordings that there are.
fn expected(calls: &[Value], all: &[Value]) -> Vec<Value> {
    let dash = || "—".to_owned();
    let text = |value: &Value| value.as_str().map_or_else(dash, str::to_owned);
    let row = |call: &Value| {
        let legs = call["legs"].as_array().unwrap();
        let of_call = |row: &&Value| row["call"] == call["call"] && row["pbx"] == call["pbx"];
        let recordings: Vec<&Value> = all.iter().filter(of_call).collect();
        let archived = recordings.iter().filter(|row| row["state"] == "archived");
        let seconds: Option<u64> = legs.iter().map(|leg| leg["duration_s"].as_u64()).sum();
        let talk = seconds.filter(|_| !legs.is_empty()).map(clock_text);
        let direction = match call["direction"].as_str() {
            Some("incoming") => "in".to_owned(),
            Some("outgoing") => "out".to_owned(),
            other => text(&json!(other)),
        };
        let (count, state) = match (legs.len(), recordings.len()) {
            (0, _) => (dash(), dash()),
            (legs, 0) => (format!("0 of {legs}"), "not announced".to_owned()),
            (_, recordings) => (
                format!("{} of {recordings}", archived.count()),
                "archived".to_owned(),
            ),
        };
        let id = format!(
            "{}/{}",
            call["pbx"].as_str().unwrap(),
            call["call"].as_str().unwrap()
        );
        let (external, outcome) = (text(&call["external"]), text(&call["outcome"]));
        json!([
            id,
            [
                direction,
                external,
                outcome,
                talk.unwrap_or_else(dash),
                count,
                state
            ]
        ])
    };
    calls.iter().map(row).collect()
}

/// What the page gives when the recordings of its search are asked for, a line each.
fn exported(visitor: &mut Visitor, page: &str) -> Vec<Value> {
    let link = page
        .split("href=\"")
        .find(|rest| rest.starts_with("/api/v1/recordings.jsonl"));
    let link = link
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .replace("&amp;", "&");
    let link = Ask::new("GET", link).header("Cookie", visitor.cookie());
    let lines = link.send(visitor.admin);
    let lines = lines.text().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn what_is_not_understood_is_no_wider_search() {
    let service = crate::support::service::Setup::hq("http://127.0.0.1:9").start();
    let token = people::add(&service, "kim", "compliance", &[]);
    let lists = ["recordings", "recordings.csv", "recordings.jsonl", "calls"];
    let everywhere = [
        "colour=red",
        "Number=1",
        "limit=0",
        "limit=-1",
        "limit=1001",
        "limit=many",
        "limit=1.5",
        "limit=99999999999999999999",
        "cursor=zz",
        "cursor=6869",
        "cursor=%00",
        "direction=up",
        "direction=IN",
        "state=lost",
        "pbx=HQ",
        "pbx=a/b",
        "from=yesterday",
        "to=2023-02-30",
        "from=2023-03-07T25:00",
        "min_duration=long",
        "max_duration=-1",
        "zone=Nowhere",
        "zone=..%2F..",
        "call=..",
        "call=a%2Fb",
        "extension=1&extension=2",
        "pbx=hq&pbx=hq",
    ];
    for query in everywhere {
        for list in lists {
            let answer = get(format!("/api/v1/{list}?{query}"))
                .by(&token)
                .send(service.admin());
            let found = (answer.status, answer.text().contains("bad_query"));
            assert_eq!(found, (400, true), "{list}?{query}");
            answer.assert_problem(400, "bad_query");
        }
    }
    let others = [
        "events?number=1",
        "events?cursor=x",
        "events?limit=0",
        "events?pbx=%20",
        "jobs?pbx=hq",
        "jobs?limit=0",
        "jobs?cursor=x",
        "jobs?cursor=pending.zz",
        "custody?colour=1",
        "custody?cursor=x",
        "custody?from=never",
        "custody?limit=5000",
        "status?pbx=hq",
        "recordings/hq/230307142318_40-1-1?x=1",
        "recordings/hq/230307142318_40-1-1/audio?from=1",
    ];
    for target in others {
        let answer = get(format!("/api/v1/{target}"))
            .by(&token)
            .send(service.admin());
        answer.assert_problem(400, "bad_query");
    }
    // A twin is all that fits: a page of it would be taken for all.
    for query in ["limit=5", "cursor=00"] {
        let answer = get(format!("/api/v1/recordings.csv?{query}")).by(&token);
        answer
            .send(service.admin())
            .assert_problem(400, "bad_query");
    }
    // Nothing of this was a search.
    let searches = "SELECT count(*) FROM custody WHERE act IN ('searched', 'exported')";
    assert_eq!(service.number(searches), 0);
    // An empty field of a form is no filter.
    let empty = get("/api/v1/recordings?number=&extension=&limit=").by(&token);
    assert_eq!(empty.send(service.admin()).items().len(), 0);
}

/// What a query holds is a value, never text of a statement.
#[test]
fn hostile_values_find_nothing() {
    let pbx = Pbx::start();
    let service = archive(&pbx);
    let token = people::add(&service, "kim", "viewer", &[]);
    for value in [
        "'%20OR%201=1--",
        "%22",
        "%25",
        "_",
        "117%00",
        "%FF%FE",
        "[\"117\"]",
        "117'",
    ] {
        for filter in ["extension", "did"] {
            let asked = get(format!("/api/v1/recordings?{filter}={value}")).by(&token);
            assert_eq!(
                asked.send(service.admin()).items().len(),
                0,
                "{filter}={value}"
            );
        }
    }
}
