//! Scopes hold in every answer: two PBXs that have the same ids, and people who may see a part.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::pbx::{Answer, Pbx};
use crate::support::people::{self, post_corpus};
use crate::support::service::{Service, Setup};
use crate::support::web::{Ask, get};

/// Not archived at either PBX, so that there is a backlog.
const HELD_UP: [&str; 2] = ["230307142318_40-1-1", "230307144544_42-2-1"];

struct Scope {
    pbx: Option<&'static str>,
    extensions: &'static [&'static str],
}

const SCOPES: [Scope; 7] = [
    Scope {
        pbx: None,
        extensions: &[],
    },
    Scope {
        pbx: Some("hq"),
        extensions: &[],
    },
    Scope {
        pbx: Some("branch"),
        extensions: &[],
    },
    Scope {
        pbx: None,
        extensions: &["204"],
    },
    Scope {
        pbx: Some("branch"),
        extensions: &["117"],
    },
    Scope {
        pbx: None,
        extensions: &["202", "204"],
    },
    Scope {
        pbx: None,
        extensions: &["999"],
    },
];

impl Scope {
    fn arguments(&self) -> Vec<&'static str> {
        let pbx = self.pbx.iter().flat_map(|pbx| ["--pbx", pbx]);
        pbx.chain(self.extensions.iter().flat_map(|e| ["--extension", e]))
            .collect()
    }

    fn has_pbx(&self, row: &Value) -> bool {
        self.pbx.is_none_or(|pbx| row["pbx"] == pbx)
    }

    fn has_extension(&self, extension: &Value) -> bool {
        self.extensions.is_empty() || self.extensions.iter().any(|mine| extension == mine)
    }

    /// What is left of a call for this scope.
    fn narrowed(&self, call: &Value) -> Option<Value> {
        let mut call = call.clone();
        for (list, extension) in [("legs", "/extension"), ("ring_path", "")] {
            let rows = call[list].as_array_mut().unwrap();
            rows.retain(|row| self.has_extension(row.pointer(extension).unwrap()));
        }
        let is_left = ["legs", "ring_path"]
            .iter()
            .any(|list| call[list] != Value::Array(vec![]));
        (self.has_pbx(&call) && (is_left || self.extensions.is_empty())).then_some(call)
    }
}

fn started(pbx: &Pbx) -> Service {
    for recording in HELD_UP {
        pbx.script(recording, [Answer::status(404)]);
    }
    let service = Setup::hq(&pbx.base_url())
        .pbx("branch", "Europe/Prague", &pbx.base_url(), "")
        // Its rows are compared, and must stand still.
        .archive("retry", r#"["50ms", "1h"]"#)
        .start();
    for pbx in ["hq", "branch"] {
        post_corpus(&service, pbx);
    }
    service.wait_for_recordings("archived", 16);
    let tried_twice = "SELECT count(*) FROM recordings WHERE state = 'pending' AND attempts = 2 \
        AND next_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+10 minutes')";
    crate::support::wait::wait_for("the rest waits", std::time::Duration::from_secs(20), || {
        service.number(tried_twice) == 4
    });
    service
}

fn items(service: &Service, token: &str, target: &str) -> Vec<Value> {
    get(target).by(token).send(service.admin()).items()
}

fn id(row: &Value) -> String {
    row["recording"].as_str().unwrap().to_owned()
}

#[test]
fn every_list_and_every_single() {
    let pbx = Pbx::start();
    let service = started(&pbx);
    let (recordings, calls) = (
        service.json(&["search"]),
        service.json(&["search", "--calls"]),
    );
    let jobs = service.json(&["jobs", "list"]);
    assert_eq!((recordings.len(), calls.len(), jobs.len()), (20, 36, 4));
    for (nth, scope) in SCOPES.iter().enumerate() {
        let token = people::add(
            &service,
            &format!("p{nth}"),
            "compliance",
            &scope.arguments(),
        );
        let shown = scope.arguments();
        let mine: Vec<Value> = recordings
            .iter()
            .filter(|row| scope.has_pbx(row) && scope.has_extension(&row["extension"]))
            .cloned()
            .collect();
        assert_eq!(
            items(&service, &token, "/api/v1/recordings"),
            mine,
            "{shown:?}"
        );
        let lines = get("/api/v1/recordings.jsonl")
            .by(&token)
            .send(service.admin());
        let lines = lines
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        assert_eq!(lines.collect::<Vec<Value>>(), mine, "{shown:?}");
        let csv = get("/api/v1/recordings.csv")
            .by(&token)
            .send(service.admin());
        let rows = csv.text().lines().skip(1);
        let rows: Vec<&str> = rows.map(|row| row.split(',').next().unwrap()).collect();
        assert_eq!(rows, mine.iter().map(id).collect::<Vec<_>>(), "{shown:?}");

        let mine: BTreeSet<String> = mine.iter().map(id).collect();
        let waiting: Vec<Value> = jobs
            .iter()
            .filter(|row| mine.contains(&id(row)))
            .cloned()
            .collect();
        assert_eq!(
            items(&service, &token, "/api/v1/jobs"),
            waiting,
            "{shown:?}"
        );
        singles(&service, &token, &recordings, &mine);
        of_calls(&service, &token, &calls, scope);
    }
}

fn singles(service: &Service, token: &str, recordings: &[Value], mine: &BTreeSet<String>) {
    for row in recordings {
        let (id, archived) = (id(row), row["state"] == "archived");
        let target = format!("/api/v1/recordings/{id}");
        let single = get(&target).by(token).send(service.admin());
        let head = Ask::new("HEAD", format!("{target}/audio"))
            .by(token)
            .send(service.admin());
        let heard = get(format!("{target}/audio"))
            .by(token)
            .because("scopes")
            .send(service.admin());
        let expected = match (mine.contains(&id), archived) {
            (true, true) => [200, 200, 200],
            (true, false) => [200, 409, 409],
            (false, _) => [404, 404, 404],
        };
        assert_eq!([single.status, head.status, heard.status], expected, "{id}");
    }
}

fn of_calls(service: &Service, token: &str, calls: &[Value], scope: &Scope) {
    let mine: Vec<Value> = calls
        .iter()
        .filter_map(|call| scope.narrowed(call))
        .collect();
    assert_eq!(
        items(service, token, "/api/v1/calls"),
        mine,
        "{:?}",
        scope.arguments()
    );
    for call in calls {
        let target = format!(
            "/api/v1/calls/{}/{}",
            call["pbx"].as_str().unwrap(),
            call["call"].as_str().unwrap()
        );
        let answer = get(&target).by(token).send(service.admin());
        match scope.narrowed(call) {
            None => assert_eq!(answer.status, 404, "{target}"),
            Some(narrowed) => {
                let mut found = answer.json();
                let events = found.as_object_mut().unwrap().remove("events");
                assert_eq!(found, narrowed, "{target}");
                if !scope.extensions.is_empty() {
                    let events = events.unwrap().as_array().unwrap().clone();
                    let rang = events.iter().any(|event| event["kind"] == "ringing");
                    let has_leg = narrowed["legs"] != Value::Array(vec![]);
                    assert_eq!((rang, !events.is_empty()), (false, has_leg), "{target}");
                }
            }
        }
    }
}

/// A filter finds nothing by what its asker may not see.
#[test]
fn filters_do_not_look_outside_a_scope() {
    let pbx = Pbx::start();
    let service = started(&pbx);
    let token = people::add(
        &service,
        "narrow",
        "viewer",
        &["--pbx", "hq", "--extension", "204"],
    );
    for (query, calls) in [
        ("", 4),
        ("pbx=branch", 0),
        ("extension=204", 2),
        // 117 had legs of calls that 204 had legs of.
        ("extension=117", 0),
        // What is pending there is the leg of 117, and of the other call the one of 204.
        ("call=230307142318_40&state=pending", 0),
        ("call=230307144544_42&state=pending", 1),
        ("call=230307142318_40&state=archived", 1),
        ("call=230307144544_42&state=archived", 0),
    ] {
        let found = items(&service, &token, &format!("/api/v1/calls?{query}"));
        let ids: Vec<&Value> = found.iter().map(|call| &call["call"]).collect();
        assert_eq!(found.len(), calls, "{query}: {ids:?}");
    }
}
