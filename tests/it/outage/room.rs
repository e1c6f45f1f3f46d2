//! A disk that fills up, and files that somebody takes away.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::RECORDING;
use crate::support::calls::spooled;
use crate::support::hook::{self, Connection, Request, target};
use crate::support::inside::Inside;
use crate::support::pbx::{Answer, Pbx, audio};
use crate::support::service::Setup;

/// Logged while no recording finds room.
const EVENTS: usize = 10_000;
const MIB: usize = 1024 * 1024;

/// A small disk of its own; none where mounting is not permitted.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, size: &str) -> Option<Disk> {
        fs::create_dir(at).expect("a directory to mount on");
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Disk(at.to_owned()))
    }

    fn grow(&self, size: &str) {
        let mut mount = Command::new("mount");
        let mount = mount.args(["-o", &format!("remount,{size}")]).arg(&self.0);
        assert!(mount.status().expect("run mount").success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the service may still hold its files open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn fill(path: &Path, mib: usize) {
    let mut file = File::create(path).unwrap();
    for _ in 0..mib {
        file.write_all(&vec![0; MIB]).unwrap();
    }
}

#[test]
fn downloads_leave_room_for_events() {
    let pbx = Pbx::start();
    let setup = Setup::hq(&pbx.base_url())
        .archive("spool_reserve", r#""64MiB""#)
        .archive("retry", r#"["1m"]"#);
    let files = setup.prepare();
    let Some(disk) = Disk::mount(&files.data_dir(), "size=96m") else {
        eprintln!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let inside = Inside::start_on(files);
    let ballast = disk.0.join("ballast");
    fill(&ballast, 40);
    inside.announce("hq", RECORDING);
    inside.files.wait_until_read();
    inside.turn(Duration::from_secs(1));
    inside.wait_for_attempts(1);
    let waits = inside
        .files
        .rows("SELECT json_array(state, code) FROM recordings");
    assert_eq!(waits, [json!(["pending", "spool_full"])]);
    assert_eq!(
        pbx.requests().len(),
        0,
        "asked for what there is no room for"
    );
    let reasons = inside.status().reasons;
    let full = "the spool's disk is full up to its reserve";
    assert!(reasons.iter().any(|reason| reason == full), "{reasons:?}");

    // What is kept in reserve is the events'.
    let ringing = |nth: usize| {
        let event = json!({"Event": "ringing", "Callerid": nth.to_string(), "User": "117",
            "Id": format!("230307142318_{}-0", nth % 500)});
        Request::post(target("hq"), "application/json", event.to_string())
    };
    let events: Vec<Request> = (0..EVENTS).map(ringing).collect();
    for reply in Connection::send_all(inside.hook(), &events).expect("answers") {
        assert_eq!(reply.status, 200);
    }
    let logged = "SELECT count(DISTINCT seq) FROM events";
    assert_eq!(inside.files.number(logged), EVENTS as i64 + 1);

    fs::remove_file(&ballast).unwrap();
    inside.turn(Duration::from_secs(3600));
    inside.files.wait_for_recordings("archived", 1);
    assert_eq!(inside.status().reasons, Vec::<String>::new());
}

/// There is room when it begins, and no longer before it is whole.
#[test]
fn a_body_that_grows_into_the_reserve_is_stopped() {
    let pbx = Pbx::start();
    let own = audio(RECORDING);
    let whole = own.repeat(16 * MIB / own.len());
    pbx.script(RECORDING, [Answer::ok(whole)]);
    let setup = Setup::hq(&pbx.base_url())
        .archive("spool_reserve", r#""16MiB""#)
        .archive("retry", r#"["1m"]"#);
    let files = setup.prepare();
    let Some(disk) = Disk::mount(&files.data_dir(), "size=24m") else {
        eprintln!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let inside = Inside::start_on(files);
    inside.announce("hq", RECORDING);
    inside.files.wait_until_read();
    inside.turn(Duration::from_secs(1));
    inside.wait_for_attempts(1);
    let waits = "SELECT json_array(state, code) FROM recordings";
    let waits = inside.files.rows(waits);
    assert_eq!(waits, [json!(["pending", "spool_full"])]);
    assert_eq!(pbx.requests().len(), 1, "it was to begin");
    assert_eq!(spooled(&inside.files), [""; 0], "half a body stayed");

    disk.grow("size=64m");
    inside.turn(Duration::from_secs(3600));
    inside.files.wait_for_recordings("archived", 1);
}

#[test]
fn health_ends_where_events_find_no_room() {
    let pbx = Pbx::start();
    let files = Setup::hq(&pbx.base_url()).prepare();
    let Some(disk) = Disk::mount(&files.data_dir(), "size=24m") else {
        eprintln!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    let inside = Inside::start_on(files);
    let healthz = || {
        hook::send(inside.admin(), &Request::get("/healthz"))
            .unwrap()
            .status
    };
    assert_eq!(healthz(), 200);
    let ballast = disk.0.join("ballast");
    while healthz() == 200 {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&ballast)
            .unwrap();
        file.write_all(&vec![0; MIB / 2])
            .expect("health ends before the disk does");
    }
    assert_eq!(healthz(), 503);
    fs::remove_file(&ballast).unwrap();
    assert_eq!(healthz(), 200);
}

/// What went to a file without a name would be acknowledged, and gone at the next start.
#[test]
fn an_index_that_was_removed_takes_no_event() {
    let pbx = Pbx::start();
    let mut service = Setup::hq(&pbx.base_url()).start();
    let ringing = r#"{"Event":"ringing","User":"117","Id":"230307142318_40-0"}"#;
    let post = || Request::post(target("hq"), "application/json", ringing);
    for (nth, lost) in ["index.sqlite-wal", "index.sqlite"].into_iter().enumerate() {
        assert_eq!(hook::send(service.hook(), &post()).unwrap().status, 200);
        fs::remove_file(service.data_dir().join(lost)).unwrap();
        // Where the service is gone before its answer, that is no acknowledgement either.
        if let Ok(reply) = hook::send(service.hook(), &post()) {
            assert_eq!(reply.status, 503, "{lost}");
        }
        assert_eq!(service.wait_for_exit().code(), Some(1));
        assert_eq!(
            service.log().matches("removed or replaced").count(),
            nth + 1
        );
        service.restart();
    }
}
