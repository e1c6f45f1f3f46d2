//! The units under a real systemd: the way of a recording within all that the service is denied,
//! restarts that nobody notices, and a watchdog that bites.
//!
//! Without root there is no systemd of one's own, and the test says so and checks nothing.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection as Index, OpenFlags};

use crate::restarts::Clients;
use crate::support::calls::RECORDINGS;
use crate::support::hook::{Connection, Request, Scheme, corpus};
use crate::support::pbx::Pbx;
use crate::support::port::Port;
use crate::support::service::{SECRET, Setup};
use crate::support::soak::is_soak;
use crate::support::systemd::{Machine, is_possible};
use crate::support::vault::{Vault, on_both_stores};
use crate::support::wait::wait_for;

on_both_stores!(the_units_do_their_work);

const WITHIN: Duration = Duration::from_secs(60);

struct Installed {
    machine: Machine,
    hook: SocketAddr,
}

/// As the README says, but for ports of its own, and a log in a file.
fn install(vault: &Vault, pbx: &Pbx) -> Installed {
    let [hook, admin] = [(); 2].map(|()| Port::reserve());
    let prepared = vault.set_up(Setup::hq(&pbx.base_url())).prepare();
    let mut settings = prepared.settings();
    for (from, to) in [
        (prepared.data_dir().to_str().unwrap(), "/var/lib/callvault"),
        (
            &format!("hook_secret = \"{SECRET}\""),
            "hook_secret_file = \"hook_secret\"",
        ),
        (
            "hook = \"127.0.0.1:0\"",
            &format!("hook = \"{}\"", hook.address()),
        ),
        (
            "admin = \"127.0.0.1:0\"",
            &format!("admin = \"{}\"", admin.address()),
        ),
    ] {
        assert!(settings.contains(from), "{from}");
        settings = settings.replace(from, to);
    }
    if let Vault::Directory(dir) = vault {
        let inside = "/var/lib/callvault/archive";
        settings = settings.replace(dir.path().to_str().unwrap(), inside);
    }
    let socket =
        |port: &Port| format!("[Socket]\nListenStream=\nListenStream={}\n", port.address());
    let service =
        "[Service]\nStandardError=append:/var/lib/log\nWatchdogSec=8\nTimeoutAbortSec=1\n";
    let machine = Machine::boot(&[
        ("callvault/callvault.toml", &settings),
        ("callvault/hook_secret", SECRET),
        ("units/callvault.service.d/test.conf", service),
        ("units/callvault.socket.d/test.conf", &socket(&hook)),
        ("units/callvault-admin.socket.d/test.conf", &socket(&admin)),
    ]);
    let hook = hook.address();
    Installed { machine, hook }
}

impl Drop for Installed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the service said:\n{}", self.log());
        }
    }
}

impl Installed {
    fn log(&self) -> String {
        fs::read_to_string(self.machine.lib().join("log")).unwrap_or_default()
    }

    fn archived(&self) -> i64 {
        let path = self.machine.lib().join("callvault/index.sqlite");
        let index = Index::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let sql = "SELECT count(*) FROM recordings WHERE state = 'archived'";
        let count = index.and_then(|index| index.query_row(sql, [], |row| row.get(0)));
        count.unwrap_or(0)
    }
}

fn the_units_do_their_work(vault: &Vault) {
    if !is_possible() {
        return;
    }
    let pbx = Pbx::start();
    let installed = install(vault, &pbx);
    let machine = &installed.machine;
    machine.does(&[
        "systemctl",
        "start",
        "callvault.socket",
        "callvault-admin.socket",
    ]);
    assert_eq!(machine.property("ActiveState"), "inactive");
    // The first event starts it, and waits for it.
    let rows = corpus();
    let requests: Vec<Request> = rows
        .iter()
        .map(|row| row.request("hq", Scheme::Query))
        .collect();
    let replies = Connection::send_all(installed.hook, &requests).expect("answers");
    assert!(replies.iter().all(|reply| reply.status == 200));
    wait_for("all is archived", WITHIN, || {
        installed.archived() == RECORDINGS.len() as i64
    });

    let process = machine.property("MainPID");
    let status = machine.does(&["cat", &format!("/proc/{process}/status")]);
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000000000"] {
        assert!(status.contains(line), "{line} in {status}");
    }
    machine.does(&["systemctl", "kill", "-s", "HUP", "callvault"]);
    wait_for("it reloads", WITHIN, || {
        installed.log().contains("reloaded: ")
    });

    let restarts = if is_soak() { 50 } else { 4 };
    Clients::post_during(restarts, installed.hook, || {
        machine.does(&["systemctl", "restart", "callvault"]);
    });
    assert_eq!(machine.property("NRestarts"), "0", "none by itself");

    machine.does(&["systemctl", "kill", "-s", "STOP", "callvault"]);
    wait_for("the watchdog bites", WITHIN, || {
        machine.property("NRestarts") == "1" && machine.property("SubState") == "running"
    });
    machine.does(&[
        "systemctl",
        "stop",
        "callvault.socket",
        "callvault-admin.socket",
    ]);
    machine.does(&["systemctl", "stop", "callvault"]);
    assert_eq!(machine.property("Result"), "success");
    assert!(!installed.log().contains("ERROR"), "{}", installed.log());
}
