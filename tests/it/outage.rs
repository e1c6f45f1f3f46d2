//! The PBX, the store or the room is away for hours and days: events go on being logged, the
//! backlog waits, and drains by itself.

mod away;
mod backlog;
mod room;
mod time;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::inside::Inside;
use crate::support::pbx::{Answer, Pbx};
use crate::support::service::Setup;

const RECORDING: &str = "230307142318_40-1-1";
const RETRY: &str = r#"["2s","10s","30s","2m","10m","1h"]"#;
const PAUSES_S: [u64; 6] = [2, 10, 30, 120, 600, 3600];
const PAUSE_MAX: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn setup(pbx: &Pbx) -> Setup {
    Setup::hq(&pbx.base_url()).archive("retry", RETRY)
}

fn ringing(inside: &Inside, call: usize) {
    let event = format!(r#"{{"Event":"ringing","User":"117","Id":"230307142318_{call}-0"}}"#);
    inside.post("hq", event);
}

/// Tries until the last pause has come twice; each pause is the schedule's, none above an hour.
fn wait_longer_and_longer(inside: &Inside) -> i64 {
    inside.turn_to_next_try();
    inside.wait_for_attempts(1);
    let tries = PAUSES_S.len() + 2;
    for (attempt, call) in (1..tries).zip(100..) {
        let pause = inside.turn_to_next_try();
        let scheduled = PAUSES_S[(attempt - 1).min(PAUSES_S.len() - 1)] as f64;
        let within = scheduled * 0.8..=scheduled * 1.2;
        assert!(
            within.contains(&pause.as_secs_f64()),
            "{attempt}: {pause:?}"
        );
        assert!(pause <= PAUSE_MAX, "{attempt}: {pause:?}");
        ringing(inside, call);
        inside.wait_for_attempts(attempt as i64 + 1);
    }
    tries as i64
}

fn codes(inside: &Inside) -> Vec<serde_json::Value> {
    inside
        .files
        .rows("SELECT DISTINCT json_quote(code) FROM attempts ORDER BY code")
}

#[test]
fn a_pbx_away_for_weeks_is_waited_for() {
    let mut pbx = Pbx::start();
    pbx.go_down();
    let inside = Inside::start(setup(&pbx));
    inside.announce("hq", RECORDING);
    inside.files.wait_until_read();
    let tries = wait_longer_and_longer(&inside);

    // Longer than the PBX keeps its files: an absent PBX says nothing about them.
    for weeks in 1..=4 {
        inside.turn(7 * DAY);
        ringing(&inside, weeks);
        inside.wait_for_attempts(tries + weeks as i64);
    }
    assert_eq!(codes(&inside), [json!("pbx_unreachable")]);
    let reasons = inside.status().reasons;
    let expired = "the oldest pending recording of hq has expired on the PBX";
    assert!(
        reasons.iter().any(|reason| reason == expired),
        "{reasons:?}"
    );

    pbx.come_back();
    inside.turn(PAUSE_MAX);
    inside.files.wait_for_recordings("archived", 1);
    let logged = inside
        .files
        .number("SELECT count(*) FROM events WHERE kind = 'ringing'");
    assert_eq!(logged, PAUSES_S.len() as i64 + 1 + 4, "answered and logged");
    assert_eq!(inside.status().reasons, Vec::<String>::new());
}

#[test]
fn a_store_away_for_days_is_waited_for_with_the_recording_at_hand() {
    let pbx = Pbx::start();
    let inside = Inside::start(setup(&pbx));
    let (archive, away) = (
        inside.files.dir().join("archive"),
        inside.files.dir().join("archive.away"),
    );
    fs::rename(&archive, &away).unwrap();
    inside.announce("hq", RECORDING);
    inside.files.wait_until_read();
    let tries = wait_longer_and_longer(&inside);
    for days in 1..=20 {
        inside.turn(DAY);
        ringing(&inside, days);
        inside.wait_for_attempts(tries + days as i64);
    }
    assert_eq!(codes(&inside), [json!("store_disk")]);
    assert!(!archive.exists(), "a store that is away is not made anew");
    let spooled = fs::read_dir(inside.files.data_dir().join("spool")).unwrap();
    assert_eq!(spooled.count(), 1, "the only copy");

    fs::rename(&away, &archive).unwrap();
    inside.turn(PAUSE_MAX);
    inside.files.wait_for_recordings("archived", 1);
    assert_eq!(pbx.requests().len(), 1, "one download is enough");
}

#[test]
fn a_file_that_the_pbx_has_not_is_given_up_once_it_keeps_it_no_longer() {
    let pbx = Pbx::start();
    pbx.script(RECORDING, [Answer::status(404)]);
    let inside = Inside::start(setup(&pbx));
    inside.announce("hq", RECORDING);
    inside.files.wait_until_read();
    inside.turn(Duration::from_secs(1));
    inside.wait_for_attempts(1);
    inside.turn(14 * DAY - Duration::from_secs(2));
    inside.wait_for_attempts(2);
    let states = "SELECT json_array(state, code) FROM recordings";
    assert_eq!(inside.files.rows(states), [json!(["pending", "not_there"])]);
    inside.turn(PAUSE_MAX);
    inside.wait_for_attempts(3);
    assert_eq!(inside.files.rows(states), [json!(["failed", "not_there"])]);
    inside.turn(30 * DAY);
    // A failed one is not tried again by itself: the next one is, and it comes later.
    inside.announce("hq", "230307142318_40-2-1");
    inside.files.wait_until_read();
    inside.turn(Duration::from_secs(1));
    inside.files.wait_for_recordings("archived", 1);
    assert_eq!(pbx.requests_of(RECORDING).len(), 3);
}

#[test]
fn a_store_that_says_nothing_keeps_no_event_waiting() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = silent.local_addr().unwrap();
    let store = format!(
        "kind = \"s3\"\nbucket = \"calls\"\nendpoint = \"http://{endpoint}\"\n\
         access_key = \"a\"\nsecret_key = \"b\"\n"
    );
    let began = Instant::now();
    let inside = Inside::start(Setup::hq("http://127.0.0.1:9").store(&store));
    ringing(&inside, 1);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    inside.files.wait_until_read();
}
