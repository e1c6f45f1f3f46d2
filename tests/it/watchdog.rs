//! Systemd's watchdog is fed by what the pipeline gets done, and by nothing else.

use std::time::Duration;

use rusqlite::Connection;
use rustix::process::Signal;

use crate::restart::silent_store;
use crate::support::calls::{announce, spooled, url};
use crate::support::manager::Manager;
use crate::support::pbx::Pbx;
use crate::support::service::{Service, Setup};
use crate::support::wait::wait_for;

const FED: &str = "WATCHDOG=1\n";
/// Long beside the half second in which an idle loop turns.
const INTERVAL_US: &str = "8000000";
const RECORDING: &str = "230307142318_40-1-1";

fn start(setup: Setup) -> (Service, Manager) {
    let mut service = setup.env("WATCHDOG_USEC", INTERVAL_US).prepare();
    let manager = Manager::start(&mut service);
    (service, manager)
}

#[test]
fn it_is_fed_until_the_writer_hangs() {
    let (mut service, manager) = start(Setup::hq("http://127.0.0.1:9"));
    for _ in 0..2 {
        assert_eq!(manager.told(), FED);
    }
    let not_fed = |service: &Service| {
        let log = service.log();
        let lines = log.lines().filter(|line| line.contains("no progress"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    // As long as somebody else writes, the writer cannot; for ten seconds it waits.
    let other = Connection::open(service.data_dir().join("index.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let within = Duration::from_secs(20);
    wait_for("it is seen", within, || !not_fed(&service).is_empty());
    manager.heard();
    wait_for("it is seen again", within, || not_fed(&service).len() > 1);
    assert_eq!(manager.heard(), [""; 0]);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(manager.told(), FED, "it gets on again");
    let line = not_fed(&service).remove(0);
    assert!(line.contains("hung=\"the index's writer\""), "{line}");

    service.signal(Signal::TERM);
    let last = std::iter::repeat_with(|| manager.told()).find(|told| told != FED);
    assert_eq!(last.as_deref(), Some("STOPPING=1\n"));
    assert!(service.wait_for_exit().success());
}

/// A restart would not bring it back.
#[test]
fn a_store_that_says_nothing_is_no_hang() {
    let pbx = Pbx::start();
    let (service, manager) = start(Setup::hq(&pbx.base_url()).store(&silent_store()));
    announce(&service, &url(RECORDING));
    wait_for("it is downloaded", Duration::from_secs(20), || {
        !spooled(&service).is_empty()
    });
    manager.heard();
    for _ in 0..3 {
        assert_eq!(manager.told(), FED);
    }
    assert!(!service.log().contains("no progress"));
}
