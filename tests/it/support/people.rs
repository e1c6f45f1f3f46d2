//! People with tokens, and the archives that they ask.
//!
//! Never here: what they may do.

use callvault::app::{self, sockets::Sockets};
use callvault::clock::Clock;
use callvault::config;

use super::calls::RECORDINGS;
use super::hook::{Connection, Request, Scheme, corpus};
use super::pbx::Pbx;
use super::service::{Service, Setup};
use super::web::Ask;

/// A token for the person `{name} of the test`, as the verb prints it.
pub fn add(service: &Service, name: &str, role: &str, more: &[&str]) -> String {
    let person = format!("{name} of the test");
    let arguments = ["token", "add", name, "--person", &person, "--role", role];
    let output = service.cli(&[&arguments, more].concat());
    assert_eq!(output.status, 0, "{}", output.stderr);
    output.stdout.trim_end().to_owned()
}

/// As custody calls them.
pub fn actor(name: &str) -> String {
    format!("{name} of the test ({name})")
}

pub fn revoke(service: &Service, name: &str) {
    let output = service.cli(&["token", "revoke", name]);
    assert_eq!(output.status, 0, "{}", output.stderr);
}

/// The corpus of the PBX `hq`, archived.
pub fn archive(pbx: &Pbx) -> Service {
    let service = Setup::hq(&pbx.base_url()).start();
    post_corpus(&service, "hq");
    service.wait_for_recordings("archived", RECORDINGS.len() as i64);
    service
}

pub fn post_corpus(service: &Service, pbx: &str) {
    let rows = corpus();
    let requests: Vec<Request> = rows
        .iter()
        .map(|row| row.request(pbx, Scheme::Query))
        .collect();
    let replies = Connection::send_all(service.hook(), &requests).expect("answers");
    assert!(replies.iter().all(|reply| reply.status == 200));
    service.wait_until_read();
}

/// Of a recording of the PBX `hq`.
pub fn audio(recording: &str) -> Ask {
    super::web::get(format!("/api/v1/recordings/hq/{recording}/audio"))
}

/// Goes on in the test's own process, where time passes by hand.
pub async fn in_process(service: &mut Service) -> (app::Service, Clock) {
    assert!(service.terminate().status.success());
    let clock = Clock::by_hand(Clock::system().now());
    let settings = config::load(&service.config()).expect("the settings");
    let started = app::Service::start(&settings, clock.clone(), Sockets::default()).await;
    (started.expect("the service starts"), clock)
}
