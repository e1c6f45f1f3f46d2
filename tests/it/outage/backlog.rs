//! In which order a backlog drains.

use std::time::Duration;

use crate::support::inside::Inside;
use crate::support::pbx::{Answer, Pbx};
use crate::support::service::Setup;

const SECOND: Duration = Duration::from_secs(1);

/// A PBX that is away at first and then has everything.
struct Away {
    name: &'static str,
    pbx: Pbx,
    recordings: Vec<String>,
}

impl Away {
    fn new(name: &'static str, count: usize) -> Away {
        let mut pbx = Pbx::start();
        // The later a call, the smaller its number: neither names nor rows are in order of age.
        let name_of = |at| format!("230307142318_{}-1-1", 1000 - at);
        let recordings: Vec<String> = (0..count).map(name_of).collect();
        for recording in &recordings {
            pbx.script(recording, [Answer::audio("230307142318_40-1-1")]);
        }
        pbx.go_down();
        Away {
            name,
            pbx,
            recordings,
        }
    }

    fn setup(&self, setup: Setup, more: &str) -> Setup {
        setup.pbx(self.name, "Europe/Prague", &self.pbx.base_url(), more)
    }

    /// A second apart.
    fn announce(&self, inside: &Inside) {
        for recording in &self.recordings {
            inside.announce(self.name, recording);
            inside.turn(SECOND);
        }
    }
}

/// After so many failures in a row a PBX is away, and one recording at a time tries it.
const FAILURES: usize = 8;

/// Lets them be tried in vain, brings the PBXs back, and returns who was asked for what, in
/// order.
fn drained(inside: &Inside, pbxs: &mut [Away]) -> Vec<(&'static str, String)> {
    let all: usize = pbxs.iter().map(|away| away.recordings.len()).sum();
    inside.files.wait_until_read();
    inside.turn(SECOND);
    for away in pbxs.iter() {
        let (name, tried) = (away.name, away.recordings.len().min(FAILURES));
        let sql = format!(
            "SELECT min({tried}, count(*)) FROM attempts \
             WHERE ended_at IS NOT NULL AND recording GLOB '{name}/*'"
        );
        inside.wait_for_number(&sql, tried as i64);
    }
    inside.wait_for_number("SELECT count(*) FROM attempts WHERE ended_at IS NULL", 0);
    for away in pbxs.iter_mut() {
        away.pbx.come_back();
    }
    inside.turn(Duration::from_secs(3600));
    inside.files.wait_for_recordings("archived", all as i64);
    let mut asked: Vec<_> = pbxs
        .iter()
        .flat_map(|away| {
            away.pbx
                .requests()
                .into_iter()
                .map(|request| (away.name, request))
        })
        .collect();
    asked.sort_by_key(|(_, request)| request.at);
    let recording = |path: &str| {
        let file = path.strip_prefix("/webapi/recording/").unwrap();
        file.strip_suffix(".mp3").unwrap().to_owned()
    };
    asked
        .into_iter()
        .map(|(name, request)| (name, recording(&request.path)))
        .collect()
}

fn of<'a>(asked: &'a [(&str, String)], pbx: &str) -> Vec<&'a str> {
    let of_pbx = asked.iter().filter(|(name, _)| *name == pbx);
    of_pbx.map(|(_, recording)| recording.as_str()).collect()
}

/// Brings back one PBX with a large backlog and one with a small, and returns who was asked.
fn large_and_small(more: &str) -> ([Away; 2], Vec<(&'static str, String)>) {
    let mut pbxs = [Away::new("hq", 50), Away::new("branch", 5)];
    let setup = Setup::new()
        .archive("retry", r#"["30m"]"#)
        .archive("workers", "2");
    let setup = pbxs
        .iter()
        .fold(setup, |setup, away| away.setup(setup, more));
    let inside = Inside::start(setup);
    for away in &pbxs {
        away.announce(&inside);
    }
    let asked = drained(&inside, &mut pbxs);
    (pbxs, asked)
}

#[test]
fn each_pbx_is_asked_for_its_oldest_first() {
    // What is asked for at once may come in any order: so one at a time.
    let (pbxs, asked) = large_and_small("concurrency = 1");
    for away in &pbxs {
        // The newest may try whether it is back, as soon as it was seen to be away.
        let others = |recordings: &[String]| -> Vec<String> {
            let newest = away.recordings.last();
            let others = recordings
                .iter()
                .filter(|recording| Some(*recording) != newest);
            others.cloned().collect()
        };
        let asked: Vec<String> = of(&asked, away.name)
            .into_iter()
            .map(str::to_owned)
            .collect();
        assert_eq!(asked.len(), away.recordings.len());
        assert_eq!(others(&asked), others(&away.recordings));
    }
}

#[test]
fn a_small_backlog_does_not_wait_for_a_large_one() {
    let (_pbxs, asked) = large_and_small("");
    // All that `hq` has is older, and it may have both workers.
    let last = asked
        .iter()
        .rposition(|(name, _)| *name == "branch")
        .unwrap();
    assert!(last < 40, "the last of five is number {last}: {asked:?}");
}

/// The third has the youngest recordings, and two of the others are always under way.
#[test]
fn no_pbx_is_last_for_want_of_workers() {
    let mut pbxs = ["a", "b", "c"].map(|name| Away::new(name, 20));
    let setup = Setup::new()
        .archive("retry", r#"["30m"]"#)
        .archive("workers", "2");
    let setup = pbxs.iter().fold(setup, |setup, away| away.setup(setup, ""));
    let inside = Inside::start(setup);
    for away in &pbxs {
        away.announce(&inside);
    }
    let asked = drained(&inside, &mut pbxs);
    let first = of(&asked[..30], "c").len();
    assert!((8..=12).contains(&first), "{first} of ten: {asked:?}");
}

#[test]
fn what_its_pbx_deletes_first_goes_first() {
    let mut pbxs = [Away::new("keeps-long", 6), Away::new("keeps-a-day", 6)];
    let setup = Setup::new()
        .archive("retry", r#"["30m"]"#)
        .archive("workers", "1");
    let setup = pbxs[0].setup(setup, "source_keeps = \"30d\"");
    let setup = pbxs[1].setup(setup, "source_keeps = \"1d\"");
    let inside = Inside::start(setup);
    for away in &pbxs {
        away.announce(&inside);
    }
    let asked = drained(&inside, &mut pbxs);
    let (first, then) = asked.split_at(6);
    assert_eq!(of(first, "keeps-a-day"), pbxs[1].recordings);
    assert_eq!(of(then, "keeps-long"), pbxs[0].recordings);
}

#[test]
fn who_never_comes_to_an_end_leaves_a_place_for_others() {
    let slow = ["slow", "slower"].map(|name| (name, Pbx::start()));
    let good = Pbx::start();
    let recordings: Vec<String> = (1..=4).map(|n| format!("230307142318_{n}-1-1")).collect();
    let setup = Setup::new().archive("workers", "4");
    let setup = setup.pbx("hq", "Europe/Prague", &good.base_url(), "");
    let setup = slow.iter().fold(setup, |setup, (name, pbx)| {
        for recording in &recordings {
            let drip = Answer::audio("230307142318_40-1-1").drip(1, SECOND);
            pbx.script(recording, [drip]);
        }
        setup.pbx(name, "Europe/Prague", &pbx.base_url(), "")
    });
    let inside = Inside::start(setup);
    for (name, _) in &slow {
        recordings
            .iter()
            .for_each(|recording| inside.announce(name, recording));
    }
    inside.files.wait_until_read();
    inside.turn(10 * SECOND);
    inside.wait_for_number("SELECT count(*) FROM attempts WHERE ended_at IS NULL", 3);

    good.script(
        "230307142318_40-1-1",
        [Answer::audio("230307142318_40-1-1")],
    );
    inside.announce("hq", "230307142318_40-1-1");
    inside.files.wait_until_read();
    inside.turn(10 * SECOND);
    inside.files.wait_for_recordings("archived", 1);
}

/// Whoever edits the index by hand may leave in it what nobody can read.
#[test]
fn a_row_that_cannot_be_read_keeps_no_other_waiting() {
    let away = Away::new("hq", 3);
    let mut inside = Inside::start(away.setup(Setup::new().archive("retry", r#"["30m"]"#), ""));
    away.announce(&inside);
    inside.files.wait_until_read();
    inside.stop();
    let index = rusqlite::Connection::open(inside.files.data_dir().join("index.sqlite")).unwrap();
    let sql = "UPDATE recording SET dated = 'never', ripe = 0, due_ms = 0 WHERE recording = ?1";
    assert_eq!(index.execute(sql, [&away.recordings[0]]).unwrap(), 1);
    drop(index);
    let mut pbxs = [away];
    pbxs[0].pbx.come_back();
    inside.start_again();
    inside.turn(Duration::from_secs(3600));
    inside.files.wait_for_recordings("archived", 2);
    let failed = "SELECT json_array(recording, code) FROM recordings WHERE state = 'failed'";
    let id = format!("hq/{}", pbxs[0].recordings[0]);
    assert_eq!(
        inside.files.rows(failed),
        [serde_json::json!([id, "index_row"])]
    );
}
