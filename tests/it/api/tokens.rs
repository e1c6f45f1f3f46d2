//! Tokens: shown once, kept as a digest, ended by time or by hand, guessed in vain.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::pbx::Pbx;
use crate::support::people::{self, archive, audio};
use crate::support::service::{Service, Setup};
use crate::support::wait::wait_for;
use crate::support::web::{Ask, get};

const STATUS: &str = "/api/v1/status";

fn started() -> Service {
    Setup::hq("http://127.0.0.1:9").start()
}

/// Every file below, with its bytes.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let below = crate::support::vault::files_below(directory);
    let read = |file: String| fs::read(directory.join(&file)).map(|bytes| (file, bytes));
    below
        .into_iter()
        .filter_map(|file| read(file).ok())
        .collect()
}

#[test]
fn a_token_is_nowhere_but_with_its_person() {
    let pbx = Pbx::start();
    let mut service = archive(&pbx);
    service.set_env("CALLVAULT_LOG", Some("trace"));
    service.restart();
    let tokens: Vec<String> = ["viewer", "listener", "compliance", "approver", "admin"]
        .iter()
        .map(|role| people::add(&service, role, role, &[]))
        .collect();
    let wrong = format!("cv_{}", "w".repeat(43));
    for token in tokens.iter().chain([&wrong]) {
        assert!(token.starts_with("cv_") && token.len() == 46, "{token}");
        for target in [
            STATUS,
            "/api/v1/recordings",
            "/api/v1/tokens",
            "/api/v1/nothing",
        ] {
            let answer = get(target).by(token).because("why").send(service.admin());
            assert!(!answer.text().contains(token.as_str()), "{target}");
        }
        audio("230307142318_40-1-1")
            .by(token)
            .because("why")
            .send(service.admin());
    }
    let said = ["list", "review"].map(|verb| service.json(&["token", verb]));
    let said = json!([said, service.json(&["custody", "list"])]).to_string();
    // Once while all is open, and once when it has been put away.
    for stopped in [false, true] {
        if stopped {
            service.terminate();
        }
        let files = files(service.dir());
        assert!(files.iter().any(|(name, _)| name.ends_with("index.sqlite")));
        assert!(files.iter().any(|(name, _)| name == "log"));
        for token in tokens.iter().chain([&wrong]) {
            assert!(!said.contains(token.as_str()));
            let body = token.trim_start_matches("cv_").as_bytes();
            for (name, bytes) in &files {
                let found = bytes.windows(body.len()).any(|window| window == body);
                assert!(!found, "a token is in {name}");
            }
        }
    }
}

#[test]
fn tokens_end() {
    let service = started();
    let ask = |token: &str| get(STATUS).by(token).send(service.admin());
    let [kim, lee] = ["kim", "lee"].map(|name| people::add(&service, name, "admin", &[]));
    let soon = people::add(&service, "soon", "admin", &["--expires", "1ms"]);
    wait_for("a millisecond", Duration::from_secs(5), || {
        ask(&soon).status == 401
    });
    ask(&soon).assert_problem(401, "unauthorized");
    assert_eq!((ask(&kim).status, ask(&lee).status), (200, 200));
    people::revoke(&service, "kim");
    ask(&kim).assert_problem(401, "unauthorized");
    assert_eq!(ask(&lee).status, 200);
    // For good: not twice, and its name is not given away again.
    assert_eq!(service.cli(&["token", "revoke", "kim"]).status, 1);
    assert_eq!(service.cli(&["token", "revoke", "nobody"]).status, 1);
    let again = ["token", "add", "kim", "--person", "Kim", "--role", "viewer"];
    assert_eq!(service.cli(&again).status, 64);
    ask(&kim).assert_problem(401, "unauthorized");
    let acts = service.rows(
        "SELECT json_array(act, subject) FROM custody WHERE subject LIKE 'token/%' ORDER BY seq",
    );
    let expected =
        ["kim", "lee", "soon"].map(|name| json!(["token made", format!("token/{name}")]));
    let revoked = json!(["token revoked", "token/kim"]);
    assert_eq!(acts, [&expected[..], &[revoked]].concat());
}

#[test]
fn tokens_are_listed_and_reviewed() {
    let service = started();
    let used = people::add(&service, "used", "admin", &[]);
    people::add(
        &service,
        "part",
        "viewer",
        &[
            "--pbx",
            "hq",
            "--extension",
            "117",
            "--extension",
            "204",
            "--expires",
            "90d",
        ],
    );
    people::add(&service, "gone", "listener", &[]);
    people::revoke(&service, "gone");
    let listed = get("/api/v1/tokens")
        .by(&used)
        .send(service.admin())
        .items();
    assert_eq!(listed, service.json(&["token", "list"]));
    let fields = |row: &Value| {
        let set = |field: &str| !row[field].is_null();
        json!([
            row["name"],
            row["person"],
            row["role"],
            row["pbx"],
            row["extensions"],
            set("expires_at"),
            set("revoked_at"),
            set("last_used_at")
        ])
    };
    assert_eq!(
        listed.iter().map(fields).collect::<Vec<_>>(),
        [
            json!([
                "gone",
                "gone of the test",
                "listener",
                null,
                [],
                false,
                true,
                false
            ]),
            json!([
                "part",
                "part of the test",
                "viewer",
                "hq",
                ["117", "204"],
                true,
                false,
                false
            ]),
            json!([
                "used",
                "used of the test",
                "admin",
                null,
                [],
                false,
                false,
                true
            ]),
        ]
    );
    let reviewed = service.json(&["token", "review"]);
    let doubts: Vec<Value> = reviewed
        .iter()
        .map(|row| json!([row["token"]["name"], row["doubts"]]))
        .collect();
    assert_eq!(
        doubts,
        [
            json!(["part", ["never used"]]),
            json!(["used", ["never expires", "sees everything"]]),
        ]
    );
    for wrong in [
        vec!["a b", "--person", "A", "--role", "viewer"],
        vec!["a", "--person", "", "--role", "viewer"],
        vec!["a", "--person", "A\u{1b}[2J", "--role", "viewer"],
        vec!["a", "--person", "A", "--role", "root"],
        vec!["a", "--role", "viewer"],
        vec!["a", "--person", "A", "--role", "viewer", "--pbx", "unknown"],
        vec![
            "a",
            "--person",
            "A",
            "--role",
            "viewer",
            "--expires",
            "never",
        ],
        vec!["a", "--person", "A", "--role", "viewer", "--expires", "0s"],
    ] {
        let output = service.cli(&[vec!["token", "add"], wrong.clone()].concat());
        assert_eq!(
            (output.status, output.stdout.as_str()),
            (64, ""),
            "{wrong:?}"
        );
    }
    assert_eq!(service.json(&["token", "list"]).len(), 3);
}

/// In this process, where a minute passes by hand.
#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slowed_down() {
    let mut service = started();
    let kim = people::add(&service, "kim", "admin", &[]);
    let (running, clock) = people::in_process(&mut service).await;
    let admin = running.admin;
    let ask = |ask: Ask| async move {
        let sent = tokio::task::spawn_blocking(move || ask.send(admin));
        sent.await.unwrap()
    };
    let guess = |n: u32| get(STATUS).by(&format!("cv_{n:043}"));
    let odd = [
        get(STATUS).by(""),
        get(STATUS).by("kim"),
        get(STATUS).header("Authorization", b"\xff\xfe"),
        get(STATUS).by(&"x".repeat(20_000)),
    ];
    for round in 0..2 {
        // Whoever brings none guesses nothing, and whoever has one is let in.
        for _ in 0..20 {
            ask(get(STATUS)).await.assert_problem(401, "unauthorized");
            assert_eq!(ask(get(STATUS).by(&kim)).await.status, 200);
        }
        for n in 0..6 {
            ask(guess(n)).await.assert_problem(401, "unauthorized");
        }
        for odd in odd.clone() {
            ask(odd).await.assert_problem(401, "unauthorized");
        }
        let shut = ask(guess(10)).await;
        shut.assert_problem(429, "too_many_wrong_tokens");
        assert_eq!(shut.header("retry-after"), Some("60"));
        assert_eq!(ask(get(STATUS).by(&kim)).await.status, 200);
        assert_eq!(ask(get("/healthz")).await.status, 200);
        clock.turn(Duration::from_secs(59));
        assert_eq!(ask(guess(11)).await.status, 429, "round {round}");
        clock.turn(Duration::from_secs(1));
    }
    assert_eq!(ask(get(STATUS).by(&kim)).await.status, 200);
    running.stop().await;
}
