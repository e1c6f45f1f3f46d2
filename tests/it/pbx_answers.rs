//! What each answer of a PBX means: the state, the code, the next time, and that nothing but audio
//! is archived.

use std::time::Duration;

use serde_json::json;

use crate::support::hook::{Request, acknowledged, target};
use crate::support::outcome::{announce, assert_archive_holds, codes, outcome, url};
use crate::support::pbx::{Answer, Pbx, audio};
use crate::support::service::{Service, Setup};
use crate::support::wait::wait_for;

const FULL: &str = "230307142318_40-2-1";
const WITHIN: Duration = Duration::from_secs(20);

/// By the schedule of one minute, ±20 %.
const SCHEDULE: (i64, i64) = (48, 72);
/// Jitter is for the schedule only: what was asked for is what is waited.
const fn exactly(seconds: i64) -> (i64, i64) {
    (seconds, seconds)
}

struct Case {
    answer: Answer,
    code: &'static str,
    /// Until the next try, from and to, in seconds.
    pause_s: (i64, i64),
}

fn case(code: &'static str, pause_s: (i64, i64), answer: Answer) -> Case {
    Case {
        answer,
        code,
        pause_s,
    }
}

fn status(status: u16, retry_after: &str) -> Answer {
    Answer::status(status).header("Retry-After", retry_after)
}

fn cases() -> Vec<Case> {
    let audio = audio(FULL);
    let html = "<!DOCTYPE html><html><body>Please log in</body></html>";
    let xml = "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>";
    let ok = |body: &[u8]| Answer::ok(body).header("Content-Type", "audio/mpeg");
    vec![
        case("not_there", SCHEDULE, Answer::status(404).body(&*audio)),
        case("not_there", SCHEDULE, Answer::status(410)),
        case("not_audio", SCHEDULE, Answer::ok(html)),
        case(
            "not_audio",
            SCHEDULE,
            Answer::ok(html.repeat(3000)).chunked(),
        ),
        case("not_audio", SCHEDULE, ok(xml.as_bytes())),
        case("not_audio", SCHEDULE, ok(br#"{"error":"not found"}"#)),
        case("not_audio", SCHEDULE, ok(&[0; 10_000])),
        case("not_audio", SCHEDULE, ok(b"\xff")),
        case("body_empty", SCHEDULE, Answer::ok("")),
        case("body_empty", SCHEDULE, Answer::ok("").chunked()),
        case("body_empty", SCHEDULE, Answer::ok("").without_length()),
        case("body_short", SCHEDULE, ok(&audio).cut(0)),
        case("body_short", SCHEDULE, ok(&audio).cut(5000)),
        case("body_short", SCHEDULE, ok(&audio).length_off_by(1)),
        case("body_short", SCHEDULE, ok(html.as_bytes()).length_off_by(1)),
        case("body_short", SCHEDULE, ok(&audio).chunked_without_end()),
        case("body_short", SCHEDULE, ok(&audio).chunked().cut(5000)),
        case("doubtful", exactly(600), ok(&audio[..1000])),
        case("doubtful", exactly(600), ok(&audio).length_off_by(-5)),
        case("pbx_failed", SCHEDULE, Answer::status(500).body(&*audio)),
        case("pbx_status", SCHEDULE, Answer::status(206).body(&*audio)),
        case("pbx_status", SCHEDULE, Answer::status(204)),
        case("pbx_status", SCHEDULE, Answer::status(418)),
        case("pbx_status", SCHEDULE, Answer::status(501)),
        case("redirect", SCHEDULE, Answer::status(304)),
        case("pbx_login", SCHEDULE, Answer::status(401)),
        case("pbx_login", SCHEDULE, Answer::status(403).body(html)),
        case("pbx_busy", SCHEDULE, Answer::status(429)),
        case("pbx_busy", exactly(300), status(429, "300")),
        case("pbx_busy", exactly(3600), status(429, "86400")),
        case(
            "pbx_busy",
            exactly(3600),
            status(429, &u64::MAX.to_string()),
        ),
        case("pbx_busy", SCHEDULE, Answer::status(502)),
        case("pbx_busy", SCHEDULE, status(503, "0")),
        case("pbx_busy", exactly(301), status(503, " 301 ")),
        case("pbx_busy", SCHEDULE, status(503, "soon")),
        case("pbx_busy", SCHEDULE, status(504, "-5")),
        case(
            "pbx_unreachable",
            SCHEDULE,
            Answer::garbage("SSH-2.0-x\r\n"),
        ),
        case("pbx_unreachable", SCHEDULE, Answer::garbage(&*audio)),
        case("pbx_unreachable", SCHEDULE, Answer::hang_up()),
    ]
}

#[test]
fn each_bad_answer_has_its_code_and_its_next_time() {
    let pbx = Pbx::start();
    let setup = Setup::hq(&pbx.base_url()).archive("retry", r#"["1m"]"#);
    let service = setup.archive("recheck_doubtful", r#""10m""#).start();
    let cases = cases();
    let name = |counter: usize| format!("230307142318_{counter}-1-1");
    for (counter, case) in cases.iter().enumerate() {
        pbx.script(&name(counter), [case.answer.clone()]);
        announce(&service, &name(counter), None);
    }
    let tried = "SELECT count(*) FROM attempts WHERE ended_at IS NOT NULL";
    wait_for("each is tried", WITHIN, || {
        service.number(tried) == cases.len() as i64
    });
    for (counter, case) in cases.iter().enumerate() {
        let found = outcome(&service, &format!("hq/{}", name(counter)));
        let what = format!("{:?}: {found:?}", case.answer);
        let what = &what[..what.floor_char_boundary(300)];
        let stood = (found.state.as_str(), found.code.as_deref(), found.attempts);
        assert_eq!(stood, ("pending", Some(case.code), 1), "{what}");
        let (from, to) = case.pause_s;
        // Times are committed a little after the attempt has ended, never before.
        let pause_ms = found.pause_ms.expect(what);
        assert!(
            (from * 1000 - 2..=to * 1000 + 2).contains(&pause_ms),
            "{pause_ms}: {what}"
        );
        assert_eq!(pbx.requests_of(&name(counter)).len(), 1, "{what}");
    }
    assert_archive_holds(&service, &[]);
}

/// Neither the place nor the credentials of a redirect's target are the PBX's to choose.
#[test]
fn a_redirect_is_never_followed() {
    let elsewhere = Pbx::start();
    let pbx = Pbx::start();
    let target = format!("{}/webapi/recording/{FULL}.mp3", elsewhere.base_url());
    let statuses = [301, 302, 303, 307, 308];
    let redirects = statuses.map(|status| Answer::status(status).header("Location", &target));
    pbx.script(FULL, redirects.into_iter().chain([Answer::audio(FULL)]));
    let here = format!("/webapi/recording/{FULL}.mp3?again");
    pbx.script_path(&here, [Answer::audio(FULL)]);
    let setup = Setup::hq(&pbx.base_url()).archive("retry", r#"["1ms"]"#);
    let service = setup.start();
    announce(&service, FULL, Some(6));
    service.wait_for_recordings("archived", 1);
    let expected = json!([
        "redirect", "redirect", "redirect", "redirect", "redirect", null
    ]);
    assert_eq!(codes(&service, &format!("hq/{FULL}")), expected);
    assert!(
        elsewhere.requests().is_empty(),
        "{:?}",
        elsewhere.requests()
    );
    assert_eq!(pbx.requests().len(), 6, "nothing but what was announced");
    assert_archive_holds(&service, &[(&format!("hq/{FULL}"), &audio(FULL), &[])]);
}

fn start_with_login(pbx: &Pbx, login: &str) -> Service {
    let setup = Setup::new().pbx("hq", "Europe/Prague", &pbx.base_url(), login);
    setup.archive("retry", r#"["1ms"]"#).start()
}

#[test]
fn basic_and_bearer_reach_the_pbx() {
    for (login, authorization) in [
        (
            "basic_user = \"archive\"\nbasic_password = \"pass:wörd\"",
            "Basic YXJjaGl2ZTpwYXNzOnfDtnJk",
        ),
        ("bearer = \"t0ken.of~trust\"", "Bearer t0ken.of~trust"),
    ] {
        let pbx = Pbx::start();
        pbx.want_login(authorization);
        // First as a stranger.
        let mut service = start_with_login(&pbx, "");
        announce(&service, FULL, None);
        service.wait_until_read();
        let id = format!("hq/{FULL}");
        wait_for("it is refused", WITHIN, || {
            outcome(&service, &id).code.as_deref() == Some("pbx_login")
        });
        assert_eq!(outcome(&service, &id).state, "pending");
        assert_archive_holds(&service, &[]);
        let before = pbx.requests();
        assert!(
            before
                .iter()
                .all(|request| request.header("authorization").is_none())
        );
        let place = "[[pbx]]\n";
        let settings = service
            .settings()
            .replace(place, &format!("{place}{login}\n"));
        service.rewrite(&settings);
        service.restart();
        service.wait_for_recordings("archived", 1);
        assert_archive_holds(&service, &[(&id, &audio(FULL), &[])]);
        let secret = login.rsplit('"').nth(1).expect("a quoted secret");
        assert!(!service.log().contains(secret), "a secret in the log");
    }
}

/// A PBX that is away, busy or does not know us loses nothing, however long that lasts.
#[test]
fn what_says_nothing_about_the_file_is_never_given_up() {
    let mut away = Pbx::start();
    away.go_down();
    let busy = Pbx::start();
    let strange = Pbx::start();
    busy.script(FULL, [Answer::status(503)]);
    strange.script(FULL, [Answer::status(403)]);
    let pbxs = [
        ("away", away.base_url(), "pbx_unreachable"),
        ("busy", busy.base_url(), "pbx_busy"),
        ("strange", strange.base_url(), "pbx_login"),
    ];
    let setup = pbxs.iter().fold(Setup::new(), |setup, (name, url, _)| {
        setup.pbx(name, "UTC", url, "source_keeps = \"1ms\"")
    });
    let service = setup.archive("retry", r#"["20ms"]"#).start();
    for (name, ..) in &pbxs {
        let request = Request::post(target(name), "text/plain", url(FULL));
        acknowledged(service.hook(), &request);
    }
    service.wait_until_read();
    for (name, _, code) in &pbxs {
        let id = format!("{name}/{FULL}");
        // The first attempt is past `source_keeps` already.
        wait_for("it is tried again and again", WITHIN, || {
            outcome(&service, &id).attempts > 5
        });
        let found = outcome(&service, &id);
        let stood = (found.state.as_str(), found.code.as_deref());
        assert_eq!(stood, ("pending", Some(*code)), "{found:?}");
    }
    assert_archive_holds(&service, &[]);
    away.come_back();
    busy.script(FULL, [Answer::audio(FULL)]);
    strange.script(FULL, [Answer::audio(FULL)]);
    service.wait_for_recordings("archived", 3);
    let audio = audio(FULL);
    let ids = pbxs.each_ref().map(|(name, ..)| format!("{name}/{FULL}"));
    let archived: Vec<_> = ids
        .iter()
        .map(|id| (id.as_str(), audio.as_slice(), [].as_slice()))
        .collect();
    assert_archive_holds(&service, &archived);
}
