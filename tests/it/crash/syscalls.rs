//! The k-th call of a kind fails, once or from then on, for every k until a run comes to no such
//! call: what was acknowledged is there, and the next life goes on as if nothing had been.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::scenario::{Life, Story};
use crate::support::shim::Shim;
use crate::support::soak::{is_soak, tell};
use crate::support::vault::Vault;
use crate::support::wait::wait_for;

const LONG: Duration = Duration::from_secs(20);
const TELLERS: usize = 3;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

#[derive(Debug, Clone, Copy)]
struct Fault {
    of_store: bool,
    call: &'static str,
    errno: i32,
    for_ever: bool,
}

#[test]
fn i1_to_i5_hold_when_a_write_fails() {
    walk("write");
}

#[test]
fn i1_to_i5_hold_when_a_sync_fails() {
    walk("sync");
}

#[test]
fn i1_to_i5_hold_when_a_rename_fails() {
    walk("rename");
}

#[test]
fn i1_to_i5_hold_when_an_unlink_fails() {
    walk("unlink");
}

#[test]
fn i1_to_i5_hold_when_a_truncation_fails() {
    walk("truncate");
}

/// Every tenth k, from one that differs between the faults; every k in a soak.
fn walk(call: &'static str) {
    let shim = Shim::build("fail_io");
    let vault = Vault::directory();
    let step = if is_soak() || call != "write" && call != "sync" {
        1
    } else {
        10
    };
    let mut reached = 0;
    for nth in 0..8 {
        let fault = Fault {
            of_store: nth & 4 != 0,
            call,
            errno: if nth & 2 == 0 { EIO } else { ENOSPC },
            for_ever: nth & 1 != 0,
        };
        let next = AtomicUsize::new(1 + nth % step);
        thread::scope(|scope| {
            for _ in 0..TELLERS {
                scope.spawn(|| {
                    loop {
                        let k = next.fetch_add(step, Ordering::SeqCst);
                        if !fail_at(&vault, &shim, fault, k) {
                            return;
                        }
                    }
                });
            }
        });
        reached += next.into_inner() / step;
    }
    tell(&format!("I1 to I5 when a {call} fails"), reached, "-");
}

/// Says whether the story came to such a call.
fn fail_at(vault: &Vault, shim: &Shim, fault: Fault, k: usize) -> bool {
    let Fault {
        of_store,
        call,
        errno,
        for_ever,
    } = fault;
    let corner = format!("{of_store}-{call}-{errno}-{for_ever}-{k}");
    let mut story = Story::new(vault, &corner);
    let below = match of_store {
        true => story.store_dir().expect("a directory store"),
        false => story.service.data_dir(),
    };
    let report = story.service.dir().join("failed");
    let env = [
        ("LD_PRELOAD", shim.path().to_owned()),
        ("FAIL_IO_BELOW", below.to_str().unwrap().to_owned()),
        ("FAIL_IO_CALL", call.to_owned()),
        ("FAIL_IO_AT", k.to_string()),
        ("FAIL_IO_ERRNO", errno.to_string()),
        ("FAIL_IO_REPORT", report.to_str().unwrap().to_owned()),
    ];
    for (name, value) in &env {
        story.service.set_env(name, Some(value));
    }
    if for_ever {
        story.service.set_env("FAIL_IO_FOR_EVER", Some("1"));
    }
    let life = match for_ever {
        true => story.live_until(|| report.exists()),
        false => story.live(),
    };
    let failed = fs::read_to_string(&report).unwrap_or_default();
    if failed.is_empty() {
        assert_eq!(life, Life::Settled);
        return false;
    }
    let of_the_log = failed.lines().all(|path| path.ends_with("-wal"));
    if of_the_log && errno == EIO && !for_ever {
        // It can believe its disk no more, and says so by its end. Who reads what it left in the log
        // may see all settled by then.
        let what = format!("the end after {fault:?} at {k}: {failed}");
        wait_for(&what, LONG, || story.service.has_ended());
    }
    story.service.kill();
    for (name, _) in &env {
        story.service.set_env(name, None);
    }
    assert_eq!(story.live(), Life::Settled, "{fault:?} at {k}: {failed}");
    story.assert_nothing_lost_or_doubled();
    true
}
