//! The disk fails as what was logged is moved into the index. Until it is there, for certain, the
//! log must keep it.

use std::fs;

use crate::support::hook::{Request, send, target};
use crate::support::service::Setup;
use crate::support::shim::Shim;

const EVENT_BYTES: usize = 900_000;
/// Twice as many bytes as are moved at once.
const EVENTS: usize = 36;

#[test]
fn a_sync_of_the_index_that_fails_is_final_and_loses_nothing() {
    let shim = Shim::build("fail_io");
    let mut service = Setup::hq("http://127.0.0.1:9").start();
    service.kill();
    let index = service.data_dir().join("index.sqlite");
    let report = service.dir().join("failed");
    let env = [
        ("LD_PRELOAD", shim.path()),
        ("FAIL_IO_ONLY", index.to_str().unwrap()),
        ("FAIL_IO_CALL", "sync"),
        ("FAIL_IO_AT", "1"),
        ("FAIL_IO_ERRNO", "5"),
        ("FAIL_IO_REPORT", report.to_str().unwrap()),
    ];
    for (name, value) in env {
        service.set_env(name, Some(value));
    }
    service.restart();
    let mut answered = 0;
    for nth in 0..EVENTS {
        let body = format!("{nth} {}", "-".repeat(EVENT_BYTES));
        let event = Request::post(target("hq"), "text/plain", body);
        match send(service.hook(), &event) {
            Ok(reply) if reply.status == 200 => answered += 1,
            _ => break,
        }
    }
    assert!(!service.wait_for_exit().success());
    assert_eq!(
        fs::read_to_string(&report).unwrap().trim(),
        index.to_str().unwrap()
    );
    for (name, _) in env {
        service.set_env(name, None);
    }
    // A log that was moved by whoever closed the index would be gone.
    assert!(
        fs::metadata(index.with_extension("sqlite-wal"))
            .unwrap()
            .len()
            > 0
    );
    service.restart();
    let logged = service.number("SELECT count(*) FROM delivery");
    assert!(
        (answered..=answered + 1).contains(&logged),
        "{logged} of {answered}"
    );
    let sound =
        service.number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'");
    assert_eq!(sound, 1);
}
