//! Today's figures, and what happened along time: they say what the log says, and to each person of
//! what is theirs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::calls::RECORDINGS;
use crate::support::hook::{Connection, Request, Scheme, corpus};
use crate::support::inside::Inside;
use crate::support::pbx::{Answer, Pbx};
use crate::support::people;
use crate::support::service::Setup;
use crate::support::web::get;

const HOUR: Duration = Duration::from_secs(3600);
const HELD_UP: &str = "230307142318_40-1-1";

/// Two PBXs on two sides of the world, and the corpus of each; of both, one recording is held up.
fn inside(pbx: &Pbx) -> Inside {
    let url = pbx.base_url();
    let setup = Setup::hq(&url).pbx("far", "Pacific/Auckland", &url, "");
    let inside = Inside::start(setup.archive("retry", r#"["2h"]"#));
    let busy = || Answer::status(503);
    pbx.script(HELD_UP, [busy(), busy(), Answer::audio(HELD_UP)]);
    for pbx in ["hq", "far"] {
        let rows = corpus();
        let requests = rows.iter().map(|row| row.request(pbx, Scheme::Query));
        let requests: Vec<Request> = requests.collect();
        let replies = Connection::send_all(inside.hook(), &requests).expect("answers");
        assert!(replies.iter().all(|reply| reply.status == 200));
    }
    let count = 2 * RECORDINGS.len() as i64;
    inside.wait_for_number("SELECT count(*) FROM recordings", count);
    inside.turn(Duration::from_secs(10));
    inside.wait_for_attempts(count);
    inside
}

fn series(inside: &Inside, token: &str, query: &str) -> Value {
    let answer = get(format!("/api/v1/status/series{query}")).by(token);
    answer.send(inside.admin()).json()
}

fn sum(buckets: &Value, what: &str) -> i64 {
    let each = buckets.as_array().expect("buckets").iter();
    each.map(|bucket| bucket[what].as_i64().expect("a count"))
        .sum()
}

#[test]
fn today_is_the_day_that_it_is_at_the_pbx() {
    let pbx = Pbx::start();
    let inside = inside(&pbx);
    // 10:00 in Prague, 22:00 in Auckland. Two calls of today, by their ids.
    let rings = |pbx: &str, id: &str| {
        let event = json!({ "Event": "ringing", "Callerid": "1", "User": "117", "Id": id });
        inside.post(pbx, event.to_string());
        let call = &id[..id.len() - 2];
        let sql = format!("SELECT count(*) FROM calls WHERE pbx = '{pbx}' AND call = '{call}'");
        inside.wait_for_number(&sql, 1);
    };
    rings("hq", "260105100000_1-0");
    rings("far", "260105220000_1-0");
    let logged = |pbx: &str| {
        let sql = format!("SELECT count(DISTINCT seq) FROM events WHERE pbx = '{pbx}'");
        inside.files.number(&sql) as u64
    };
    let today = || {
        let of = |pbx: &callvault::catalog::status::PbxStatus| {
            let today = &pbx.today;
            let day = today.day.clone();
            (day, today.events, today.calls, today.recordings)
        };
        inside.status().pbxs.iter().map(of).collect::<Vec<_>>()
    };
    let day = |day: &str| day.to_owned();
    let (hq, far) = (logged("hq"), logged("far"));
    assert!(hq > 50 && far == hq, "{hq} {far}");
    let in_hq = (day("2026-01-05"), hq, 1, 10);
    assert_eq!(
        today(),
        [in_hq.clone(), (day("2026-01-05"), far, 1, 10)],
        "the corpus came today, its calls are of 2023"
    );
    inside.turn(3 * HOUR);
    assert_eq!(today(), [in_hq.clone(), (day("2026-01-06"), 0, 0, 0)]);
    rings("far", "260106010000_1-0");
    assert_eq!(today(), [in_hq, (day("2026-01-06"), 1, 1, 0)]);
    inside.turn(20 * HOUR);
    assert!(inside.status().pbxs.iter().all(|pbx| !pbx.silent));
    inside.turn(5 * HOUR);
    assert!(inside.status().pbxs.iter().all(|pbx| pbx.silent && pbx.act));
}

#[test]
fn what_happened_along_time_is_what_the_log_says() {
    let pbx = Pbx::start();
    let inside = inside(&pbx);
    let came_at = inside.clock.now();
    let waited = 3 * HOUR;
    inside.turn(waited);
    inside.wait_for_number(
        "SELECT count(*) FROM recordings WHERE state = 'archived'",
        20,
    );
    let (archived_at, token) = (
        inside.clock.now(),
        people::add(&inside.files, "all", "viewer", &[]),
    );
    inside.turn(HOUR);
    let logged = "SELECT count(DISTINCT seq) FROM events WHERE pbx = 'hq'";
    let logged = inside.files.number(logged);
    for (query, window, bucket_s, count) in [("", "24h", 900, 96), ("?window=7d", "7d", 7200, 84)] {
        let series = series(&inside, &token, query);
        assert_eq!(
            (&series["window"], &series["bucket_s"]),
            (&json!(window), &json!(bucket_s))
        );
        assert_eq!(series["pbxs"].as_array().map(Vec::len), Some(2));
        let buckets = &series["pbxs"][0]["buckets"];
        let whole = buckets.as_array().unwrap();
        assert_eq!(whole.len(), count);
        assert_eq!(whole[count - 1]["at"], series["to"], "up to now");
        let sums = ["events", "announced", "archived"].map(|what| sum(buckets, what));
        assert_eq!(sums, [logged, 10, 10], "{query}");
        let holds = |bucket: &&Value, at: &str| {
            let end: jiff::Timestamp = bucket["at"].as_str().unwrap().parse().unwrap();
            let at: jiff::Timestamp = at.parse().unwrap();
            let after_s = end.as_second() - at.as_second();
            (0..bucket_s).contains(&after_s)
        };
        let bucket_of = |at: &str| whole.iter().find(|bucket| holds(bucket, at)).unwrap();
        let came = bucket_of(&came_at.to_string());
        let a_minute = logged as f64 * 60.0 / bucket_s as f64;
        assert_eq!(came["events_per_minute"], a_minute, "{query}");
        let before = whole.iter().take_while(|bucket| bucket["at"] != came["at"]);
        assert!(before.clone().count() > 50 && before.clone().all(|one| one["pending"] == 0));
        if window == "24h" {
            assert_eq!(whole[count - 1]["delay_p50_s"], Value::Null);
            let waits = whole.iter().filter(|one| one["pending"] == 1).count() as i64;
            let expected_s = bucket_s * waits;
            let waited_s = waited.as_secs() as i64;
            assert!(
                (expected_s - waited_s).abs() <= bucket_s,
                "{waits} × {bucket_s}, {waited:?}"
            );
            let late = bucket_of(&archived_at.to_string());
            let late_s = late["delay_p95_s"].as_f64().unwrap();
            assert_eq!(
                (&late["archived"], &late["delay_p50_s"]),
                (&json!(1), &json!(late_s))
            );
            assert!(late_s >= waited.as_secs_f64(), "{late_s}");
        }
        assert_eq!(whole[count - 1]["pending"], 0);
    }
    let asked = get("/api/v1/status/series?window=1h").by(&token);
    asked.send(inside.admin()).assert_problem(400, "bad_query");
}

#[test]
fn a_scope_narrows_what_is_counted() {
    let pbx = Pbx::start();
    let inside = inside(&pbx);
    let extensions = |extensions: &str| format!("extension IN ({extensions})");
    for (name, more, pbxs, of_leg) in [
        ("all", vec![], vec!["hq", "far"], "1".to_owned()),
        ("far", vec!["--pbx", "far"], vec!["far"], "1".to_owned()),
        (
            "part",
            vec!["--pbx", "hq", "--extension", "204"],
            vec!["hq"],
            extensions("'204'"),
        ),
        (
            "two",
            vec!["--extension", "102", "--extension", "117"],
            vec!["hq", "far"],
            extensions("'102', '117'"),
        ),
        (
            "none",
            vec!["--extension", "999"],
            vec!["hq", "far"],
            extensions("'999'"),
        ),
    ] {
        let token = people::add(&inside.files, name, "viewer", &more);
        let series = series(&inside, &token, "");
        let shown = series["pbxs"].as_array().unwrap().iter();
        assert_eq!(
            shown.map(|one| &one["pbx"]).collect::<Vec<_>>(),
            pbxs,
            "{name}"
        );
        for one in series["pbxs"].as_array().unwrap() {
            let number = |what: &str| {
                let sql = what.replace("{pbx}", one["pbx"].as_str().unwrap());
                inside.files.number(&sql.replace("{mine}", &of_leg))
            };
            let events = match of_leg.as_str() {
                "1" => number("SELECT count(DISTINCT seq) FROM events WHERE pbx = '{pbx}'"),
                _ => number(
                    "SELECT count(DISTINCT e.seq) FROM events e JOIN legs l USING (pbx, call, leg) \
                     WHERE pbx = '{pbx}' AND {mine}",
                ),
            };
            let recordings =
                number("SELECT count(*) FROM recordings WHERE pbx = '{pbx}' AND {mine}");
            let pending = number(
                "SELECT count(*) FROM recordings WHERE pbx = '{pbx}' AND {mine} \
                 AND state = 'pending'",
            );
            let buckets = &one["buckets"];
            let found = ["events", "announced"].map(|what| sum(buckets, what));
            assert_eq!(found, [events, recordings], "{name} {}", one["pbx"]);
            assert_eq!(sum(buckets, "archived"), recordings - pending, "{name}");
            assert_eq!(buckets[95]["pending"], pending, "{name} {}", one["pbx"]);
            assert_eq!(events > 0, name != "none", "{name}");
        }
    }
}
