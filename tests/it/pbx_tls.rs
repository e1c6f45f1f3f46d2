//! A PBX behind HTTPS: whom the service trusts, and where it connects.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::support::hook::{Request, acknowledged, target};
use crate::support::outcome::{self, Archived, assert_archive_holds, codes, outcome, url};
use crate::support::pbx::{self, Answer, Pbx, audio};
use crate::support::service::{Service, Setup};
use crate::support::tls::Authority;
use crate::support::wait::wait_for;

const FULL: &str = "230307142318_40-2-1";
/// The line of a PBX's section; `start` says where that is.
const CA: &str = "ca_file = \"CA.pem\"";
const HERE: &str = "127.0.0.1";
const NAME: &str = "pbx.test.invalid";
const WITHIN: Duration = Duration::from_secs(20);

/// One PBX of a service that has several.
struct Site {
    name: &'static str,
    base_url: String,
    more: String,
}

fn site(name: &'static str, base_url: &str, more: &str) -> Site {
    Site {
        name,
        base_url: base_url.to_owned(),
        more: more.to_owned(),
    }
}

/// A service that finds the authority's certificate where `CA` says.
fn start<'s>(authority: &Authority, sites: impl IntoIterator<Item = &'s Site>) -> Service {
    let setup = sites.into_iter().fold(Setup::new(), |setup, site| {
        setup.pbx(site.name, "UTC", &site.base_url, &site.more)
    });
    let mut service = setup.archive("retry", r#"["20ms"]"#).prepare();
    authority.write(&ca_path(&service));
    let ca = ca_path(&service).display().to_string();
    service.rewrite(&service.settings().replace("CA.pem", &ca));
    service.restart();
    service
}

fn ca_path(service: &Service) -> PathBuf {
    service.dir().join("authority.pem")
}

/// The same recording, announced by each.
fn announce(service: &Service, sites: &[Site]) {
    for site in sites {
        let request = Request::post(target(site.name), "text/plain", url(FULL));
        acknowledged(service.hook(), &request);
    }
    service.wait_until_read();
}

/// All tries so far, of which there are several, ended with this code.
fn assert_waits(service: &Service, name: &str, code: &str) {
    let id = format!("{name}/{FULL}");
    wait_for("it is tried again", WITHIN, || {
        outcome(service, &id).attempts > 2
    });
    let found = outcome(service, &id);
    let stood = (found.state.as_str(), found.code.as_deref());
    let why = service.json(&["show", &id]);
    let why = &why[0]["last_error"];
    assert_eq!(stood, ("pending", Some(code)), "{name}: {why}");
    let codes = codes(service, &id);
    let codes = codes.as_array().expect("an array");
    assert!(codes.iter().all(|one| one == code), "{name}: {codes:?}");
}

fn assert_all_archived(service: &Service, sites: &[Site]) {
    service.wait_for_recordings("archived", sites.len() as i64);
    let audio = audio(FULL);
    let ids: Vec<String> = sites
        .iter()
        .map(|site| format!("{}/{FULL}", site.name))
        .collect();
    let expected: Vec<Archived> = ids
        .iter()
        .map(|id| (id.as_str(), audio.as_slice(), [].as_slice()))
        .collect();
    assert_archive_holds(service, &expected);
}

/// Each is a wrong certificate until its settings, or the PBX, are put right.
#[test]
fn a_certificate_that_is_not_trusted_is_waited_for() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let unknown = Pbx::start_tls(ours.server(HERE));
    let other_authority = Pbx::start_tls(theirs.server(HERE));
    let expired = Pbx::start_tls(ours.expired_server(HERE));
    let other_name = Pbx::start_tls(ours.server(NAME));
    let sites = [
        site("unknown", &unknown.base_url(), ""),
        site("other-authority", &other_authority.base_url(), CA),
        site("expired", &expired.base_url(), CA),
        site("other-name", &other_name.base_url(), CA),
    ];
    let mut service = start(&ours, &sites);
    announce(&service, &sites);
    for site in &sites {
        assert_waits(&service, site.name, "pbx_tls");
    }
    let pbxs = [&unknown, &other_authority, &expired, &other_name];
    for pbx in pbxs {
        assert!(pbx.requests().is_empty(), "asked without trust");
    }
    assert_archive_holds(&service, &[]);

    // An authority for the first; for the others, a PBX that is what it should be.
    let put_right = Pbx::start_tls(ours.server(HERE));
    let mut settings = service.settings();
    for pbx in [&other_authority, &expired, &other_name] {
        settings = settings.replace(&pbx.base_url(), &put_right.base_url());
    }
    let ca = format!("[[pbx]]\nca_file = \"{}\"\n", ca_path(&service).display());
    let settings = settings.replacen("[[pbx]]\n", &ca, 1);
    service.rewrite(&settings);
    service.restart();
    assert_all_archived(&service, &sites);
}

#[test]
fn a_certificate_is_looked_at_again_by_the_schedule() {
    let pbx = Pbx::start_tls(Authority::new().server(HERE));
    let setup = Setup::hq(&pbx.base_url()).archive("retry", r#"["1m"]"#);
    let service = setup.start();
    outcome::announce(&service, FULL, None);
    let tried = "SELECT count(*) FROM attempts WHERE ended_at IS NOT NULL";
    wait_for("it is tried", WITHIN, || service.number(tried) == 1);
    let found = outcome(&service, &format!("hq/{FULL}"));
    let stood = (found.state.as_str(), found.code.as_deref(), found.attempts);
    assert_eq!(stood, ("pending", Some("pbx_tls"), 1), "{found:?}");
    // A minute, ±20 %; times are committed a little after the attempt has ended.
    let pause_ms = found.pause_ms.expect("a next time");
    assert!((47_998..=72_002).contains(&pause_ms), "{pause_ms} ms");
}

#[test]
fn a_name_that_resolves_nowhere_is_reached_at_another_address() {
    let authority = Authority::new();
    let named = Pbx::start_tls(authority.server(NAME));
    let plain = Pbx::start();
    let wrong = Pbx::start_tls(authority.server("other.test.invalid"));
    let to = |pbx: &Pbx| format!("{CA}\nconnect_to = \"{}\"", pbx.address());
    let named_at = format!("https://{NAME}:5001");
    let port = named.address().port();
    let host_only = format!("connect_to = \"{HERE}\"\n{CA}");
    let sites = [
        site("named", &named_at, &to(&named)),
        site("host-only", &format!("https://{NAME}:{port}"), &host_only),
        site("plain", &format!("http://{NAME}"), &to(&plain)),
    ];
    let lost = [
        site("wrong", &named_at, &to(&wrong)),
        site("nowhere", &named_at, CA),
    ];
    let service = start(&authority, sites.iter().chain(&lost));
    announce(&service, &lost);
    announce(&service, &sites);
    assert_waits(&service, "wrong", "pbx_tls");
    assert_waits(&service, "nowhere", "pbx_unreachable");
    assert_all_archived(&service, &sites);
    let hosts = |pbx: &Pbx| -> Vec<String> {
        let requests = pbx.requests();
        let host = |request: &pbx::Request| request.header("host").unwrap_or("none").to_owned();
        requests.iter().map(host).collect()
    };
    assert_eq!(hosts(&plain), [NAME]);
    let mut at_named = hosts(&named);
    at_named.sort();
    let mut expected = [format!("{NAME}:5001"), format!("{NAME}:{port}")];
    expected.sort();
    assert_eq!(at_named, expected);
}

/// TLS and HTTP that do not meet, and connections that end: nothing about trust.
#[test]
fn a_connection_that_ends_is_no_matter_of_trust() {
    let authority = Authority::new();
    let server = || authority.server(HERE);
    let mut ends_at_accept = Pbx::start_tls(server());
    let ends_at_request = Pbx::start_tls(server());
    ends_at_request.script(FULL, [Answer::hang_up()]);
    let cuts_at_request = Pbx::start_tls(server());
    cuts_at_request.script(FULL, [Answer::hang_up().cut(0)]);
    let no_tls = Pbx::start();
    let no_http = Pbx::start_tls(server());
    ends_at_accept.hang_up_at_accept();
    let sites = [
        site("ends-at-accept", &ends_at_accept.base_url(), CA),
        site("ends-at-request", &ends_at_request.base_url(), CA),
        site("cuts-at-request", &cuts_at_request.base_url(), CA),
        site("no-tls", &no_tls.base_url().replace("http:", "https:"), CA),
        site(
            "no-http",
            &no_http.base_url().replace("https:", "http:"),
            CA,
        ),
    ];
    let service = start(&authority, &sites);
    announce(&service, &sites);
    for site in &sites {
        assert_waits(&service, site.name, "pbx_unreachable");
    }
    assert_archive_holds(&service, &[]);
}

/// Under TLS the end of a connection is proved, so that a body without length is too.
#[test]
fn a_body_without_length_is_proved_by_tls() {
    let authority = Authority::new();
    let pbx = Pbx::start_tls(authority.server(HERE));
    let answer = || Answer::audio(FULL).without_length();
    pbx.script(FULL, [answer().cut(0), answer().cut(144 * 60), answer()]);
    let sites = [site("hq", &pbx.base_url(), CA)];
    let service = start(&authority, &sites);
    announce(&service, &sites);
    assert_all_archived(&service, &sites);
    let expected = json!(["body_short", "body_short", null]);
    assert_eq!(codes(&service, &format!("hq/{FULL}")), expected);
}
