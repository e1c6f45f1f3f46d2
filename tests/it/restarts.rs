//! Restarted under load with systemd's sockets: nobody is refused, every event is answered and
//! logged.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::hook::{Connection, Reply, Request, send, target};
use crate::support::service::Setup;
use crate::support::soak::is_soak;
use crate::support::wait::wait_for;

const NO_PBX: &str = "http://127.0.0.1:9";
const CLIENTS: usize = 8;
/// Posted between two restarts, at least.
const BETWEEN: usize = 50;

/// Those who post events until they are told that it is over.
pub struct Clients {
    over: AtomicBool,
    posted: Mutex<Vec<String>>,
}

/// Says that it is over, also when a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Clients {
    /// What was posted while there were so many restarts. It fails if anything but a 200 was answered.
    pub fn post_during(
        restarts: usize,
        hook: SocketAddr,
        mut restart: impl FnMut(),
    ) -> BTreeSet<String> {
        let clients = Clients {
            over: AtomicBool::new(false),
            posted: Mutex::default(),
        };
        thread::scope(|scope| {
            let _over = Over(&clients.over);
            for client in 0..CLIENTS {
                let clients = &clients;
                scope.spawn(move || clients.each(client, |request| by_itself(hook, request)));
            }
            scope.spawn(|| {
                let mut kept = None;
                clients.each(CLIENTS, |request| on_kept(hook, &mut kept, request));
            });
            for _ in 0..restarts {
                let enough = clients.posted() + BETWEEN;
                wait_for("events are posted", Duration::from_secs(20), || {
                    clients.posted() >= enough
                });
                restart();
            }
        });
        clients.posted.into_inner().unwrap().into_iter().collect()
    }

    fn posted(&self) -> usize {
        self.posted.lock().unwrap().len()
    }

    fn each(&self, client: usize, mut post: impl FnMut(&Request) -> Reply) {
        for nth in 0.. {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let body = format!("{{\"client\":{client},\"nth\":{nth}}}");
            let reply = post(&Request::post(target("hq"), "application/json", &body));
            assert_eq!((reply.status, &reply.body[..]), (200, &b"{}"[..]), "{body}");
            self.posted.lock().unwrap().push(body);
        }
    }
}

fn by_itself(hook: SocketAddr, request: &Request) -> Reply {
    send(hook, request).expect("a new connection never fails")
}

/// A connection that was used before may be closed at any moment between two requests: a client
/// that was answered nothing then asks again, by a new one.
fn on_kept(hook: SocketAddr, kept: &mut Option<Connection>, request: &Request) -> Reply {
    let reused = kept.take().and_then(|mut connection| {
        let reply = connection.send(request);
        Some((reply.map_err(between_requests).ok()?, connection))
    });
    let (reply, connection) = reused.unwrap_or_else(|| {
        let mut connection = Connection::open(hook).expect("a new connection");
        let reply = connection.send(request);
        (reply.expect("a new connection never fails"), connection)
    });
    *kept = (!reply.ends_connection()).then_some(connection);
    reply
}

fn between_requests(error: std::io::Error) {
    let closed = [
        ErrorKind::UnexpectedEof,
        ErrorKind::ConnectionReset,
        ErrorKind::BrokenPipe,
    ];
    assert!(closed.contains(&error.kind()), "{error}");
}

#[test]
fn nobody_is_refused_while_it_restarts() {
    let restarts = if is_soak() { 50 } else { 8 };
    let mut service = Setup::hq(NO_PBX).prepare();
    let [hook, admin] = service.hold_sockets();
    service.restart();
    assert_eq!((service.hook(), service.admin()), (hook, admin));
    let posted = Clients::post_during(restarts, hook, || {
        let stopped = service.terminate();
        assert!(stopped.status.success(), "{stopped:?}");
        service.restart();
    });
    let logged = service.rows("SELECT json_array(CAST(raw AS TEXT)) FROM events");
    let logged: BTreeSet<String> = logged
        .iter()
        .map(|row| row[0].as_str().unwrap().to_owned())
        .collect();
    let lost: Vec<_> = posted.difference(&logged).collect();
    assert!(lost.is_empty(), "answered and not logged: {lost:?}");
    eprintln!("{} events, {restarts} restarts", posted.len());
}

#[test]
fn a_socket_that_is_bound_elsewhere_is_refused() {
    let mut service = Setup::hq(NO_PBX).prepare();
    let [hook, _] = service.hold_sockets();
    let elsewhere = service.settings().replacen("127.0.0.1:0", "127.0.0.2:0", 1);
    service.rewrite(&elsewhere);
    let ended = service.try_restart().expect_err("it ends");
    assert_eq!(ended.code(), Some(64));
    let said = format!(
        "systemd's socket \"hook\" is bound to {hook}, but listen.hook = \"127.0.0.2:0\": \
         make them the same"
    );
    assert!(service.log().contains(&said));
}
