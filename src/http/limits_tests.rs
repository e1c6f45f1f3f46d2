//! What a peer may take: time for a head, a body, nothing at all; and seats.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;
use warp::http::{Response, StatusCode};
use warp::{Filter, Rejection, Reply};

use super::hook;
use super::listener::{Limits, Listener, Welcome};
use super::wire::{Client, Server, bounded, echo};

const SOON: Duration = Duration::from_millis(100);
const NEVER: Duration = Duration::from_secs(3600);
const GET: &[u8] = b"GET /a HTTP/1.1\r\n\r\n";
const GOT: &str = "200 GET /a /a ";
const HALF: &[u8] = b"POST /a HTTP/1.1\r\nHost:";

/// Nothing ends but by the limit that a test sets.
fn patient() -> Limits {
    Limits {
        head: NEVER,
        body: NEVER,
        idle: NEVER,
        drain: NEVER,
        ..Limits::default()
    }
}

/// Sends a byte now and then for as long as the server takes any.
async fn drip(client: &mut Client, bytes: &[u8]) {
    let dripping = async {
        for byte in bytes.iter().cycle() {
            let ended = tokio::time::timeout(SOON / 5, client.answer());
            if ended.await.is_ok_and(|answer| answer == "closed") {
                return;
            }
            // A reset is an end as well.
            if client.socket.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    };
    bounded("the server closes", dripping).await;
}

#[tokio::test]
async fn a_head_has_its_time_from_its_first_byte() {
    let limits = Limits {
        head: SOON,
        ..patient()
    };
    let server = Server::start(echo(), limits).await;
    for half in ["\r\n", "G", "GET /a", "GET /a b HTTP/1.1\r\nHost:"] {
        for before in [&b""[..], GET] {
            let mut client = Client::connect(server.addr).await;
            client.send(before).await;
            if !before.is_empty() {
                assert_eq!(client.answer().await, GOT);
            }
            client.send(half.as_bytes()).await;
            assert_eq!(client.answer().await, "closed", "{half:?}");
        }
    }
    for endless in [&b"\r\n"[..], b"\n", b"GETTER", b"GET /a HTTP/1.1\r\nX: y"] {
        let mut client = Client::connect(server.addr).await;
        client.send(endless).await;
        drip(&mut client, &endless[endless.len() - 1..]).await;
    }
    // What has not begun takes no time of a head, also behind a body.
    let mut client = Client::connect(server.addr).await;
    for _ in 0..2 {
        tokio::time::sleep(2 * SOON).await;
        client
            .send(b"POST /p HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi")
            .await;
        assert_eq!(client.answer().await, "200 POST /p /p hi");
    }
}

#[tokio::test]
async fn nobody_is_silent_for_ever() {
    let limits = Limits {
        idle: SOON,
        ..patient()
    };
    let server = Server::start(echo(), limits).await;
    let mut client = Client::connect(server.addr).await;
    assert_eq!(client.answer().await, "closed");
    let mut client = Client::connect(server.addr).await;
    client.send(GET).await;
    assert_eq!(client.answer().await, GOT);
    assert_eq!(client.answer().await, "closed");
}

#[tokio::test]
async fn a_body_has_its_time() {
    let whole = warp::body::stream().then(|body| async move {
        match hook::whole(body, usize::MAX).await {
            Ok(_) => StatusCode::OK,
            Err(status) => status,
        }
    });
    let limits = Limits {
        body: SOON,
        ..patient()
    };
    let server = Server::start(whole, limits).await;
    for head in [
        "POST /p HTTP/1.1\r\nContent-Length: 1000\r\n\r\nx",
        "POST /p q HTTP/1.1\r\nContent-Length: 1000\r\n\r\nx",
        "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\nx",
    ] {
        let mut client = Client::connect(server.addr).await;
        client.send(head.as_bytes()).await;
        assert_eq!(client.answer().await, "408  (close)", "{head}");
        let mut client = Client::connect(server.addr).await;
        client.send(head.as_bytes()).await;
        drip(&mut client, b"y").await;
    }
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    const BYTES: usize = 64 << 20;
    let endless = warp::any().map(|| vec![b'x'; BYTES]);
    let limits = Limits {
        idle: SOON,
        ..patient()
    };
    let server = Server::start(endless, limits).await;
    let mut client = Client::connect(server.addr).await;
    client.send(GET).await;
    client.socket.readable().await.unwrap();
    // It drains as soon as the connection is gone, and no sooner.
    server.stop().await;
}

/// Answers who asks; whoever asks for `/good` is welcome.
fn host() -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone + Send + Sync {
    let good = warp::path("good").map(|| {
        let mut response = Response::new(Bytes::from_static(b"good"));
        response.extensions_mut().insert(Welcome);
        response
    });
    good.or(echo())
}

const GOOD: &[u8] = b"GET /good HTTP/1.1\r\n\r\n";

async fn half_open(address: &str, server: &Server) -> Client {
    let mut client = Client::from(address, server.addr).await;
    client.send(HALF).await;
    client
}

fn is_open(client: &mut Client) -> bool {
    client.answer().now_or_never().is_none()
}

fn server(limits: Limits, known: &[&str]) -> Server {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nets = known
        .iter()
        .map(|ip| vec![ip.parse::<IpAddr>().unwrap().into()]);
    Server::on(listener.with_known(nets.collect()), host(), limits)
}

#[tokio::test]
async fn an_address_has_no_more_than_its_share() {
    let limits = Limits {
        share: 2,
        ..patient()
    };
    let server = server(limits, &[]);
    let mut other = half_open("127.0.0.3", &server).await;
    let mut first = half_open("127.0.0.2", &server).await;
    let mut second = half_open("127.0.0.2", &server).await;
    let mut third = half_open("127.0.0.2", &server).await;
    assert_eq!(first.answer().await, "closed", "the first of too many goes");
    for client in [&mut second, &mut third, &mut other] {
        client.send(b" h\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(client.answer().await, "200 POST /a /a ");
    }
}

#[tokio::test]
async fn a_flood_of_strangers_leaves_a_pbx_its_seats() {
    let limits = Limits {
        connections: 16,
        share: 4,
        ..patient()
    };
    let server = server(limits, &["127.0.0.9", "127.0.0.10"]);
    let mut kept = Client::from("127.0.0.9", server.addr).await;
    kept.send(GOOD).await;
    assert_eq!(kept.answer().await, "200 good");
    let mut half = half_open("127.0.0.10", &server).await;
    let mut flood = Vec::new();
    for stranger in 20..120 {
        flood.push(half_open(&format!("127.0.0.{stranger}"), &server).await);
        let mut fresh = Client::from("127.0.0.9", server.addr).await;
        fresh.send(GOOD).await;
        assert_eq!(fresh.answer().await, "200 good");
    }
    for client in &mut flood[..90] {
        assert_eq!(client.answer().await, "closed", "a stranger too many");
    }
    kept.send(GOOD).await;
    assert_eq!(kept.answer().await, "200 good");
    assert!(is_open(&mut half), "also what a PBX has not finished stays");
}

/// They waited for a restart, each with its whole request, and nobody has read it yet.
#[tokio::test]
async fn a_queue_that_is_longer_than_a_share_is_answered() {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr();
    let mut queue = Vec::new();
    for _ in 0..200 {
        let mut client = Client::from("127.0.0.2", addr).await;
        client.send(GOOD).await;
        queue.push(client);
    }
    let limits = Limits {
        share: 8,
        ..patient()
    };
    let _server = Server::on(listener, host(), limits);
    for client in &mut queue {
        assert_eq!(client.answer().await, "200 good");
    }
}

/// Behind one address, or with none that is known: who has delivered is worth more than who has
/// only connected, and a newcomer has its turn before the flood that came first.
#[tokio::test]
async fn among_strangers_a_good_request_counts() {
    let limits = Limits {
        connections: 8,
        share: 8,
        ..patient()
    };
    let server = server(limits, &[]);
    let mut kept = Client::from("127.0.0.2", server.addr).await;
    kept.send(GOOD).await;
    assert_eq!(kept.answer().await, "200 good");
    let mut asked = Client::from("127.0.0.2", server.addr).await;
    let mut flood = Vec::new();
    for _ in 0..50 {
        // To ask for nothing good, again and again, gains nothing.
        if is_open(&mut asked) {
            let _ = asked.socket.try_write(GET);
        }
        flood.push(half_open("127.0.0.2", &server).await);
        let mut fresh = Client::from("127.0.0.2", server.addr).await;
        fresh.send(GOOD).await;
        assert_eq!(fresh.answer().await, "200 good");
    }
    kept.send(GOOD).await;
    assert_eq!(kept.answer().await, "200 good");
    for client in &mut flood[..40] {
        assert_eq!(client.answer().await, "closed");
    }
}
