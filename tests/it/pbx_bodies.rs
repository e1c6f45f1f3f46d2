//! Bodies that are less than the whole recording: what is fetched again, what is archived in the
//! end, and with which flags.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::inside::Inside;
use crate::support::outcome::{self, Archived, announce, assert_archive_holds, codes, outcome};
use crate::support::pbx::{Answer, Pbx, audio};
use crate::support::service::{Service, Setup};
use crate::support::wait::wait_for;

/// 94 frames of 144 bytes and 72 ms, for a leg of six seconds.
const FULL: &str = "230307142318_40-2-1";
const LEG_S: u32 = 6;
const FRAME_BYTES: usize = 144;
const WITHIN: Duration = Duration::from_secs(20);

fn frames(count: usize) -> Vec<u8> {
    audio(FULL)[..count * FRAME_BYTES].to_owned()
}

fn name(counter: usize) -> String {
    format!("230307142318_{counter}-1-1")
}

fn id(counter: usize) -> String {
    format!("hq/{}", name(counter))
}

/// What a PBX gives, one after another, for a leg of six seconds, and what comes of it.
struct Case {
    what: &'static str,
    script: Vec<Answer>,
    codes: Value,
    /// None where there is nothing to archive.
    archived: Option<(Vec<u8>, &'static [&'static str])>,
}

fn check(service: &Service, pbx: &Pbx, cases: &[Case]) {
    for (counter, case) in cases.iter().enumerate() {
        pbx.script(&name(counter), case.script.clone());
        announce(service, &name(counter), Some(LEG_S));
    }
    let settled = "SELECT count(*) FROM recordings WHERE state <> 'pending'";
    wait_for("all are archived or given up", WITHIN, || {
        service.number(settled) == cases.len() as i64
    });
    let mut archived: Vec<(String, &[u8], &[&str])> = Vec::new();
    for (counter, case) in cases.iter().enumerate() {
        let found = outcome(service, &id(counter));
        let what = format!("{}: {found:?}", case.what);
        match &case.archived {
            Some((body, flags)) => archived.push((id(counter), body, flags)),
            None => assert_eq!(found.state, "failed", "{what}"),
        }
        let mut codes = codes(service, &id(counter));
        let codes = codes.as_array_mut().expect("an array");
        if case.codes[0] == "…" {
            // However often it was tried, the end is what counts.
            codes.dedup();
            codes.insert(0, json!("…"));
        }
        assert_eq!(json!(codes), case.codes, "{what}");
        let last = codes.last().and_then(Value::as_str);
        assert_eq!(found.code.as_deref(), last, "{what}");
    }
    let archived: Vec<Archived> = archived
        .iter()
        .map(|(id, body, flags)| (id.as_str(), *body, *flags))
        .collect();
    assert_archive_holds(service, &archived);
}

#[test]
fn a_body_in_doubt_is_fetched_until_it_is_whole_or_stays_so() {
    let full = audio(FULL);
    let cut = || Answer::ok(&full[..5000]);
    let of = |count| Answer::ok(frames(count)).without_length();
    let cases = [
        Case {
            what: "a file that grows frame by frame",
            script: vec![of(30), of(50), of(94)],
            codes: json!(["doubtful", "doubtful", null]),
            archived: Some((full.clone(), &[])),
        },
        Case {
            what: "a file that grows and is cut on the way",
            script: vec![cut(), of(50), of(94)],
            codes: json!(["doubtful", "doubtful", null]),
            archived: Some((full.clone(), &[])),
        },
        Case {
            what: "a file that nobody writes on",
            script: vec![of(30), of(30), of(94)],
            codes: json!(["doubtful", null]),
            archived: Some((frames(30), &["short"])),
        },
        Case {
            what: "a file that grows and then stays short",
            script: vec![of(30), of(50), of(50), of(94)],
            codes: json!(["doubtful", "doubtful", null]),
            archived: Some((frames(50), &["short"])),
        },
        Case {
            what: "the last frame is cut for good",
            script: vec![Answer::ok(&full[..full.len() - 1])],
            codes: json!(["doubtful", null]),
            archived: Some((full[..full.len() - 1].to_owned(), &["cut"])),
        },
        Case {
            what: "cut and short for good",
            script: vec![cut()],
            codes: json!(["doubtful", null]),
            archived: Some((full[..5000].to_owned(), &["cut", "short"])),
        },
        Case {
            what: "a Content-Length that cuts the body",
            script: vec![Answer::ok(&*full).length_off_by(-5), Answer::ok(&*full)],
            codes: json!(["doubtful", null]),
            archived: Some((full.clone(), &[])),
        },
        Case {
            what: "as short as a leg's end may be",
            script: vec![of(56)],
            codes: json!([null]),
            archived: Some((frames(56), &[])),
        },
        Case {
            what: "truncated, and whole at the next try",
            script: vec![Answer::ok(&*full).cut(5000), Answer::ok(&*full)],
            codes: json!(["body_short", null]),
            archived: Some((full.clone(), &[])),
        },
        Case {
            what: "truncated twice at the same place is no proof",
            script: vec![
                Answer::ok(&*full).cut(5000),
                Answer::ok(&*full).cut(5000),
                Answer::ok(&*full).chunked_without_end(),
                Answer::ok(&*full).chunked_without_end(),
                Answer::ok(&*full).chunked(),
            ],
            codes: json!(["body_short", "body_short", "body_short", "body_short", null]),
            archived: Some((full.clone(), &[])),
        },
        Case {
            what: "in doubt, then broken off, then in doubt as before",
            script: vec![of(30), Answer::ok(&*full).cut(100), of(30)],
            codes: json!(["doubtful", "body_short", null]),
            archived: Some((frames(30), &["short"])),
        },
        Case {
            what: "in doubt, then an error page, then whole",
            script: vec![of(30), Answer::ok("<html>"), Answer::status(404), of(94)],
            codes: json!(["doubtful", "not_audio", "not_there", null]),
            archived: Some((full.clone(), &[])),
        },
    ];
    let pbx = Pbx::start();
    let setup = Setup::hq(&pbx.base_url()).archive("retry", r#"["5ms"]"#);
    let service = setup.archive("recheck_doubtful", r#""50ms""#).start();
    check(&service, &pbx, &cases);
    for (counter, case) in cases.iter().enumerate() {
        let asked = pbx.requests_of(&name(counter)).len();
        assert_eq!(
            asked,
            case.codes.as_array().map_or(0, Vec::len),
            "{}",
            case.what
        );
    }
}

#[test]
fn on_giving_up_the_best_audio_is_taken() {
    let full = audio(FULL);
    let cut_at = |bytes| Answer::ok(&*full).cut(bytes);
    let gone = || Answer::status(404);
    let cases = [
        Case {
            what: "never there",
            script: vec![gone()],
            codes: json!(["…", "not_there"]),
            archived: None,
        },
        Case {
            what: "always an error page",
            script: vec![Answer::ok("<html>sorry</html>")],
            codes: json!(["…", "not_audio"]),
            archived: None,
        },
        Case {
            what: "always empty",
            script: vec![Answer::ok("")],
            codes: json!(["…", "body_empty"]),
            archived: None,
        },
        Case {
            what: "always elsewhere",
            script: vec![Answer::redirect("https://127.0.0.1:9/")],
            codes: json!(["…", "redirect"]),
            archived: None,
        },
        Case {
            what: "broken off before a frame",
            script: vec![cut_at(100)],
            codes: json!(["…", "body_short"]),
            archived: None,
        },
        Case {
            what: "always broken off at the same place",
            script: vec![cut_at(5000)],
            codes: json!(["…", "body_short", null]),
            archived: Some((full[..5000].to_owned(), &["cut", "short"])),
        },
        Case {
            what: "broken off here and there: the longest",
            script: vec![cut_at(5000), cut_at(9000), cut_at(3000)],
            codes: json!(["…", "body_short", null]),
            archived: Some((full[..9000].to_owned(), &["cut"])),
        },
        Case {
            what: "all there is, but never the end that was promised",
            script: vec![Answer::ok(&*full).length_off_by(1000)],
            codes: json!(["…", "body_short", null]),
            archived: Some((full.clone(), &["cut"])),
        },
        Case {
            what: "all there is, but never the last chunk",
            script: vec![Answer::ok(&*full).chunked_without_end()],
            codes: json!(["…", "body_short", null]),
            archived: Some((full.clone(), &["cut"])),
        },
        Case {
            what: "broken off, then gone",
            script: vec![cut_at(5000), gone()],
            codes: json!(["…", "body_short", "not_there", null]),
            archived: Some((full[..5000].to_owned(), &["cut", "short"])),
        },
        Case {
            what: "short, then gone",
            script: vec![Answer::ok(frames(30)), gone()],
            codes: json!(["…", "doubtful", "not_there", null]),
            archived: Some((frames(30), &["short"])),
        },
        Case {
            what: "short, then an error page",
            script: vec![Answer::ok(frames(30)), Answer::ok("<html>")],
            codes: json!(["…", "doubtful", "not_audio", null]),
            archived: Some((frames(30), &["short"])),
        },
    ];
    let pbx = Pbx::start();
    let keeps = "source_keeps = \"2500ms\"\nconcurrency = 12";
    let setup = Setup::new().pbx("hq", "Europe/Prague", &pbx.base_url(), keeps);
    let setup = setup
        .archive("workers", "12")
        .archive("retry", r#"["50ms"]"#);
    let service = setup.archive("recheck_doubtful", r#""50ms""#).start();
    check(&service, &pbx, &cases);
    let early = "SELECT count(*) FROM recordings r WHERE \
        (SELECT julianday(max(ended_at)) FROM attempts a WHERE a.recording = r.recording) \
        < julianday(announced_at) + 2.499 / 86400";
    assert_eq!(service.number(early), 0, "given up before the PBX does");
    // What failed is not lost: a person opens a new window, and by then it is there.
    pbx.script(&name(0), [Answer::ok(&*full)]);
    let retried = service.cli(&["jobs", "retry", &id(0)]);
    assert_eq!(retried.status, 0, "{}", retried.stderr);
    wait_for("it is archived after all", WITHIN, || {
        outcome(&service, &id(0)).state == "archived"
    });
}

/// The first fetch is past all windows already, and it is the only one.
#[test]
fn a_window_that_is_past_takes_what_it_gets() {
    let cases = [
        Case {
            what: "short",
            script: vec![Answer::ok(frames(30))],
            codes: json!(["doubtful", null]),
            archived: Some((frames(30), &["short"])),
        },
        Case {
            what: "broken off",
            script: vec![Answer::audio(FULL).cut(5000)],
            codes: json!(["body_short", null]),
            archived: Some((audio(FULL)[..5000].to_owned(), &["cut", "short"])),
        },
        Case {
            what: "whole",
            script: vec![Answer::audio(FULL)],
            codes: json!([null]),
            archived: Some((audio(FULL), &[])),
        },
        Case {
            what: "gone",
            script: vec![Answer::status(410)],
            codes: json!(["not_there"]),
            archived: None,
        },
    ];
    let pbx = Pbx::start();
    let keeps = "source_keeps = \"1ms\"";
    let setup = Setup::new().pbx("hq", "Europe/Prague", &pbx.base_url(), keeps);
    let service = setup.start();
    check(&service, &pbx, &cases);
    for counter in 0..cases.len() {
        assert_eq!(pbx.requests_of(&name(counter)).len(), 1);
    }
}

#[test]
fn a_body_that_is_never_the_same_twice_is_asked_for_less_and_less() {
    let pbx = Pbx::start();
    pbx.script(&name(1), (10..20).map(|count| Answer::ok(frames(count))));
    let setup = Setup::hq(&pbx.base_url()).archive("recheck_doubtful", r#""60s""#);
    let inside = Inside::start(setup);
    let (leg, minutes) = ("230307142318_1-1", |count: u64| {
        Duration::from_secs(60 * count)
    });
    let ended = json!({"Event": "incoming", "Callerid": "05552221133", "User": "117",
        "Finishtype": "Ok", "Duration": "00:06", "Id": leg, "FileUrls": [outcome::url(&name(1))]});
    inside.post("hq", ended.to_string());
    inside.files.wait_until_read();
    inside.turn_to_next_try();
    // After so many minutes, the next pause.
    let passed: [(u64, u64); 4] = [(0, 1), (1, 1), (300, 30), (1200, 60)];
    for ((later, pause), attempt) in passed.into_iter().zip(1..) {
        inside.turn(minutes(later));
        inside.wait_for_attempts(attempt);
        let sql = "SELECT max(strftime('%s', next_at)) FROM recordings WHERE code = 'doubtful'";
        let next_s = inside.files.rows(&format!("SELECT json_array(({sql}))"));
        let next_s: i64 = next_s[0][0].as_str().expect("a time").parse().unwrap();
        let ahead_s = next_s - inside.clock.now().0 / 1000;
        let expected_s = minutes(pause).as_secs() as i64;
        let within = expected_s - 10..=expected_s + expected_s / 10;
        assert!(within.contains(&ahead_s), "{attempt}: {ahead_s} s");
    }
}
