//! Who gets in at the hook, and how much of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::hook::{self, Request, acknowledged, target};
use crate::support::service::{SECRET, Service, Setup};
use crate::support::wait::wait_for;

const JSON: &str = "application/json";
const BODY_MAX_BYTES: usize = 1 << 20;
/// Nothing is fetched here.
const NO_PBX: &str = "http://127.0.0.1:9";

fn json_post(body: impl AsRef<[u8]>) -> Request {
    Request::post(target("hq"), JSON, body)
}

/// What was turned away, as (reason, peer, count), once so much of it is written down.
fn refusals(service: &Service, total: i64) -> Vec<Value> {
    wait_for("refusals are counted", Duration::from_secs(10), || {
        service.number("SELECT coalesce(sum(count), 0) FROM refusal") >= total
    });
    service.rows("SELECT json_array(reason, peer, count) FROM refusal ORDER BY 1")
}

#[test]
fn strangers_learn_nothing_and_are_counted() {
    let service = Setup::hq(NO_PBX).start();
    let wrong = "0123456789abcdef0123456789abcdee";
    let event = r#"{"Event":"ringing","Id":"230307142318_40-0"}"#;
    let targets = [
        ("wrong_secret", format!("/hook/hq/{wrong}")),
        ("no_hook_path", "/hook/hq/".to_owned()),
        ("wrong_secret", format!("/hook/hq/{SECRET}/more")),
        ("wrong_secret", format!("/hook/hq/{SECRET}0?event=ringing")),
        ("wrong_pbx", format!("/hook/other/{SECRET}")),
        ("wrong_pbx", format!("/hook/HQ/{SECRET}")),
        ("no_hook_path", "/hook/hq".to_owned()),
        ("no_hook_path", "/".to_owned()),
        ("no_hook_path", "/healthz".to_owned()),
        ("wrong_pbx", format!("/hook//hq/{SECRET}")),
    ];
    let mut refused = 0;
    for (_, target) in &targets {
        for request in [
            Request::get(target.as_str()),
            Request::post(target.as_str(), JSON, event),
        ] {
            let reply = hook::send(service.hook(), &request).unwrap();
            assert_eq!((reply.status, reply.body.len()), (404, 0), "{request:?}");
            assert_eq!(reply.header("location"), None);
            refused += 1;
        }
    }
    assert_eq!(service.number("SELECT count(*) FROM events"), 0);
    let counted = |reason| {
        let count = targets.iter().filter(|(of, _)| *of == reason).count();
        json!([reason, "127.0.0.1", 2 * count])
    };
    let expected = ["no_hook_path", "wrong_pbx", "wrong_secret"].map(counted);
    assert_eq!(refusals(&service, refused), expected);
}

#[test]
fn peers_are_let_in_by_network() {
    let service = Setup::new()
        .pbx(
            "far",
            "Europe/Prague",
            NO_PBX,
            r#"allow_from = ["192.0.2.0/24", "2001:db8::1"]"#,
        )
        .pbx(
            "near",
            "Europe/Prague",
            NO_PBX,
            r#"allow_from = ["192.0.2.0/24", "127.0.0.1"]"#,
        )
        .start();
    let event = r#"{"Event":"ringing","User":"117","Id":"230307142318_40-0"}"#;
    acknowledged(service.hook(), &Request::post(target("near"), JSON, event));
    let far = Request::post(target("far"), JSON, event);
    let reply = hook::send(service.hook(), &far).unwrap();
    assert_eq!((reply.status, reply.body.len()), (404, 0));
    let logged = service.rows("SELECT json_array(pbx) FROM events");
    assert_eq!(logged, [json!(["near"])]);
    assert_eq!(
        refusals(&service, 1),
        [json!(["peer_not_allowed", "127.0.0.1", 1])]
    );
}

#[test]
fn a_body_may_have_a_mebibyte() {
    let service = Setup::hq(NO_PBX).start();
    let body = |bytes| vec![b'x'; bytes];
    acknowledged(service.hook(), &json_post(body(BODY_MAX_BYTES)));
    acknowledged(
        service.hook(),
        &json_post(body(BODY_MAX_BYTES)).in_chunks_of(100_000),
    );
    for request in [
        json_post(body(BODY_MAX_BYTES + 1)),
        json_post(body(BODY_MAX_BYTES + 1)).in_chunks_of(100_000),
        json_post(body(8 * BODY_MAX_BYTES)),
    ] {
        let reply = hook::send(service.hook(), &request).unwrap();
        assert_eq!((reply.status, reply.body.len()), (413, 0));
    }
    let sizes = service.rows("SELECT json_array(length(raw)) FROM events");
    assert_eq!(sizes, [json!([BODY_MAX_BYTES]), json!([BODY_MAX_BYTES])]);
    let counted = refusals(&service, 3);
    assert_eq!(counted, [json!(["body_too_large_or_cut", "127.0.0.1", 3])]);
}
