//! A backfill of many events beside the running service: it disturbs nobody, and can be cut short.
//!
//! A soak makes it 100,000 events.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::hook::{Ledger, Request, target};
use crate::support::service::{Service, Setup};
use crate::support::soak::is_soak;
use crate::support::wait::wait_for;

const EVENTS_A_CALL: usize = 5;
const LOGGED: &str = "SELECT count(*) FROM events WHERE content_type IS NULL";
/// A PBX gives up on its hook after some seconds.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

fn events() -> usize {
    if is_soak() { 100_000 } else { 5_000 }
}

/// Calls of a whole year: ringing, answered, ended, recorded.
fn write_file(path: &Path, events: usize) {
    let mut file = std::io::BufWriter::new(fs::File::create(path).unwrap());
    for call in 0..events / EVENTS_A_CALL {
        let (day, minute) = (call % 28 + 1, call / 28);
        let (hour, minute, second) = (minute / 60 % 24, minute % 60, minute / 1440);
        let id = format!("2303{day:02}{hour:02}{minute:02}{second:02}_{call}");
        let common = format!(
            r#""Callerid":"0555{call:07}","User":"{}","Did":"""#,
            100 + call % 50
        );
        for user in ["800", "820"] {
            writeln!(
                file,
                r#"{{"Event":"ringing","Callerid":"0555{call:07}","User":"{user}","Id":"{id}-0"}}"#
            )
            .unwrap();
        }
        writeln!(
            file,
            r#"{{"Event":"incomingcall_started",{common},"Id":"{id}-1"}}"#
        )
        .unwrap();
        writeln!(
            file,
            r#"{{"Event":"incoming",{common},"Finishtype":"Ok","Duration":"00:14","Id":"{id}-1"}}"#
        )
        .unwrap();
        let url = format!("https://FQDN:5001/webapi/recording/{id}-1-1.mp3");
        writeln!(
            file,
            r#"{{"Event":"recording","FileUrls":["{url}"],{common},"Id":"{id}-1"}}"#
        )
        .unwrap();
    }
    file.flush().unwrap();
}

/// What the backfill said: logged, and there already.
fn ingest(service: &Service, file: &Path) -> (u64, u64) {
    let said = service.json(&["ingest", file.to_str().unwrap(), "--pbx", "hq"]);
    let number = |key: &str| said[0][key].as_u64().unwrap();
    (number("logged"), number("already_there"))
}

/// Posts events until it is told to stop; returns how long the slowest answer took.
fn post_until(done: &AtomicBool, service: &Service, ledger: &Ledger) -> Duration {
    let mut slowest = Duration::ZERO;
    let first = service.number("SELECT count(*) FROM events");
    for call in first.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let body = format!(r#"{{"Event":"ringing","User":"117","Id":"260105100000_{call}-0"}}"#);
        let request = Request::post(target("hq"), "application/json", body);
        let began = Instant::now();
        assert!(
            ledger.send(service.hook(), &request),
            "turned away: number {call}"
        );
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

/// Runs some work while a PBX goes on calling the hook.
fn beside_calls<T>(service: &Service, ledger: &Ledger, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let posting = scope.spawn(|| post_until(&done, service, ledger));
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        let slowest = posting.join().expect("every event is answered 200");
        eprintln!(
            "{} answered, the slowest in {slowest:?}",
            ledger.acknowledged()
        );
        assert!(slowest < ANSWERED_WITHIN, "{slowest:?}");
        worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn start() -> (Service, PathBuf) {
    // Nothing falls due meanwhile: this is about logging and reading.
    let setup = Setup::hq("http://127.0.0.1:9").archive("wait_for_late_events", r#""9h""#);
    let service = setup.start();
    let file = service.dir().join("backfill.jsonl");
    write_file(&file, events());
    (service, file)
}

#[test]
fn a_large_backfill_disturbs_nobody_and_changes_nothing_twice() {
    let (service, file) = start();
    let (all, ledger) = (events() as u64, Ledger::default());
    let began = Instant::now();
    let said = beside_calls(&service, &ledger, || ingest(&service, &file));
    eprintln!("{all} events in {:?}", began.elapsed());
    assert_eq!(said, (all, 0));
    service.wait_until_read();
    let calls = all as i64 / EVENTS_A_CALL as i64;
    let counts = || {
        let of = |table: &str| {
            service.number(&format!(
                "SELECT count(*) FROM {table} WHERE call LIKE '2303%'"
            ))
        };
        [of("calls"), of("legs"), of("recordings")]
    };
    assert_eq!(counts(), [calls; 3]);

    let began = Instant::now();
    let second = Ledger::default();
    let again = beside_calls(&service, &second, || ingest(&service, &file));
    eprintln!("the same again in {:?}", began.elapsed());
    assert_eq!(again, (0, all));
    assert_eq!(service.number(LOGGED), all as i64);
    assert_eq!(counts(), [calls; 3]);
    service.wait_until_read();
    let live = "SELECT count(DISTINCT raw) FROM events WHERE content_type IS NOT NULL";
    let acknowledged = ledger.acknowledged() + second.acknowledged();
    assert_eq!(service.number(live) as usize, acknowledged);
}

#[test]
fn a_backfill_that_was_killed_goes_on_where_it_was() {
    let (service, file) = start();
    let all = events() as u64;
    let mut verb = service.verb(&["ingest", file.to_str().unwrap(), "--pbx", "hq"]);
    let mut child = verb
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("some of it is logged", Duration::from_secs(60), || {
        service.number(LOGGED) as u64 >= all / 10
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let before = service.number(LOGGED) as u64;
    assert!(before < all, "killed too late");
    assert_eq!(ingest(&service, &file), (all - before, before));
    assert_eq!(service.number(LOGGED), all as i64);
    service.wait_until_read();
    let recordings = service.number("SELECT count(*) FROM recordings");
    assert_eq!(recordings as u64, all / EVENTS_A_CALL as u64);
}
