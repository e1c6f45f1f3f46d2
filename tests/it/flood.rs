//! Thousands who connect and say nothing, and a PBX among them.
//!
//! A soak opens ten thousand connections.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;

use crate::support::hook::{Ledger, Request, target};
use crate::support::service::{Service, Setup};
use crate::support::soak::is_soak;

const NO_PBX: &str = "http://127.0.0.1:9";
/// New strangers, up to 2000 a second.
const BURST: usize = 10;
const PAUSE: Duration = Duration::from_millis(5);
/// Of the service, so that it has seats for some 550 at its hook, fewer than come; a soak fills
/// those that it has by itself.
const FILES_MAX: u32 = 1024;
/// Of strangers. The PBX has none of these.
const ADDRESSES: usize = 200;

/// Connections that are held, as many as this process may open beside all else; and events.
fn how_many() -> (usize, usize) {
    let (half_open, events) = if is_soak() { (10_000, 1000) } else { (800, 50) };
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = usize::try_from(most / 2).unwrap_or(usize::MAX);
    (half_open.min(most), events)
}

struct Strangers {
    runtime: Runtime,
    to: SocketAddr,
}

impl Strangers {
    fn of(to: SocketAddr) -> Strangers {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Strangers {
            runtime: runtime.expect("a runtime"),
            to,
        }
    }

    /// Each comes from another address; half of them say nothing, half begin a head. None where
    /// it was closed at once, which is as good.
    fn come(&self, number: usize) -> Option<TcpStream> {
        let source = Ipv4Addr::new(127, 0, 1, (number % ADDRESSES) as u8 + 1);
        let connect = async {
            let socket = TcpSocket::new_v4()?;
            socket.set_zero_linger()?;
            socket.bind((source, 0).into())?;
            socket.connect(self.to).await?.into_std()
        };
        let mut stream = self.runtime.block_on(connect).ok()?;
        if number.is_multiple_of(2) {
            stream
                .write_all(b"POST /hook/hq/0123 HTTP/1.1\r\nX: ")
                .ok()?;
        }
        Some(stream)
    }
}

fn resident_kib(service: &Service) -> u64 {
    let path = format!("/proc/{}/status", service.pid());
    let status = std::fs::read_to_string(path).expect("the status of a process");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("VmRSS");
    let kib = line
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok());
    kib.expect("a number")
}

/// How long each event took, while strangers come and hold on.
fn deliver_among_strangers(service: &Service) -> Vec<Duration> {
    let to = service.hook();
    let (done, came) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (half_open, events) = how_many();
    let strangers = Strangers::of(to);
    let mut held: Vec<TcpStream> = (0..half_open)
        .filter_map(|number| strangers.come(number))
        .collect();
    let resident = resident_kib(service);
    eprintln!("{} half-open: {resident} KiB resident", held.len());
    assert!(resident < 1 << 20, "{resident} KiB");
    let ledger = Ledger::default();
    let took = thread::scope(|scope| {
        scope.spawn(|| {
            let strangers = Strangers::of(to);
            // The longest held go as new ones come: the listener is always full.
            let count = held.len().max(1);
            while !done.load(Ordering::Relaxed) {
                let number = came.fetch_add(1, Ordering::Relaxed);
                // Unslowed this thread, and the kernel's work for it, would be the load.
                if number.is_multiple_of(BURST) {
                    thread::sleep(PAUSE);
                }
                if let Some(stream) = strangers.come(number) {
                    held[number % count] = stream;
                }
            }
        });
        let took: Vec<Option<Duration>> = (0..events)
            .map(|number| {
                let body = format!("{{\"Event\":\"ringing\",\"User\":\"{number}\"}}");
                let event = Request::post(target("hq"), "application/json", body);
                let began = Instant::now();
                ledger.send(to, &event).then(|| began.elapsed())
            })
            .collect();
        done.store(true, Ordering::Relaxed);
        took
    });
    let took: Option<Vec<Duration>> = took.into_iter().collect();
    let took = took.expect("every event is answered");
    ledger.assert_logged(&service.index());
    eprintln!("{} more came meanwhile", came.load(Ordering::Relaxed));
    took
}

#[test]
fn a_flood_keeps_no_event_out() {
    // With its address known it has seats of its own; without it has its turn.
    for more in ["allow_from = [\"127.0.0.1\"]", ""] {
        let setup = Setup::new().pbx("hq", "Europe/Prague", NO_PBX, more);
        let service = match is_soak() {
            true => setup.start(),
            false => setup.files_max(FILES_MAX).start(),
        };
        let mut took = deliver_among_strangers(&service);
        let is_full = service.log().contains("connections turned away");
        assert!(is_full, "there was a seat for everybody");
        took.sort();
        let at = |part: usize| took[took.len() * part / 100];
        eprintln!(
            "{more:?}: p50 {:?}, p99 {:?}, most {:?}",
            at(50),
            at(99),
            took[took.len() - 1]
        );
    }
}
