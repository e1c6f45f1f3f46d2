//! The clock is set, forward and back, by a second and by decades.

use std::time::Duration;

use serde_json::json;

use super::RECORDING;
use crate::support::hook;
use crate::support::inside::Inside;
use crate::support::pbx::{Answer, Pbx};
use crate::support::service::Setup;

const SECOND_MS: i64 = 1000;
const DAY_MS: i64 = 86_400 * SECOND_MS;
const YEARS_68_MS: i64 = 68 * 365 * DAY_MS + 17 * DAY_MS;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const STEPS_MS: [i64; 5] = [
    SECOND_MS,
    3600 * SECOND_MS,
    DAY_MS,
    365 * DAY_MS,
    YEARS_68_MS,
];

fn setup(pbx: &Pbx) -> Setup {
    Setup::new()
        .pbx(
            "hq",
            "Europe/Prague",
            &pbx.base_url(),
            "source_keeps = \"2d\"",
        )
        .archive("retry", r#"["1h"]"#)
}

fn code(inside: &Inside) -> Vec<serde_json::Value> {
    let sql = "SELECT json_array(state, code) FROM recordings";
    inside.files.rows(sql)
}

/// Sets the clock as `set` does, in the first of two days for which the PBX keeps its files.
fn survive(name: &str, mut set: impl FnMut(&mut Inside)) {
    let pbx = Pbx::start();
    pbx.script(RECORDING, [Answer::status(404)]);
    let mut inside = Inside::start(setup(&pbx));
    inside.announce("hq", RECORDING);
    inside.files.wait_until_read();
    inside.turn_to_next_try();
    inside.wait_for_attempts(1);
    set(&mut inside);
    let waiting = [json!(["pending", "not_there"])];
    let mut attempts = inside.files.number("SELECT count(*) FROM attempts");
    for _ in 0..3 {
        let pause = inside.turn_to_next_try();
        assert!(pause <= HOUR * 6 / 5, "{name}: {pause:?}");
        attempts += 1;
        inside.wait_for_attempts(attempts);
        assert_eq!(code(&inside), waiting, "{name}: given up early");
    }
    // What was logged stays in its order, whatever the times say.
    inside.post(
        "hq",
        r#"{"Event":"ringing","User":"117","Id":"230307142318_41-0"}"#,
    );
    let in_order = "SELECT count(*) FROM (SELECT seq, lag(seq) OVER (ORDER BY seq) AS before, \
        raw, max(seq) OVER () AS last FROM events) WHERE seq = last AND raw LIKE '%_41-0%'";
    inside.files.wait_until_read();
    assert_eq!(inside.files.number(in_order), 1, "{name}");
    // It is given up in its own time.
    inside.turn(DAY * 2);
    let given_up = "SELECT count(*) FROM recordings WHERE state = 'failed'";
    inside.wait_for_number(given_up, 1);
}

#[test]
fn a_clock_that_is_set_gives_nothing_up_early_and_delays_nothing() {
    for step_ms in STEPS_MS.into_iter().flat_map(|ms| [ms, -ms]) {
        survive(&format!("set by {step_ms} ms"), |inside| {
            inside.clock.set_by(step_ms);
            inside.wait_until_followed();
            if step_ms > 3600 * SECOND_MS {
                // It is long due.
                inside.wait_for_attempts(2);
            }
        });
    }
}

#[test]
fn a_clock_that_is_set_while_nothing_runs_does_no_more() {
    for step_ms in [-YEARS_68_MS, -DAY_MS, DAY_MS * 3, YEARS_68_MS] {
        survive(&format!("set by {step_ms} ms while down"), |inside| {
            inside.stop();
            inside.clock.set_by(step_ms);
            inside.start_again();
            if step_ms > 0 {
                // It is long due.
                inside.wait_for_attempts(2);
            }
        });
    }
}

#[test]
fn every_hour_of_the_nights_the_clocks_change_is_logged_and_read() {
    let pbx = Pbx::start();
    let inside = Inside::start(setup(&pbx));
    // Local stamps: an hour that does not exist, and one that comes twice.
    let stamps = [
        "240331013000",
        "240331023000",
        "240331033000",
        "241027023000",
    ];
    for (nth, stamp) in stamps.iter().enumerate() {
        let event = json!({"Event": "ringing", "Callerid": "05552221133", "User": "117",
            "Id": format!("{stamp}_{nth}-0")});
        hook::post(inside.hook(), event.to_string());
    }
    inside.files.wait_until_read();
    let read = inside
        .files
        .rows("SELECT json_array(call, started_at, started_at_local) FROM calls ORDER BY call");
    let expected = [
        json!([
            "240331013000_0",
            "2024-03-31T00:30:00Z",
            "2024-03-31T01:30:00+01:00"
        ]),
        json!([
            "240331023000_1",
            "2024-03-31T01:30:00Z",
            "2024-03-31T02:30:00+01:00"
        ]),
        json!([
            "240331033000_2",
            "2024-03-31T01:30:00Z",
            "2024-03-31T03:30:00+02:00"
        ]),
        json!([
            "241027023000_3",
            "2024-10-27T01:30:00Z",
            "2024-10-27T02:30:00+01:00"
        ]),
    ];
    assert_eq!(read, expected);
}
