//! Why somebody hears a recording: asked for, kept for its call, entered before the first byte.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::pbx::Pbx;
use crate::support::people::{self, actor, archive, audio, in_process};
use crate::support::service::Service;
use crate::support::web::{Ask, get};

/// Two legs of a call, and another call.
const LEGS: [&str; 2] = ["230307142318_40-1-1", "230307142318_40-2-1"];
const OTHER: &str = "230307135611_31-1-1";

/// What was heard or downloaded, in order.
fn entries(service: &Service) -> Vec<Value> {
    service.rows(
        "SELECT json_array(actor, act, subject, reason, \"case\") FROM custody \
         WHERE act IN ('listened', 'downloaded by a person') ORDER BY seq",
    )
}

fn entry(who: &str, act: &str, recording: &str, reason: &str, case: Option<&str>) -> Value {
    json!([actor(who), act, format!("hq/{recording}"), reason, case])
}

#[test]
fn a_reason_holds_for_one_call_of_one_person() {
    let pbx = Pbx::start();
    let service = archive(&pbx);
    let [kim, lee] = ["kim", "lee"].map(|name| people::add(&service, name, "compliance", &[]));
    let needs_one = |ask: Ask| {
        ask.send(service.admin())
            .assert_problem(428, "reason_required")
    };
    let heard = |ask: Ask| assert_eq!(ask.send(service.admin()).status, 200);
    needs_one(audio(LEGS[0]).by(&kim));
    // A case is no reason, and neither is nothing.
    needs_one(audio(LEGS[0]).by(&kim).header("X-Callvault-Case", "7"));
    needs_one(audio(LEGS[0]).by(&kim).because("  "));
    assert_eq!(entries(&service), [json!(null); 0]);

    heard(
        audio(LEGS[0])
            .by(&kim)
            .because("complaint")
            .header("X-Callvault-Case", "C-7"),
    );
    heard(audio(LEGS[0]).by(&kim));
    heard(audio(LEGS[1]).by(&kim));
    for part in 0..20 {
        let part = audio(LEGS[1])
            .by(&kim)
            .header("Range", format!("bytes={part}-{}", part + 9));
        assert_eq!(part.send(service.admin()).status, 206);
    }
    heard(
        get(format!(
            "/api/v1/recordings/hq/{}/audio?download=1",
            LEGS[1]
        ))
        .by(&kim),
    );
    needs_one(audio(OTHER).by(&kim));
    needs_one(audio(LEGS[0]).by(&lee));
    // The same one again, as a player sends it along, is no new one; another one is.
    heard(
        audio(LEGS[0])
            .by(&kim)
            .because("complaint")
            .header("X-Callvault-Case", "C-7"),
    );
    heard(audio(LEGS[0]).by(&kim).because("audit"));
    heard(audio(LEGS[1]).by(&kim));
    heard(
        audio(OTHER)
            .by(&lee)
            .because("audit")
            .header("X-Callvault-Case", "C-8"),
    );
    let (listened, downloaded) = ("listened", "downloaded by a person");
    assert_eq!(
        entries(&service),
        [
            entry("kim", listened, LEGS[0], "complaint", Some("C-7")),
            entry("kim", listened, LEGS[1], "complaint", Some("C-7")),
            entry("kim", downloaded, LEGS[1], "complaint", Some("C-7")),
            entry("kim", listened, LEGS[0], "audit", None),
            entry("kim", listened, LEGS[1], "audit", None),
            entry("lee", listened, OTHER, "audit", Some("C-8")),
        ]
    );
    let addresses = "SELECT count(*) FROM custody WHERE act = 'listened' AND address = '127.0.0.1'";
    assert_eq!(service.number(addresses), 5);
}

/// Many at once are one act.
#[test]
fn parts_at_the_same_time_are_one_entry() {
    let pbx = Pbx::start();
    let service = archive(&pbx);
    let kim = people::add(&service, "kim", "listener", &[]);
    let admin = service.admin();
    std::thread::scope(|scope| {
        for part in 0..16 {
            let ask = audio(LEGS[0]).by(&kim).because("at once");
            let ask = ask.header("Range", format!("bytes={part}-"));
            scope.spawn(move || assert_eq!(ask.send(admin).status, 206));
        }
    });
    assert_eq!(
        entries(&service),
        [entry("kim", "listened", LEGS[0], "at once", None)]
    );
}

/// In this process, where a quarter of an hour passes by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_reason_holds_for_a_quarter_of_an_hour() {
    let pbx = Pbx::start();
    let mut archived = archive(&pbx);
    let kim = people::add(&archived, "kim", "listener", &["--expires", "1h"]);
    let (service, clock) = in_process(&mut archived).await;
    let admin = service.admin;
    let status = |ask: Ask| async move {
        tokio::task::spawn_blocking(move || ask.send(admin).status)
            .await
            .unwrap()
    };
    let minutes = |minutes: u64| clock.turn(Duration::from_secs(60 * minutes));
    assert_eq!(status(audio(LEGS[0]).by(&kim).because("first")).await, 200);
    minutes(14);
    assert_eq!(status(audio(LEGS[0]).by(&kim)).await, 200);
    minutes(1);
    assert_eq!(status(audio(LEGS[0]).by(&kim)).await, 428);
    assert_eq!(status(audio(LEGS[0]).by(&kim).because("first")).await, 200);
    minutes(10);
    // Sent along, it goes on; what is entered is entered once in fifteen minutes.
    assert_eq!(status(audio(LEGS[0]).by(&kim).because("first")).await, 200);
    minutes(10);
    assert_eq!(status(audio(LEGS[0]).by(&kim)).await, 200);
    let first = entry("kim", "listened", LEGS[0], "first", None);
    assert_eq!(entries(&archived), [first.clone(), first.clone(), first]);
    minutes(25);
    // An hour is over.
    assert_eq!(status(audio(LEGS[0]).by(&kim).because("late")).await, 401);
    service.stop().await;
}

#[test]
fn without_the_setting_nobody_is_asked() {
    let pbx = Pbx::start();
    let mut service = archive(&pbx);
    service.rewrite(&(service.settings() + "\n[access]\nrequire_reason = false\n"));
    service.restart();
    let kim = people::add(&service, "kim", "listener", &[]);
    for _ in 0..3 {
        assert_eq!(audio(LEGS[0]).by(&kim).send(service.admin()).status, 200);
    }
    let anonymous = json!([
        actor("kim"),
        "listened",
        format!("hq/{}", LEGS[0]),
        null,
        null
    ]);
    assert_eq!(entries(&service), [anonymous]);
}

/// What people write into headers is text, and stays where it belongs.
#[test]
fn hostile_reasons_are_harmless() {
    let pbx = Pbx::start();
    let service = archive(&pbx);
    let kim = people::add(&service, "kim", "listener", &[]);
    let long = "ř".repeat(500);
    let kept: [(&[u8], &str); 6] = [
        (
            "stížnost č. 7 – zákazník".as_bytes(),
            "stížnost č. 7 – zákazník",
        ),
        (
            b"'); DROP TABLE custody_entry; --",
            "'); DROP TABLE custody_entry; --",
        ),
        (b"a\tb", "a\tb"),
        (b"\xff\xfe", "\u{fffd}\u{fffd}"),
        ("\u{202e}dlrow".as_bytes(), "\u{202e}dlrow"),
        (long.as_bytes(), &long),
    ];
    for (reason, _) in kept {
        let ask = audio(LEGS[0]).by(&kim).because(reason);
        assert_eq!(
            ask.send(service.admin()).status,
            200,
            "{}",
            reason.escape_ascii()
        );
    }
    let expected = kept.map(|(_, reason)| entry("kim", "listened", LEGS[0], reason, None));
    assert_eq!(entries(&service), expected);
    for reason in ["x".repeat(501), "x".repeat(40_000)] {
        let ask = audio(OTHER).by(&kim).because(reason);
        ask.send(service.admin()).assert_problem(400, "bad_query");
    }
    // What is no header at all is turned away before anybody looks at it.
    for reason in ["x".repeat(70_000).as_str(), "a\0b", "a\x1bb", "a\x7fb"] {
        let status = audio(OTHER)
            .by(&kim)
            .because(reason)
            .send(service.admin())
            .status;
        assert!((400..500).contains(&status), "{status}");
    }
    // A line end begins another header: the reason ends before it, and nothing is answered twice.
    let split = audio(OTHER)
        .by(&kim)
        .because("one\r\nX-Injected: two\r\n\r\nGET /api/v1/x HTTP/1.1");
    let split = split.send(service.admin());
    assert_eq!((split.status, split.header("x-injected")), (200, None));
    assert_eq!(entries(&service).last().unwrap()[3], "one");
    assert_eq!(service.cli(&["custody", "verify"]).status, 0);
    let listed = service
        .cli(&["custody", "list", "--act", "listened"])
        .stdout;
    assert!(!listed.contains(['\u{202e}', '\x1b', '\t']), "{listed}");
}
