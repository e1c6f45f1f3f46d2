//! The service writes down when it ran, so that nobody takes silence for completeness.

use serde_json::{Value, json};

use super::{HOUR, MINUTE, SECOND};
use crate::support::inside::{Inside, START};
use crate::support::service::Setup;

const BEAT: &str = "SELECT beat_ms FROM heartbeat";

fn gaps(inside: &Inside) -> Vec<Value> {
    inside
        .files
        .rows("SELECT json_array(started_at, ended_at, duration_s) FROM gaps ORDER BY 1")
}

#[test]
fn time_in_which_it_did_not_run_is_a_gap() {
    let mut inside = Inside::start(Setup::hq("http://127.0.0.1:9"));
    inside.wait_for_number(BEAT, START.0);
    for minute in 1..=3 {
        inside.turn(MINUTE);
        inside.wait_for_number(BEAT, START.plus(minute * MINUTE).0);
    }
    assert_eq!(gaps(&inside), [] as [Value; 0]);

    // Stopped half a minute later, as is right: the gap begins there.
    inside.turn(30 * SECOND);
    inside.stop();
    inside.turn(3 * HOUR);
    inside.start_again();
    let first = json!([
        "2026-01-05T09:03:30.000Z",
        "2026-01-05T12:03:30.000Z",
        10_800.0
    ]);
    assert_eq!(gaps(&inside), std::slice::from_ref(&first));

    // Killed half a minute later: it is known to have run at the last beat only.
    inside.turn(30 * SECOND);
    inside.drop_dead();
    inside.turn(HOUR);
    inside.start_again();
    let second = json!([
        "2026-01-05T12:03:30.000Z",
        "2026-01-05T13:04:00.000Z",
        3_630.0
    ]);
    assert_eq!(gaps(&inside), [first, second]);

    let status = inside.status();
    let shown: Vec<(&str, f64)> = status
        .gaps
        .iter()
        .map(|gap| (gap.started_at.as_str(), gap.duration_s))
        .collect();
    assert_eq!(
        shown,
        [
            ("2026-01-05T12:03:30.000Z", 3_630.0),
            ("2026-01-05T09:03:30.000Z", 10_800.0)
        ],
        "the last one first"
    );
    // A gap of last year is in the view, and troubles nobody any more.
    inside.turn(8 * 24 * HOUR);
    assert_eq!(gaps(&inside).len(), 2);
}

#[test]
fn a_machine_that_slept_did_not_listen_either() {
    let inside = Inside::start(Setup::hq("http://127.0.0.1:9"));
    inside.turn(2 * HOUR);
    inside.wait_for_number("SELECT count(*) FROM gaps", 1);
    assert_eq!(
        gaps(&inside),
        [json!([
            "2026-01-05T09:00:00.000Z",
            "2026-01-05T11:00:00.000Z",
            7_200.0
        ])]
    );
}
