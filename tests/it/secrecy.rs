//! What is said at its most talkative, of much that fails: never a secret. The service and the
//! verbs of every test are searched (`support/secrets`); here they are given cause to speak.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::hook::{self, Request, acknowledged, target};
use crate::support::outcome::{codes, url};
use crate::support::pbx::{Answer, Pbx};
use crate::support::people;
use crate::support::service::{SECRET, Service, Setup};
use crate::support::vault::Vault;
use crate::support::wait::wait_for;
use crate::support::web::get;

const PASSWORD: &str = "corr\u{e9}ct \"horse\" +/% battery";
const BEARER: &str = "staple.0123456789+/=~token";
const RECORDING: &str = "230307142318_40-2-1";
const WITHIN: Duration = Duration::from_secs(20);

#[test]
fn whatever_fails_no_secret_is_said() {
    let vault = Vault::bucket();
    let (basic, bearer) = (Pbx::start(), Pbx::start());
    let quoted = PASSWORD.replace('"', "\\\"");
    let login = format!("basic_user = \"archive\"\nbasic_password = \"{quoted}\"");
    let setup = Setup::new()
        .pbx("hq", "Europe/Prague", &basic.base_url(), &login)
        .pbx(
            "branch",
            "UTC",
            &bearer.base_url(),
            &format!("bearer = \"{BEARER}\""),
        );
    let mut service = vault.set_up(setup).env("CALLVAULT_LOG", "trace").start();
    // Both are told that their login is wrong, and then that it is right.
    for pbx in [&basic, &bearer] {
        let refusals = [401, 403, 500].map(Answer::status);
        pbx.script(
            RECORDING,
            refusals.into_iter().chain([Answer::audio(RECORDING)]),
        );
    }
    for pbx in ["hq", "branch"] {
        let request = Request::post(target(pbx), "text/plain", url(RECORDING));
        acknowledged(service.hook(), &request);
    }
    service.wait_for_recordings("archived", 2);
    by_the_wrong_door(&service);
    with_token_and_cookie(&service);
    with_wrong_settings(&service);
    refused_by_the_store(&mut service);
    assert!(
        service.log().contains("TRACE"),
        "it said too little to tell"
    );
    for verb in ["jobs", "status", "search"] {
        service.cli(&[verb]);
    }
}

/// Of all that was at hand where it came, which the words of a panic may quote.
#[test]
fn a_panic_says_where_it_was_and_no_secret() {
    let vault = Vault::bucket();
    let pbx = Pbx::start();
    pbx.script(RECORDING, [Answer::audio(RECORDING)]);
    let announcement = Request::post(target("hq"), "text/plain", url(RECORDING));
    for (point, at) in [
        ("before-log!", "src/http/hook.rs"),
        ("before-put!", "src/pipeline/upload.rs"),
    ] {
        let service = vault
            .set_up(Setup::hq(&pbx.base_url()))
            .env("CALLVAULT_LOG", "trace")
            .env("RUST_BACKTRACE", "1")
            .env("CALLVAULT_FAILPOINT", point);
        let mut service = service.start();
        if point.contains("log") {
            let answered = hook::send(service.hook(), &announcement);
            assert!(answered.is_err(), "it was to panic: {answered:?}");
        }
        acknowledged(service.hook(), &announcement);
        service.wait_for_recordings("archived", 1);
        let panicked = format!("panicked at {at}");
        assert_eq!(service.log().matches(&panicked).count(), 1, "{panicked}");
        let jobs = service.cli(&["show", &format!("hq/{RECORDING}")]).stdout;
        assert_eq!(jobs.contains("panicked"), point.contains("put"), "{jobs}");
        // By the name that it has in the operators' list.
        let codes = codes(&service, &format!("hq/{RECORDING}"));
        let expected = match point.contains("put") {
            true => json!(["panicked", null]),
            false => json!([null]),
        };
        assert_eq!(codes, expected);
        service.terminate();
    }
}

fn by_the_wrong_door(service: &Service) {
    for target in [
        format!("/{SECRET}"),
        format!("/hook/hq/{SECRET}/{SECRET}"),
        format!("/hook/{SECRET}"),
        format!("/hook/other/{SECRET}?secret={SECRET}"),
        format!("/hook/hq/%30{}", &SECRET[1..]),
        format!("/hook/hq/{SECRET}\0"),
        SECRET.to_owned(),
        format!("/api/v1/recordings?token={BEARER}&secret={SECRET}"),
    ] {
        for to in [service.hook(), service.admin()] {
            // Some are no HTTP: any answer will do.
            let _ = hook::send(to, &Request::get(target.as_str()));
            let _ = hook::send(to, &Request::post(target.as_str(), "text/plain", SECRET));
        }
    }
}

fn with_token_and_cookie(service: &Service) {
    let token = people::add(service, "kim", "listener", &[]);
    let wrong = format!("cv_{}", "w".repeat(43));
    for token in [token.as_str(), wrong.as_str(), SECRET] {
        for target in ["/api/v1/recordings", "/api/v1/nothing", "/api/v1/tokens"] {
            get(target).by(token).send(service.admin());
        }
        get(format!("/?token={token}")).send(service.admin());
    }
    let page = hook::send(service.admin(), &Request::get("/sign-in")).unwrap();
    let text = String::from_utf8_lossy(&page.body).into_owned();
    let form = text.split("name=\"form\" value=\"").nth(1).expect("a form");
    let form = &form[..form.find('"').unwrap()];
    service.secrets.learn(form);
    let fields = [("form", form), ("token", &token), ("to", "/")];
    let body = serde_urlencoded::to_string(fields).unwrap();
    let mut sign_in = Request::post("/sign-in", "application/x-www-form-urlencoded", body);
    let own = ("Cookie".to_owned(), format!("callvault_form={form}"));
    sign_in.headers.push(own);
    let reply = hook::send(service.admin(), &sign_in).unwrap();
    assert_eq!(reply.status, 303);
    let cookie = reply.header("set-cookie").expect("a cookie");
    let cookie = cookie.split(';').next().unwrap();
    service.secrets.learn(cookie.split('=').nth(1).unwrap());
    for target in ["/", "/call/hq/230307142318_40", "/nothing", "/tokens"] {
        let mut visit = Request::get(target);
        visit.headers.push(("Cookie".to_owned(), cookie.to_owned()));
        hook::send(service.admin(), &visit).unwrap();
    }
}

/// A secret in the place of something else, or cut off, in a file that is read again.
fn with_wrong_settings(service: &Service) {
    let right = service.settings();
    let line = format!("hook_secret = \"{SECRET}\"");
    for wrong in [
        format!("hook_secret_file = \"{SECRET}\""),
        format!("hook_secret = \"{SECRET}"),
        format!("hook_secret = \"{SECRET}!\""),
        format!("hook_secret = [\"{SECRET}\", \"{SECRET} {BEARER}\"]"),
        format!("{line}\nbasic_user = \"{PASSWORD}:\""),
        format!("{line}\nconnect_to = \"https://archive:{BEARER}@pbx\""),
        format!("{line}\nbearer = 5\nbasic_pasword = \"{BEARER}\""),
    ] {
        let before = service.log().matches("not reloaded").count();
        service.rewrite(&right.replacen(&line, &wrong, 1));
        assert_eq!(service.cli(&["check"]).status, 64, "{wrong}");
        service.signal(Signal::HUP);
        wait_for("it says that it was not reloaded", WITHIN, || {
            service.log().matches("not reloaded").count() > before
        });
    }
    service.rewrite(&right);
}

fn refused_by_the_store(service: &mut Service) {
    let settings = service.settings();
    let at = settings
        .find("secret_key = \"")
        .expect("a key of the store");
    let wrong =
        settings[..at].to_owned() + &settings[at..].replacen("secret-of-", "no-secret-of-", 1);
    service.rewrite(&wrong);
    service.restart();
    let other = "230307144544_42-1-1";
    let request = Request::post(target("hq"), "text/plain", url(other));
    acknowledged(service.hook(), &request);
    let sql = "SELECT count(*) FROM attempts WHERE stage = 'upload' AND code IS NOT NULL";
    wait_for("the store refuses", WITHIN, || service.number(sql) > 0);
    service.cli(&["check", "--online"]);
    service.terminate();
}
