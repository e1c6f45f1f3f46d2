//! Custody: every act, search and denial is an entry of a chain that shows what was changed.

use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::pbx::{Answer, Pbx};
use crate::support::people::{self, actor, archive, audio};
use crate::support::service::{Service, Setup};
use crate::support::web::{Ask, get};

/// As whoever has the right to the file may, and as no callvault does.
fn by_hand(service: &Service) -> Connection {
    let index = Connection::open(service.data_dir().join("index.sqlite")).unwrap();
    index.busy_timeout(Duration::from_secs(5)).unwrap();
    index
}

fn verify(service: &Service) -> (i32, String) {
    let output = service.cli(&["custody", "verify"]);
    (output.status, output.stdout)
}

#[test]
fn acts_searches_and_denials_are_entered() {
    let pbx = Pbx::start();
    let held_up = "230307135611_31-1-1";
    pbx.script(held_up, [Answer::status(404)]);
    let service = Setup::hq(&pbx.base_url())
        .archive("retry", r#"["50ms", "1h"]"#)
        .start();
    people::post_corpus(&service, "hq");
    service.wait_for_recordings("archived", 9);
    let kim = people::add(&service, "kim", "compliance", &[]);
    let adm = people::add(&service, "adm", "admin", &[]);
    let vic = people::add(&service, "vic", "viewer", &["--extension", "117"]);
    let ask = |token: &str, target: &str| get(target).by(token).send(service.admin()).status;
    assert_eq!(ask(&kim, "/api/v1/recordings?number=0555&limit=5"), 200);
    assert_eq!(ask(&kim, "/api/v1/calls"), 200);
    assert_eq!(ask(&kim, "/api/v1/recordings.csv?state=archived"), 200);
    assert_eq!(ask(&vic, "/api/v1/custody"), 403);
    assert_eq!(ask(&vic, "/api/v1/status"), 403);
    assert_eq!(ask(&adm, "/api/v1/recordings.jsonl"), 403);
    let retry = Ask::new("POST", format!("/api/v1/jobs/hq/{held_up}/retry")).by(&adm);
    assert_eq!(retry.send(service.admin()).json()["said"], "due");
    audio("230307142318_40-1-1")
        .by(&kim)
        .because("why")
        .send(service.admin());
    let people = "SELECT json_array(actor, address, act, subject, reason, detail) FROM custody \
        WHERE actor LIKE '%of the test%' ORDER BY seq";
    let here = "127.0.0.1";
    let denied = |who, path: &str, needed: &str| {
        json!([
            actor(who),
            here,
            "denied",
            path,
            null,
            format!("GET needs {needed}")
        ])
    };
    let query = r#"{"limit":"5","number":"0555"}"#;
    assert_eq!(
        service.rows(people),
        [
            json!([actor("kim"), here, "searched", "recordings", null, query]),
            json!([actor("kim"), here, "searched", "calls", null, "{}"]),
            json!([
                actor("kim"),
                here,
                "exported",
                "recordings",
                null,
                r#"{"state":"archived"}"#
            ]),
            denied("vic", "/api/v1/custody", "the right to audit"),
            denied("vic", "/api/v1/status", "a scope of everything"),
            denied("adm", "/api/v1/recordings.jsonl", "the right to export"),
            json!([
                actor("adm"),
                here,
                "retried",
                format!("hq/{held_up}"),
                null,
                null
            ]),
            json!([
                actor("kim"),
                here,
                "listened",
                "hq/230307142318_40-1-1",
                "why",
                null
            ]),
        ]
    );
    lists(&service, &kim);
}

/// The verb and the API list the same.
fn lists(service: &Service, kim: &str) {
    let count = |options: &[&str]| service.json(&[&["custody", "list"], options].concat());
    let all = count(&[]);
    assert_eq!(
        get("/api/v1/custody?limit=1000")
            .by(kim)
            .send(service.admin())
            .items(),
        all
    );
    let person = actor("kim");
    for (query, options, of) in [
        (
            "actor=kim%20of%20the%20test",
            ["--actor", "kim of the test"],
            ("actor", person.as_str()),
        ),
        (
            "actor=kim%20of%20the%20test%20(kim)",
            ["--actor", &person],
            ("actor", person.as_str()),
        ),
        ("act=denied", ["--act", "denied"], ("act", "denied")),
        (
            "recording=hq/230307142318_40-1-1",
            ["--recording", "hq/230307142318_40-1-1"],
            ("subject", "hq/230307142318_40-1-1"),
        ),
    ] {
        let expected: Vec<Value> = all
            .iter()
            .filter(|row| row[of.0] == of.1)
            .cloned()
            .collect();
        assert!(!expected.is_empty(), "{query}");
        assert_eq!(count(&options), expected, "{options:?}");
        let listed = get(format!("/api/v1/custody?{query}"))
            .by(kim)
            .send(service.admin());
        assert_eq!(listed.items(), expected, "{query}");
    }
    let middle = all[all.len() / 2]["at"].as_str().unwrap();
    let from = get(format!("/api/v1/custody?limit=1000&from={middle}"))
        .by(kim)
        .send(service.admin())
        .items();
    let to = get(format!("/api/v1/custody?limit=1000&to={middle}"))
        .by(kim)
        .send(service.admin())
        .items();
    assert_eq!(from, count(&["--from", middle]));
    // Entries stand in the order in which they were committed, which is nearly that of their times.
    let (later, earlier): (Vec<Value>, Vec<Value>) = all
        .iter()
        .cloned()
        .partition(|row| row["at"].as_str().unwrap() >= middle);
    assert_eq!((from, to), (later, earlier));
    let nobody = service.cli(&["custody", "list", "--actor", "kim"]);
    assert_eq!((nobody.status, nobody.stdout.as_str()), (1, ""));
    let of = |recording| service.cli(&["custody", "list", "--recording", recording]);
    assert_eq!(
        of("230307142318_40-1-1").stdout,
        of("hq/230307142318_40-1-1").stdout,
    );
    for (other, status) in [("230307142318_40-1-9", 1), ("230307142318_40", 64)] {
        let said = of(other);
        assert_eq!((said.status, said.stdout.as_str()), (status, ""), "{other}");
    }
    // The wall clock of the PBX that it is about stands beside, or of all PBXs.
    let table = service.cli(&["custody", "list"]).stdout;
    for row in &all {
        let at = row["at"].as_str().unwrap();
        let local = at
            .parse::<jiff::Timestamp>()
            .unwrap()
            .in_tz("Europe/Prague")
            .unwrap();
        let beside = format!("{at}  {}", local.strftime("%F %T"));
        assert!(table.contains(&beside), "{beside}\n{table}");
    }
    let csv = service.cli(&["custody", "list", "--csv"]).stdout;
    assert_eq!(csv.lines().count(), 1 + all.len());
}

#[test]
fn entries_can_only_be_added() {
    let pbx = Pbx::start();
    let service = archive(&pbx);
    let index = by_hand(&service);
    for statement in [
        "UPDATE custody_entry SET actor = 'nobody'",
        "UPDATE custody_entry SET seq = seq + 1000 WHERE seq = 1",
        "DELETE FROM custody_entry",
        "DELETE FROM custody_entry WHERE seq = (SELECT max(seq) FROM custody_entry)",
        "INSERT OR REPLACE INTO custody_entry SELECT * FROM custody_entry WHERE seq = 1",
        "REPLACE INTO custody_entry SELECT seq, at_ms, 'x', address, act, subject, reason, \
         case_number, detail, previous_sha256, sha256 FROM custody_entry WHERE seq = 1",
        "UPDATE delivery SET raw = x''",
        "DELETE FROM delivery",
        "INSERT OR REPLACE INTO delivery SELECT * FROM delivery WHERE seq = 1",
    ] {
        let done = index.execute(statement, []);
        assert!(done.is_err(), "{statement}: {done:?}");
    }
    let (status, said) = verify(&service);
    assert_eq!(status, 0);
    let count = service.number("SELECT count(*) FROM custody");
    assert_eq!(
        said,
        format!("{count} entries, each after the one before, none changed\n")
    );
}

#[test]
fn what_was_changed_all_the_same_is_found() {
    let pbx = Pbx::start();
    let mut service = archive(&pbx);
    let kim = people::add(&service, "kim", "listener", &[]);
    audio("230307142318_40-1-1")
        .by(&kim)
        .because("why")
        .send(service.admin());
    service.terminate();
    assert_eq!(verify(&service).0, 0);
    let index = by_hand(&service);
    index
        .execute_batch(
            "DROP TRIGGER custody_stays; DROP TRIGGER custody_is_kept; \
             CREATE TEMP TABLE kept AS SELECT * FROM custody_entry",
        )
        .unwrap();
    let last = service.number("SELECT max(seq) FROM custody");
    let changed = |seq| format!("FAILED  entry {seq} was changed\n");
    for (statement, expected) in [
        (
            "UPDATE custody_entry SET actor = 'nobody' WHERE seq = 5",
            changed(5),
        ),
        (
            "UPDATE custody_entry SET at_ms = at_ms + 1 WHERE seq = 1",
            changed(1),
        ),
        (
            "UPDATE custody_entry SET reason = 'another' WHERE reason = 'why'",
            changed(last),
        ),
        (
            "UPDATE custody_entry SET reason = NULL WHERE reason = 'why'",
            changed(last),
        ),
        (
            "UPDATE custody_entry SET case_number = '' WHERE seq = 7",
            changed(7),
        ),
        (
            "UPDATE custody_entry SET detail = coalesce(detail, '') || ' ' WHERE seq = 3",
            changed(3),
        ),
        (
            "UPDATE custody_entry SET sha256 = zeroblob(32) WHERE seq = 4",
            changed(4),
        ),
        (
            "UPDATE custody_entry SET previous_sha256 = zeroblob(32) WHERE seq = 6",
            "FAILED  entry 6 does not follow the one before it\n".to_owned(),
        ),
        (
            "DELETE FROM custody_entry WHERE seq = 2",
            "FAILED  entry 2 is missing\n".to_owned(),
        ),
        (
            "DELETE FROM custody_entry WHERE seq = 1",
            "FAILED  entry 1 is missing\n".to_owned(),
        ),
        (
            "UPDATE custody_entry SET seq = seq + 100000 WHERE seq >= 8",
            "FAILED  entry 8 is missing\n".to_owned(),
        ),
    ] {
        assert!(index.execute(statement, []).unwrap() > 0, "{statement}");
        assert_eq!(verify(&service), (65, expected), "{statement}");
        let put_back = "DELETE FROM custody_entry; INSERT INTO custody_entry SELECT * FROM kept";
        index.execute_batch(put_back).unwrap();
    }
    assert_eq!(verify(&service).0, 0);
}
