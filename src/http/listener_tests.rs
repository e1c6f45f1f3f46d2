//! The life of connections: drain, what breaks and what must not.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use warp::filters::BoxedFilter;
use warp::http::{Response, StatusCode};
use warp::{Filter, Reply};

use super::listener::{Error, Limits, Listener, Peer};
use super::wire::{Client, Log, Server, bounded, echo};

/// To see that something does not happen; too short a time can only hide a fault.
const BRIEF: Duration = Duration::from_millis(100);
const GET: &[u8] = b"GET /a HTTP/1.1\r\n\r\n";
const GOT: &str = "200 GET /a /a ";

#[tokio::test]
async fn tells_who_sent_it() {
    let who = warp::ext::get::<Peer>().map(|peer: Peer| peer.0.to_string());
    let listener = Listener::bind("[::]:0".parse().unwrap()).unwrap();
    let addr = (std::net::Ipv4Addr::LOCALHOST, listener.local_addr().port()).into();
    tokio::spawn(listener.serve(who, Limits::default(), std::future::pending()));
    let mut client = Client::connect(addr).await;
    client.send(GET).await;
    let local = client.socket.local_addr().unwrap();
    assert_eq!(client.answer().await, format!("200 {local}"));
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let first = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let Some(Error::Bind { addr, source }) = Listener::bind(first.local_addr()).err() else {
        panic!("bound twice");
    };
    assert_eq!(addr, first.local_addr());
    assert_eq!(source.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn an_early_answer_outlives_the_body_it_refuses() {
    let refuse = warp::post()
        .map(|| StatusCode::PAYLOAD_TOO_LARGE)
        .or(echo());
    let server = Server::start(refuse, Limits::default()).await;
    let body = vec![b'x'; 4 << 20];
    for head in [
        "POST /p HTTP/1.1\r\nContent-Length: 4194304\r\n\r\n",
        "POST /p q HTTP/1.1\r\nContent-Length: 4194304\r\n\r\n",
        "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n400000\r\n",
    ] {
        let mut client = Client::connect(server.addr).await;
        client.send(head.as_bytes()).await;
        client.send(&body).await;
        assert_eq!(client.answer().await, "413  (close)", "{head}");
        assert_eq!(client.answer().await, "closed", "{head}");
    }
    let mut client = Client::connect(server.addr).await;
    client
        .send(b"POST /p HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    client.send(GET).await;
    assert_eq!(
        client.answer().await,
        "413 ",
        "a body that is all here is skipped"
    );
    assert_eq!(client.answer().await, GOT);
}

#[tokio::test]
async fn a_panic_ends_one_connection() {
    fn broken() -> Response<String> {
        panic!("a test's panic")
    }
    let filter = warp::path("panic").map(broken).or(echo());
    let server = Server::start(filter, Limits::default()).await;
    let mut other = Client::connect(server.addr).await;
    other.send(GET).await;
    assert_eq!(other.answer().await, GOT);
    let mut client = Client::connect(server.addr).await;
    client.send(b"GET /panic HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.answer().await, "closed");
    other.send(GET).await;
    assert_eq!(other.answer().await, GOT);
    server.stop().await;
}

/// Says when a request runs, and answers when told to.
fn slow(running: &Arc<Notify>, go: &Arc<Notify>) -> BoxedFilter<(impl Reply + use<>,)> {
    let (running, go) = (running.clone(), go.clone());
    warp::path("slow")
        .then(move || {
            let (running, go) = (running.clone(), go.clone());
            async move {
                running.notify_one();
                go.notified().await;
                "done"
            }
        })
        .or(echo())
        .boxed()
}

#[tokio::test]
async fn a_sender_that_shuts_its_side_is_answered() {
    let (running, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = Server::start(slow(&running, &go), Limits::default()).await;
    for request in [
        "POST /slow HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi",
        "GET /slow HTTP/1.0\r\n\r\n",
    ] {
        let mut client = Client::connect(server.addr).await;
        client.send(request.as_bytes()).await;
        client.socket.shutdown().await.unwrap();
        bounded("running", running.notified()).await;
        let early = tokio::time::timeout(BRIEF, client.answer()).await;
        assert!(early.is_err(), "cut: {early:?}");
        go.notify_one();
        assert!(client.answer().await.starts_with("200 done"), "{request}");
        assert_eq!(client.answer().await, "closed");
    }
}

#[tokio::test]
async fn stopping_finishes_what_runs() {
    let (running, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = Server::start(slow(&running, &go), Limits::default()).await;
    let addr = server.addr;
    let mut idle = Client::connect(addr).await;
    idle.send(GET).await;
    assert_eq!(idle.answer().await, GOT);
    let mut half = Client::connect(addr).await;
    half.send(b"GET /half HTTP/1.1\r\nHost:").await;
    let mut busy = Client::connect(addr).await;
    busy.send(b"GET /slow HTTP/1.1\r\n\r\n").await;
    bounded("running", running.notified()).await;

    let begun = Instant::now();
    let drained = server.stop();
    assert_eq!(idle.answer().await, "closed");
    assert!(TcpStream::connect(addr).await.is_err(), "still accepts");
    let early = tokio::time::timeout(BRIEF, busy.answer()).await;
    assert!(early.is_err(), "cut: {early:?}");
    assert_eq!(half.answer().await, "closed", "it had its moment");
    go.notify_one();
    assert_eq!(busy.answer().await, "200 done (close)");
    drained.await;
    assert!(
        begun.elapsed() < Limits::default().drain,
        "{:?}",
        begun.elapsed()
    );
}

/// A connection that was made is answered, also if the stop overtakes its request.
#[tokio::test]
async fn stopping_waits_for_a_newcomers_request() {
    let limits = Limits {
        newcomer: Limits::default().drain,
        ..Limits::default()
    };
    let server = Server::start(echo(), limits).await;
    let mut silent = Client::connect(server.addr).await;
    let mut half = Client::connect(server.addr).await;
    let (head, rest) = GET.split_at(8);
    half.send(head).await;
    // Who is accepted last is answered: the others are accepted.
    let mut asked = Client::connect(server.addr).await;
    asked.send(GET).await;
    assert_eq!(asked.answer().await, GOT);
    let drained = server.stop();
    assert_eq!(asked.answer().await, "closed");
    for (client, rest) in [(&mut silent, GET), (&mut half, rest)] {
        client.send(rest).await;
        assert_eq!(client.answer().await, format!("{GOT} (close)"));
    }
    drained.await;
}

#[tokio::test]
async fn another_process_may_hold_the_socket() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let serve = |held: &std::net::TcpListener| {
        let listener = Listener::adopt(held.try_clone().unwrap()).unwrap();
        Server::on(listener, echo(), Limits::default())
    };
    let first = serve(&held);
    let addr = first.addr;
    let mut client = Client::connect(addr).await;
    client.send(GET).await;
    assert_eq!(client.answer().await, GOT);
    first.stop().await;
    let mut queued = Client::connect(addr).await;
    queued.send(GET).await;
    let second = serve(&held);
    assert_eq!(queued.answer().await, GOT);
    second.stop().await;
}

#[tokio::test]
async fn stopping_cuts_what_does_not_end() {
    let (running, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let limits = Limits {
        drain: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = Server::start(slow(&running, &go), limits).await;
    let mut stuck = Client::connect(server.addr).await;
    stuck.send(b"GET /slow HTTP/1.1\r\n\r\n").await;
    bounded("running", running.notified()).await;
    server.stop().await;
    assert_eq!(stuck.answer().await, "closed");
}

#[tokio::test]
async fn no_log_line_holds_a_target() {
    let (log, _guard) = Log::capture();
    let filter = warp::path("none")
        .map(|| "")
        .or(warp::any().and(warp::ext::get()).then(
            |target: super::listener::RawTarget| async move {
                tracing::info!(?target, "asked");
                Ok::<_, Infallible>(StatusCode::NOT_FOUND)
            },
        ));
    let limits = Limits {
        head: Duration::from_millis(50),
        idle: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = Server::start(filter, limits).await;
    for request in [
        "GET /hush HTTP/1.1\r\n\r\n",
        "GET /hush x HTTP/1.1\r\n\r\n",
        "GET /hush\0 HTTP/1.1\r\n\r\n",
        "GET /hush x\r\n\r\n",
        "GET /hush",
        "POST /hush HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ] {
        let mut client = Client::connect(server.addr).await;
        client.send(request.as_bytes()).await;
        while client.answer().await != "closed" {}
    }
    server.stop().await;
    let text = log.text();
    assert!(
        text.contains("RawTarget(*** 5 bytes)") && text.contains("connection ended early"),
        "{text}"
    );
    assert!(!text.contains("hush"), "{text}");
}

/// Runs in a process of its own that may open few files.
#[test]
fn survives_running_out_of_descriptors() {
    const CHILD: &str = "CALLVAULT_TEST_FEW_FILES";
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        return runtime.unwrap().block_on(run_out_and_recover());
    }
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            "ulimit -n 64 && exec \"$0\" --exact \"$1\" --nocapture",
        ])
        .arg(std::env::current_exe().unwrap())
        .arg("http::listener_tests::survives_running_out_of_descriptors")
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{output:?}"
    );
}

async fn run_out_and_recover() {
    let (log, _guard) = Log::capture();
    let server = Server::start(echo(), Limits::default()).await;
    let mut clients = Vec::new();
    while let Ok(client) = TcpStream::connect(server.addr).await {
        clients.push(client);
    }
    let refused = || log.text().matches("cannot accept").count();
    let begun = Instant::now();
    bounded("a failed accept", async {
        while refused() < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(
        begun.elapsed() > Duration::from_millis(300),
        "spins: {:?}",
        begun.elapsed()
    );
    clients.clear();
    let mut client = Client::connect(server.addr).await;
    client.send(GET).await;
    assert_eq!(client.answer().await, GOT);
}
