//! A recording that is announced again long after: a PBX whose counter began anew is seen.

use std::time::Duration;

use callvault::model::digest::Digest;
use serde_json::json;

use crate::support::id3;
use crate::support::inside::Inside;
use crate::support::pbx::{Answer, Pbx, audio};
use crate::support::service::Setup;

const RECORDING: &str = "230307142318_40-1-1";
const ANOTHER: &str = "230307142318_40-2-1";
const HOUR: Duration = Duration::from_secs(3600);
const COMPARED: &str = "SELECT count(*) FROM custody WHERE act = 'compared'";

fn archived(pbx: &Pbx) -> Inside {
    let inside = Inside::start(Setup::hq(&pbx.base_url()));
    inside.announce("hq", RECORDING);
    inside.files.wait_until_read();
    inside.turn_to_next_try();
    inside.wait_for_number(
        "SELECT count(*) FROM recordings WHERE state = 'archived'",
        1,
    );
    inside
}

fn announce_again(inside: &Inside) {
    inside.announce("hq", RECORDING);
    inside.files.wait_until_read();
}

#[test]
fn the_same_is_noted_once_a_day() {
    let pbx = Pbx::start();
    let inside = archived(&pbx);
    // A mirror, not news.
    inside.turn(HOUR / 2);
    announce_again(&inside);
    inside.turn(HOUR);
    announce_again(&inside);
    inside.wait_for_number(COMPARED, 1);
    assert_eq!(pbx.requests_of(RECORDING).len(), 2);
    inside.turn(2 * HOUR);
    announce_again(&inside);
    inside.turn(21 * HOUR);
    inside.announce("hq", ANOTHER);
    inside.files.wait_until_read();
    inside.turn_to_next_try();
    inside.wait_for_number(
        "SELECT count(*) FROM recordings WHERE state = 'archived'",
        2,
    );
    assert_eq!(inside.files.number(COMPARED), 1, "more than once a day");
    inside.turn(2 * HOUR);
    inside.wait_for_number(COMPARED, 2);
    let seen = "SELECT json_array(subject, detail) FROM custody WHERE act = 'compared' LIMIT 1";
    assert_eq!(
        inside.files.rows(seen),
        [json!([
            format!("hq/{RECORDING}"),
            "the PBX still has the same"
        ])]
    );
}

#[test]
fn other_content_is_kept_beside_and_told() {
    let pbx = Pbx::start();
    let inside = archived(&pbx);
    let before = inside.files.dir().join("archive/hq/2023/03/07");
    let before = before.join(format!("{RECORDING}.mp3"));
    let object = std::fs::read(&before).unwrap();
    pbx.script(RECORDING, [Answer::ok(audio(ANOTHER))]);
    inside.turn(2 * HOUR);
    announce_again(&inside);
    inside.wait_for_number(
        "SELECT count(*) FROM recordings WHERE state = 'archived'",
        2,
    );
    let digest = Digest::of(&audio(ANOTHER)).to_string();
    let beside = format!("{RECORDING}~{}", &digest[..8]);
    let found = inside.files.rows(
        "SELECT json_array(recording, json(flags), original_sha256, call, leg) \
         FROM recordings WHERE recording LIKE '%~%'",
    );
    assert_eq!(
        found,
        [json!([
            format!("hq/{beside}"),
            ["conflict"],
            digest,
            "230307142318_40",
            1
        ])]
    );
    assert!(std::fs::read(&before).unwrap() == object, "overwritten");
    let kept = before.with_file_name(format!("{beside}.mp3"));
    assert!(id3::split(&std::fs::read(kept).unwrap()).1 == audio(ANOTHER));
    assert_eq!(inside.status().conflicts, [format!("hq/{beside}")]);
    let verified = inside.files.cli(&["verify", "--all"]);
    assert_eq!(verified.status, 0, "{}", verified.stderr);
    // The same other content again is nothing new.
    inside.turn(25 * HOUR);
    announce_again(&inside);
    inside.wait_for_number(COMPARED, 2);
    assert_eq!(inside.files.number("SELECT count(*) FROM recordings"), 2);
}

#[test]
fn what_was_given_up_gets_another_chance() {
    let pbx = Pbx::start();
    pbx.script(RECORDING, [Answer::status(404)]);
    let setup = Setup::new().pbx("hq", "UTC", &pbx.base_url(), "source_keeps = \"1ms\"");
    let inside = Inside::start(setup);
    inside.announce("hq", RECORDING);
    inside.files.wait_until_read();
    inside.turn_to_next_try();
    let failed = "SELECT count(*) FROM recordings WHERE state = 'failed'";
    inside.wait_for_number(failed, 1);
    pbx.script(RECORDING, [Answer::audio(RECORDING)]);
    inside.turn(2 * HOUR);
    announce_again(&inside);
    inside.turn_to_next_try();
    inside.wait_for_number(
        "SELECT count(*) FROM recordings WHERE state = 'archived'",
        1,
    );
}

#[test]
fn a_file_that_the_pbx_has_deleted_meanwhile_is_asked_for_a_day_long() {
    let pbx = Pbx::start();
    let inside = archived(&pbx);
    pbx.script(RECORDING, [Answer::status(404)]);
    inside.turn(2 * HOUR);
    announce_again(&inside);
    let given_up = "SELECT count(*) FROM custody WHERE act = 'not compared'";
    for tries in 1..=24 {
        let sql = format!("SELECT (SELECT tries FROM comparison) >= {tries} OR ({given_up}) = 1");
        inside.wait_for_number(&sql, 1);
        inside.turn(HOUR);
    }
    inside.wait_for_number(given_up, 1);
    assert_eq!(pbx.requests_of(RECORDING).len(), 1 + 24);
    assert_eq!(inside.files.number("SELECT count(*) FROM recordings"), 1);
}

const ARCHIVED: &str = "SELECT count(*) FROM recordings WHERE state = 'archived'";
const FLAGS: &str = "SELECT json(flags) FROM recordings ORDER BY recording";

/// Archived as far as the PBX had written it, before anybody told how long its leg lasted.
fn archived_too_early(pbx: &Pbx) -> Inside {
    let whole = audio(ANOTHER);
    let frames = |count: usize| Answer::ok(&whole[..count * 144]);
    pbx.script(ANOTHER, [frames(30), frames(40), Answer::ok(&*whole)]);
    // The leg before it, which nobody announces.
    pbx.script(RECORDING, [Answer::status(404)]);
    let inside = Inside::start(Setup::hq(&pbx.base_url()));
    inside.announce("hq", ANOTHER);
    inside.files.wait_until_read();
    inside.turn_to_next_try();
    inside.wait_for_number(ARCHIVED, 1);
    inside
}

fn end(inside: &Inside) {
    let ended = r#"{"Event":"incoming","User":"204","Finishtype":"Ok","Duration":"00:06",
        "Id":"230307142318_40-2"}"#;
    inside.post("hq", ended);
    inside.files.wait_until_read();
}

#[test]
fn what_turns_out_short_is_flagged_and_fetched_until_it_is_whole() {
    let pbx = Pbx::start();
    let inside = archived_too_early(&pbx);
    end(&inside);
    assert_eq!(
        inside.files.rows(FLAGS),
        [json!([])],
        "it may be written on"
    );
    inside.turn(HOUR / 4);
    let short = r#"SELECT count(*) FROM recordings WHERE flags = '["short"]'"#;
    inside.wait_for_number(short, 1);
    assert_eq!(inside.files.number(ARCHIVED), 1, "it is short still");
    inside.turn(2 * HOUR);
    inside.wait_for_number(ARCHIVED, 2);
    assert_eq!(
        inside.files.rows(FLAGS),
        [json!(["short"]), json!(["fetched_later"])]
    );
    let original = "SELECT json_quote(original_sha256) FROM recordings WHERE recording LIKE '%~%'";
    let digest = Digest::of(&audio(ANOTHER)).to_string();
    assert_eq!(inside.files.rows(original), [json!(digest)]);
    assert!(inside.status().conflicts.is_empty());
    // Once, however often the call is read again.
    end(&inside);
    inside.turn(2 * HOUR);
    let third = "230307142318_41-1-1";
    pbx.script(third, [Answer::audio(RECORDING)]);
    inside.announce("hq", third);
    inside.files.wait_until_read();
    inside.turn_to_next_try();
    inside.wait_for_number(ARCHIVED, 3);
    assert_eq!(pbx.requests_of(ANOTHER).len(), 3);
}

#[test]
fn a_leg_in_two_parts_has_no_short_one() {
    let pbx = Pbx::start();
    let inside = archived_too_early(&pbx);
    end(&inside);
    let second = "230307142318_40-2-2";
    pbx.script(second, [Answer::audio(RECORDING)]);
    inside.announce("hq", second);
    inside.files.wait_until_read();
    inside.turn(HOUR / 4);
    inside.wait_for_number(ARCHIVED, 2);
    let moot = "SELECT count(*) FROM comparison WHERE due_ms IS NULL AND compared_ms IS NOT NULL";
    inside.wait_for_number(moot, 1);
    assert_eq!(inside.files.rows(FLAGS), [json!([]), json!([])]);
    assert_eq!(pbx.requests_of(ANOTHER).len(), 1);
}
