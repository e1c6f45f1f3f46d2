//! While a PBX or the store is away, one recording at a time tries it; all others wait, say why, and
//! are tried at once when it is back.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::inside::Inside;
use crate::support::pbx::{Answer, Pbx};
use crate::support::service::Setup;
use crate::support::wait::wait_for;

const COUNT: usize = 40;
/// Each recording's own; nobody shall wait for that.
const RETRY: &str = r#"["30m"]"#;
const SECOND: Duration = Duration::from_secs(1);
/// After so many failures in a row; and so many more can be on their way by then.
const FAILURES: i64 = 8;
const UNDER_WAY: i64 = 8;
/// The longest pause between two tries of somebody who is away.
const PAUSE_MAX: Duration = Duration::from_secs(300);

fn recording(at: usize) -> String {
    format!("230307142318_{at}-1-1")
}

/// A PBX with recordings, all of which are announced and due.
fn announced(
    setup: impl FnOnce(&Pbx) -> Setup,
    before: impl FnOnce(&mut Pbx, &Inside),
) -> (Pbx, Inside) {
    let mut pbx = Pbx::start();
    for at in 0..COUNT {
        pbx.script(&recording(at), [Answer::audio("230307142318_40-1-1")]);
    }
    let inside = Inside::start(setup(&pbx).archive("retry", RETRY));
    before(&mut pbx, &inside);
    (0..COUNT).for_each(|at| inside.announce("hq", &recording(at)));
    inside.files.wait_until_read();
    inside.turn(SECOND);
    (pbx, inside)
}

fn tries(inside: &Inside) -> i64 {
    inside.files.number("SELECT count(*) FROM attempts")
}

fn wait_until_away(inside: &Inside, party: &str) {
    let sql = format!("SELECT count(*) FROM away WHERE party = '{party}'");
    inside.wait_for_number(&sql, 1);
    inside.wait_for_number("SELECT count(*) FROM attempts WHERE ended_at IS NULL", 0);
}

/// So many pauses, at the end of each of which one tries it. Returns how many more did.
fn spend_an_hour(inside: &Inside) -> i64 {
    let before = tries(inside);
    let pauses = 12;
    for pause in 1..=pauses {
        inside.turn(PAUSE_MAX);
        inside.wait_for_attempts(before + pause);
    }
    tries(inside) - before - pauses
}

fn pbx_down() -> (Pbx, Inside) {
    let down = |pbx: &mut Pbx, _: &Inside| pbx.go_down();
    let (pbx, inside) = announced(|pbx| Setup::hq(&pbx.base_url()), down);
    wait_until_away(&inside, "pbx");
    (pbx, inside)
}

#[test]
fn a_pbx_that_is_away_is_tried_by_one_at_a_time_and_drained_when_it_is_back() {
    let (mut pbx, inside) = pbx_down();
    let tried = tries(&inside);
    assert!(
        (FAILURES..=FAILURES + UNDER_WAY).contains(&tried),
        "{tried}"
    );
    assert_eq!(spend_an_hour(&inside), 0, "one at a time");

    pbx.come_back();
    inside.turn(PAUSE_MAX);
    // Those that failed by their own schedule have half an hour to wait.
    inside.files.wait_for_recordings("archived", COUNT as i64);
    inside.wait_for_number("SELECT count(*) FROM away", 0);
}

#[test]
fn what_was_never_tried_says_who_is_away() {
    let (_pbx, inside) = pbx_down();
    let untried = inside
        .files
        .number("SELECT count(*) FROM recordings WHERE attempts = 0");
    assert!(untried > 0);
    let jobs: Vec<Value> = inside.files.json(&["jobs", "list"]);
    assert_eq!(jobs.len(), COUNT);
    for job in &jobs {
        assert_eq!(job["code"], "pbx_unreachable", "{job}");
        assert!(job["reason"].as_str().unwrap().contains("refused"), "{job}");
    }
    let status = inside.status();
    let away: Vec<Value> = status.away.iter().map(|away| json!(away)).collect();
    assert_eq!(away.len(), 1);
    assert_eq!(
        (&away[0]["party"], &away[0]["pbx"]),
        (&json!("pbx"), &json!("hq"))
    );
    assert_eq!(away[0]["code"], "pbx_unreachable");
    inside.turn(Duration::from_secs(2 * 3600));
    let reasons = inside.status().reasons.join("; ");
    assert!(
        reasons.contains("40 recordings of hq wait because of pbx_unreachable, the oldest for 2 h"),
        "{reasons}"
    );
}

#[test]
fn another_pbx_goes_on() {
    let branch = Pbx::start();
    let setup = |pbx: &Pbx| {
        Setup::hq(&pbx.base_url()).pbx("branch", "Europe/Prague", &branch.base_url(), "")
    };
    let (_pbx, inside) = announced(setup, |pbx, _| pbx.go_down());
    wait_until_away(&inside, "pbx");
    branch.script(&recording(1), [Answer::audio("230307142318_40-1-1")]);
    inside.announce("branch", &recording(1));
    inside.files.wait_until_read();
    inside.turn(SECOND);
    inside.files.wait_for_recordings("archived", 1);
}

#[test]
fn a_retry_by_hand_tries_who_is_away_at_once() {
    let (mut pbx, inside) = pbx_down();
    spend_an_hour(&inside);
    pbx.come_back();
    let one = format!("hq/{}", recording(COUNT / 2));
    assert_eq!(inside.files.cli(&["jobs", "retry", &one]).status, 0);
    // That one is due by the system's clock, far ahead of the hand's.
    let others = "SELECT count(*) FROM recordings WHERE state = 'archived' AND recording <>";
    inside.wait_for_number(&format!("{others} '{one}'"), COUNT as i64 - 1);
}

#[test]
fn a_store_that_is_away_keeps_no_recording_on_its_pbx() {
    let setup = |pbx: &Pbx| Setup::hq(&pbx.base_url());
    let mut paths = None;
    let (pbx, inside) = announced(setup, |_, inside| {
        let archive = inside.files.dir().join("archive");
        let away = archive.with_extension("away");
        fs::rename(&archive, &away).unwrap();
        paths = Some((archive, away));
    });
    let (archive, away) = paths.unwrap();
    wait_until_away(&inside, "store");
    // Each was fetched and tried the store once: it may be gone from the PBX when the store is back.
    inside.wait_for_attempts(COUNT as i64);
    assert_eq!(pbx.requests().len(), COUNT);
    assert_eq!(spend_an_hour(&inside), 0, "one at a time");
    assert_eq!(pbx.requests().len(), COUNT);

    fs::rename(&away, &archive).unwrap();
    inside.turn(PAUSE_MAX);
    inside.files.wait_for_recordings("archived", COUNT as i64);
}

/// Recordings that fail as if their PBX were away, for reasons of their own: it has them, and may not
/// read them.
#[test]
fn a_few_that_fail_by_themselves_keep_no_other_waiting() {
    let mut pbx = Pbx::start();
    let inside = Inside::start(Setup::hq(&pbx.base_url()).archive("retry", RETRY));
    let bad = COUNT / 2;
    for at in 0..bad {
        pbx.script(&recording(at), [Answer::status(403)]);
        inside.announce("hq", &recording(at));
    }
    inside.files.wait_until_read();
    inside.turn(SECOND);
    wait_until_away(&inside, "pbx");
    // Down for a while, so that good ones have failed too, and are younger.
    pbx.go_down();
    for at in bad..COUNT {
        pbx.script(&recording(at), [Answer::audio("230307142318_40-1-1")]);
        inside.announce("hq", &recording(at));
    }
    inside.files.wait_until_read();
    spend_an_hour(&inside);
    pbx.come_back();
    let before = tries(&inside);
    let good = (COUNT - bad) as i64;
    inside.turn(PAUSE_MAX);
    wait_for(
        "the good ones are archived",
        Duration::from_secs(30),
        || {
            inside.turn(SECOND);
            let sql = "SELECT count(*) FROM recordings WHERE state = 'archived'";
            inside.files.number(sql) == good
        },
    );
    let tried = tries(&inside) - before - good;
    assert!(tried <= 2 * bad as i64, "{tried} tries in vain");
}

#[test]
fn a_restart_tries_what_waited_for_its_pbx() {
    let pbx = Pbx::start();
    let missing = recording(2);
    pbx.script(
        &recording(1),
        [Answer::status(401), Answer::audio("230307142318_40-1-1")],
    );
    pbx.script(&missing, [Answer::status(404)]);
    let mut inside = Inside::start(Setup::hq(&pbx.base_url()).archive("retry", RETRY));
    inside.announce("hq", &recording(1));
    inside.announce("hq", &missing);
    inside.files.wait_until_read();
    inside.turn(SECOND);
    inside.wait_for_attempts(2);
    // The settings name another login now, say.
    inside.stop();
    inside.start_again();
    inside.files.wait_for_recordings("archived", 1);
    assert_eq!(pbx.requests_of(&missing).len(), 1, "that was an answer");
}

#[test]
fn who_is_back_is_not_said_to_be_away() {
    let (mut pbx, inside) = pbx_down();
    pbx.come_back();
    inside.turn(PAUSE_MAX);
    inside.files.wait_for_recordings("archived", COUNT as i64);
    // Away again, for so few that none is left that is due.
    pbx.go_down();
    for at in 100..100 + FAILURES as usize {
        pbx.script(&recording(at), [Answer::audio("230307142318_40-1-1")]);
        inside.announce("hq", &recording(at));
    }
    inside.files.wait_until_read();
    inside.turn(SECOND);
    wait_until_away(&inside, "pbx");
    pbx.come_back();
    inside.turn(SECOND);
    inside
        .files
        .wait_for_recordings("archived", COUNT as i64 + 1);
    inside.wait_for_number("SELECT count(*) FROM away", 0);
    // The others were tried just before, so they wait for five minutes.
    inside.turn(PAUSE_MAX);
    let all = COUNT as i64 + FAILURES;
    inside.files.wait_for_recordings("archived", all);
}
