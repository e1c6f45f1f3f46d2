//! Recordings that were never announced, and the times in which nobody listened.

mod gaps;

use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::hook::corpus;
use crate::support::inside::Inside;
use crate::support::pbx::{Answer, Pbx};
use crate::support::service::Setup;
use crate::support::wait::wait_for;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const WITHIN: Duration = Duration::from_secs(20);

/// Both legs of the attended transfer, whose files the PBX has.
const FIRST: &str = "230307142318_40-1-1";
const SECOND_LEG: &str = "230307142318_40-2-1";

fn start(more: &str) -> (Pbx, Inside) {
    let pbx = Pbx::start();
    let setup = Setup::new().pbx("hq", "Europe/Prague", &pbx.base_url(), more);
    let inside = Inside::start(setup);
    (pbx, inside)
}

/// Posts rows of the vendor's documentation.
fn post_rows(inside: &Inside, table: u32, wanted: impl Fn(u32) -> bool) {
    for row in corpus() {
        if row.table == table && wanted(row.row) {
            inside.post("hq", row.payload);
        }
    }
    inside.files.wait_until_read();
}

/// The attended transfer up to its end, its recordings not announced.
fn post_transfer(inside: &Inside) {
    post_rows(inside, 2, |row| row <= 8);
}

/// A call of one leg, answered by 117 and ended.
fn post_call(inside: &Inside, call: &str) {
    let answered =
        json!({"Event": "incomingcall_started", "User": "117", "Id": format!("{call}-1")});
    let ended =
        json!({"Event": "incoming", "User": "117", "Finishtype": "Ok", "Id": format!("{call}-1")});
    inside.post("hq", answered.to_string());
    inside.post("hq", ended.to_string());
    inside.files.wait_until_read();
}

fn wait_for_requests(pbx: &Pbx, recording: &str, count: usize) {
    wait_for(&format!("{recording} is asked for"), WITHIN, || {
        pbx.requests_of(recording).len() == count
    });
}

/// Proves that all that is due now has been looked for: a call that falls due last has been.
fn look_all_through(pbx: &Pbx, inside: &Inside, call: &str) {
    post_call(inside, call);
    inside.turn(10 * MINUTE);
    wait_for_requests(pbx, &format!("{call}-1-1"), 1);
}

fn flags(inside: &Inside) -> Vec<Value> {
    let sql = "SELECT json_array(recording, state, json(flags)) FROM recordings ORDER BY recording";
    inside.files.rows(sql)
}

#[test]
fn it_is_looked_for_ten_minutes_after_the_end_arrived() {
    let (pbx, inside) = start("");
    // Falls due a second earlier, and is not there.
    post_call(&inside, "260105100000_1");
    inside.turn(SECOND);
    post_transfer(&inside);
    inside.turn(10 * MINUTE - SECOND);
    wait_for_requests(&pbx, "260105100000_1-1-1", 1);
    // By its id's date, the transfer was years overdue.
    assert_eq!(pbx.requests().len(), 1);
    inside.turn(SECOND);
    wait_for("both were found", WITHIN, || flags(&inside).len() == 2);
    inside.files.wait_until_read();
    inside.turn(MINUTE);
    inside.files.wait_for_recordings("archived", 2);
    assert_eq!(
        flags(&inside),
        [
            json!([format!("hq/{FIRST}"), "archived", ["unannounced"]]),
            json!([format!("hq/{SECOND_LEG}"), "archived", ["unannounced"]]),
        ]
    );
    let shown = inside.files.json(&["show", FIRST]).remove(0);
    assert_eq!(
        (&shown["extension"], &shown["transferred_to"]),
        (&json!("117"), &json!("204"))
    );
    let own = "SELECT count(*) FROM events WHERE method = 'FORETOLD' AND kind = 'recording'";
    assert_eq!(inside.files.number(own), 2, "the log says who announced it");
    // Once to look, once to archive; found is found.
    look_all_through(&pbx, &inside, "260105100000_2");
    inside.turn(24 * HOUR);
    look_all_through(&pbx, &inside, "260105100000_3");
    assert_eq!(pbx.requests_of(FIRST).len(), 2);
    assert_eq!(pbx.requests_of(SECOND_LEG).len(), 2);
}

#[test]
fn a_pbx_that_hangs_holds_up_no_other() {
    let pbx = Pbx::start();
    // It never accepts: connections are made, and nothing is said.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let hanging = format!("http://{}", silent.local_addr().unwrap());
    let setup = Setup::new().pbx("hq", "Europe/Prague", &hanging, "");
    let inside = Inside::start(setup.pbx("branch", "Europe/Prague", &pbx.base_url(), ""));
    let ended = r#"{"Event":"incoming","User":"204","Finishtype":"Ok","Id":"230307142318_40-1"}"#;
    inside.post("hq", ended);
    inside.files.wait_until_read();
    inside.turn(SECOND);
    inside.post("branch", ended);
    inside.files.wait_until_read();
    inside.turn(10 * MINUTE);
    wait_for_requests(&pbx, FIRST, 1);
}

#[test]
fn a_leg_that_a_later_one_implies_is_looked_for() {
    let (pbx, inside) = start("");
    let ended = r#"{"Event":"incoming","User":"204","Finishtype":"Ok","Id":"230307142318_40-2"}"#;
    inside.post("hq", ended);
    inside.files.wait_until_read();
    inside.turn(10 * MINUTE);
    wait_for("both were found", WITHIN, || flags(&inside).len() == 2);
    assert_eq!(pbx.requests_of(FIRST).len(), 1);
}

#[test]
fn an_end_whose_id_is_damaged_counts_when_its_leg_is_known() {
    let (pbx, inside) = start("");
    // Without the announcement: nothing else would tell of the recording.
    post_rows(&inside, 9, |row| row < 4);
    let legs = inside
        .files
        .rows("SELECT json_array(call, leg, ended_at IS NOT NULL) FROM legs");
    let [leg] = legs.as_slice() else {
        panic!("{legs:?}")
    };
    assert_eq!(leg[2], 1, "the damaged end is attached");
    inside.turn(10 * MINUTE);
    let recording = format!("{}-{}-1", leg[0].as_str().unwrap(), leg[1]);
    wait_for_requests(&pbx, &recording, 1);
}

#[test]
fn what_is_not_recorded_by_policy_is_not_looked_for() {
    let (pbx, inside) = start(r#"not_recorded = ["117"]"#);
    post_transfer(&inside);
    inside.turn(10 * MINUTE);
    wait_for_requests(&pbx, SECOND_LEG, 1);
    wait_for("it was found", WITHIN, || flags(&inside).len() == 1);
    inside.turn(24 * HOUR);
    inside.files.wait_for_recordings("archived", 1);
    assert_eq!(pbx.requests_of(FIRST).len(), 0);
}

#[test]
fn what_is_not_there_is_looked_for_three_times_and_is_no_failure() {
    let answers = [
        Answer::status(404),
        Answer::redirect("http://127.0.0.1:9/login"),
        Answer::ok("<html>log in first</html>"),
        Answer::ok(""),
    ];
    thread::scope(|scope| {
        for nothing in answers {
            scope.spawn(|| check_nothing_there(nothing));
        }
    });
}

fn check_nothing_there(nothing: Answer) {
    let (pbx, inside) = start(r#"not_recorded = ["204"]"#);
    pbx.script(FIRST, [nothing]);
    post_transfer(&inside);
    let pauses = [10 * MINUTE, 2 * HOUR, 20 * HOUR];
    for (before, pause) in pauses.into_iter().enumerate() {
        let due = inside
            .files
            .number("SELECT due_ms FROM foretold WHERE leg = 1");
        assert_eq!(due, inside.clock.now().plus(pause).0);
        inside.turn(pause);
        wait_for_requests(&pbx, FIRST, before + 1);
        let tries = "SELECT tries FROM foretold WHERE leg = 1";
        inside.wait_for_number(tries, before as i64 + 1);
    }
    inside.turn(30 * 24 * HOUR);
    look_all_through(&pbx, &inside, "260105100000_9");
    assert_eq!(pbx.requests_of(FIRST).len(), 3);
    assert_eq!(flags(&inside), [] as [Value; 0]);
    assert_eq!(inside.status().pbxs[0].failed, 0);
}

#[test]
fn a_pbx_that_is_away_was_not_asked() {
    let (mut pbx, inside) = start(r#"not_recorded = ["204"]"#);
    pbx.go_down();
    post_transfer(&inside);
    for _ in 0..5 {
        inside.turn(10 * MINUTE);
        let now_ms = inside.clock.now().0;
        let put_off = format!(
            "SELECT count(*) FROM foretold WHERE due_ms > {now_ms} AND tries = 0 AND leg = 1"
        );
        inside.wait_for_number(&put_off, 1);
    }
    pbx.come_back();
    inside.turn(10 * MINUTE);
    wait_for("it was found", WITHIN, || flags(&inside).len() == 1);
}

/// Time in which nothing ran is none in which the PBX could have been asked.
#[test]
fn a_pbx_that_lets_nobody_in_is_asked_for_as_long_as_it_keeps_the_file() {
    let (pbx, mut inside) = start("source_keeps = \"1d\"\nnot_recorded = [\"204\"]");
    pbx.script(FIRST, [Answer::status(403)]);
    post_transfer(&inside);
    inside.turn(10 * MINUTE);
    let put_off = |inside: &Inside| {
        let now_ms = inside.clock.now().0;
        let sql = format!("SELECT count(*) FROM foretold WHERE due_ms > {now_ms} AND leg = 1");
        inside.wait_for_number(&sql, 1);
    };
    put_off(&inside);
    inside.stop();
    inside.turn(72 * HOUR);
    inside.start_again();
    put_off(&inside);
    inside.turn(25 * HOUR);
    inside.wait_for_number(
        "SELECT count(*) FROM foretold WHERE due_ms IS NULL AND leg = 1",
        1,
    );
    assert_eq!(flags(&inside), [] as [Value; 0]);
}

#[test]
fn an_announcement_that_comes_first_ends_the_search() {
    let (pbx, inside) = start("");
    post_transfer(&inside);
    inside.turn(9 * MINUTE);
    for recording in [FIRST, SECOND_LEG] {
        inside.announce("hq", recording);
    }
    inside.files.wait_until_read();
    inside.turn(SECOND);
    inside.files.wait_for_recordings("archived", 2);
    look_all_through(&pbx, &inside, "260105100000_1");
    assert_eq!(
        pbx.requests_of(FIRST).len() + pbx.requests_of(SECOND_LEG).len(),
        2
    );
    assert!(
        flags(&inside).iter().all(|row| row[2] == json!([])),
        "{:?}",
        flags(&inside)
    );
}
