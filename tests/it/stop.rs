//! The service is stopped, or killed: nothing is lost, nothing is done twice.

use std::time::Duration;

use crate::support::calls::{announce, keys, spooled, url};
use crate::support::pbx::{Answer, Pbx, audio};
use crate::support::service::{Service, Setup};
use crate::support::vault::{Vault, on_both_stores};
use crate::support::wait::wait_for;

on_both_stores!(a_short_download_is_finished, a_long_download_is_handed_back);

const SLOW: &str = "230307142318_40-1-1";
const WAITING: &str = "230307142318_40-2-1";

/// One recording is being downloaded at this pace, and one is due and waits for the only worker.
fn started(vault: &Vault, pbx: &Pbx, pause: Duration) -> Service {
    let slowly = Answer::audio(SLOW).drip(audio(SLOW).len() / 20, pause);
    pbx.script(SLOW, [slowly, Answer::audio(SLOW)]);
    let setup = Setup::hq(&pbx.base_url()).archive("workers", "1");
    let service = vault.set_up(setup).start();
    announce(&service, &url(SLOW));
    wait_for("the download begins", Duration::from_secs(10), || {
        !spooled(&service).is_empty()
    });
    announce(&service, &url(WAITING));
    let due = "SELECT count(*) FROM recordings WHERE attempts = 0 \
        AND next_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";
    wait_for("another one is due", Duration::from_secs(10), || {
        service.number(due) == 1
    });
    service
}

fn stop(service: &mut Service, pbx: &Pbx) {
    let stopped = service.terminate();
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(stopped.took < Duration::from_secs(10), "{stopped:?}");
    assert_eq!(pbx.requests_of(WAITING).len(), 0, "new work was begun");
}

fn assert_archived_once(vault: &Vault, service: &Service) {
    service.wait_for_recordings("archived", 2);
    wait_for("the spool is empty", Duration::from_secs(5), || {
        spooled(service).is_empty()
    });
    assert_eq!(vault.keys(), keys([SLOW, WAITING]));
    // What was interrupted was no failure.
    let failures = "SELECT count(*) FROM attempts WHERE code IS NOT NULL";
    assert_eq!(service.number(failures), 0);
    assert_eq!(service.number("SELECT max(attempts) FROM recordings"), 1);
}

fn a_short_download_is_finished(vault: &Vault) {
    let pbx = Pbx::start();
    let mut service = started(vault, &pbx, Duration::from_millis(75));
    stop(&mut service, &pbx);
    let archived = "SELECT count(*) FROM recordings WHERE state = 'archived'";
    assert_eq!(service.number(archived), 1);
    assert_eq!(vault.keys(), keys([SLOW]));
    service.restart();
    assert_archived_once(vault, &service);
    assert_eq!(pbx.requests_of(SLOW).len(), 1);
}

fn a_long_download_is_handed_back(vault: &Vault) {
    let pbx = Pbx::start();
    let mut service = started(vault, &pbx, Duration::from_secs(3));
    stop(&mut service, &pbx);
    assert_eq!(service.number("SELECT sum(attempts) FROM recordings"), 0);
    assert_eq!(vault.keys(), [""; 0]);
    service.restart();
    assert_archived_once(vault, &service);
}
