//! Byte for byte over real connections: what is sent, what is answered.

use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::listener::{Limits, talk};
use super::wire::{Client, Server, bounded, echo};

const DIRTY: &[u8] =
    b"GET /h?t=Answered call (0:07) \"x\" <y>\t\xc5\xbd\xff HTTP/1.1\r\nHost: h\r\n\r\n";
const DIRTY_ANSWER: &str = "200 GET /h?t=Answered call (0:07) \\\"x\\\" <y>\\t\\xc5\\xbd\\xff \
    /h?t=Answered%20call%20(0:07)%20%22x%22%20%3Cy%3E%09%C5%BD%FF  (close)";
const CHUNKED: &[u8] =
    b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";

/// Sends `input` in one write and compares the answers; then `open` means that the connection
/// serves another request, `closed` that the server has ended it.
async fn check(server: &Server, name: &str, input: &[&[u8]], expected: &[&str]) {
    let mut client = Client::connect(server.addr).await;
    client.send(&input.concat()).await;
    for (index, &expected) in expected.iter().enumerate() {
        if expected == "open" {
            client.send(b"GET /probe HTTP/1.1\r\n\r\n").await;
            assert_eq!(
                client.answer().await,
                "200 GET /probe /probe ",
                "{name}: probe"
            );
        } else {
            assert_eq!(client.answer().await, expected, "{name}: answer {index}");
        }
    }
}

#[tokio::test]
async fn each_request_of_a_connection_is_its_own() {
    let server = Server::start(echo(), Limits::default()).await;
    let get: &[u8] = b"GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n";
    let got = "200 GET /a?b=c /a?b=c ";
    let post: &[u8] = b"POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
    let posted = "200 POST /p /p hello";
    let trap: &[u8] = b"POST /p HTTP/1.1\r\nContent-Length: 34\r\n\r\nGET /x y HTTP/1.1\r\nHost: \"h\"\r\n\r\n\r\n";
    let trapped = "200 POST /p /p GET /x y HTTP/1.1\\r\\nHost: \\\"h\\\"\\r\\n\\r\\n\\r\\n";
    let chunked = "200 POST /c /c abcde (close)";

    check(&server, "plain", &[get], &[got, "open"]).await;
    check(&server, "dirty", &[DIRTY], &[DIRTY_ANSWER, "closed"]).await;
    check(
        &server,
        "dirty after a body",
        &[post, DIRTY],
        &[posted, DIRTY_ANSWER, "closed"],
    )
    .await;
    check(
        &server,
        "dirty as the third",
        &[post, get, DIRTY],
        &[posted, got, DIRTY_ANSWER, "closed"],
    )
    .await;
    check(
        &server,
        "pipelined",
        &[get, post, get, post, get],
        &[got, posted, got, posted, got, "open"],
    )
    .await;
    check(
        &server,
        "nothing after a dirty one",
        &[DIRTY, get, post],
        &[DIRTY_ANSWER, "closed"],
    )
    .await;
    check(&server, "chunked", &[CHUNKED], &[chunked, "closed"]).await;
    check(
        &server,
        "nothing after a chunked one",
        &[get, CHUNKED, DIRTY],
        &[got, chunked, "closed"],
    )
    .await;
    check(
        &server,
        "chunked body like a request line",
        &[
            b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"12\r\nGET /x y HTTP/1.1\n\r\n0\r\n\r\n",
        ],
        &["200 POST /c /c GET /x y HTTP/1.1\\n (close)", "closed"],
    )
    .await;
    check(
        &server,
        "body like a request",
        &[trap, trap, get],
        &[trapped, trapped, got, "open"],
    )
    .await;
    check(
        &server,
        "dirty with a body",
        &[
            b"POST /d e HTTP/1.1\r\nContent-Length: 17\r\n\r\nGET / x HTTP/1.1\n",
            get,
        ],
        &["200 POST /d e /d%20e GET / x HTTP/1.1\\n (close)", "closed"],
    )
    .await;
    check(
        &server,
        "version inside the target",
        &[b"GET /x HTTP/1.1 y HTTP/1.1\r\n\r\n"],
        &["200 GET /x HTTP/1.1 y /x%20HTTP/1.1%20y  (close)", "closed"],
    )
    .await;
    check(
        &server,
        "blank lines before, bare line feeds",
        &[b"\r\n\n\r\nGET /n HTTP/1.1\nHost: h\n\n\n", get],
        &["200 GET /n /n ", got, "open"],
    )
    .await;
    check(
        &server,
        "dirty after blank lines",
        &[post, b"\r\n\r\nGET /n m HTTP/1.1\n\n"],
        &[posted, "200 GET /n m /n%20m  (close)", "closed"],
    )
    .await;
    check(
        &server,
        "both framings",
        &[
            b"POST /c HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            get,
        ],
        &["200 POST /c /c  (close)", "closed"],
    )
    .await;
    check(
        &server,
        "asked to close",
        &[b"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n", get],
        &["200 GET /a /a  (close)", "closed"],
    )
    .await;
    check(
        &server,
        "HTTP/1.0",
        &[b"GET /a b HTTP/1.0\r\n\r\n"],
        &["200 GET /a b /a%20b  (close)", "closed"],
    )
    .await;
}

#[tokio::test]
async fn what_hyper_refuses_stays_refused() {
    let server = Server::start(echo(), Limits::default()).await;
    for line in [
        &b"GET /a\rb HTTP/1.1"[..],
        b"GET /a b\r HTTP/1.1",
        b"GET /a\0b HTTP/1.1",
        b"GET /a b\0 HTTP/1.1",
        b"GET /a",
        b"GET /a b",
        b"GET /a HTTP/2.0",
        b"GET  HTTP/1.1",
        b"GET  /a HTTP/1.1",
        b"G<T /a HTTP/1.1",
        b" GET /a HTTP/1.1",
        b"\rGET /a HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01\x02",
    ] {
        let name = line.escape_ascii().to_string();
        let get = b"GET /next HTTP/1.1\r\n\r\n";
        let input: &[&[u8]] = &[line, b"\r\nHost: h\r\n\r\n", get];
        check(&server, &name, input, &["400  (close)", "closed"]).await;
    }
    for fields in [
        &b"Host : h"[..],
        b"X: a\rb",
        b"X: a\r\n b",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Transfer-Encoding: x",
    ] {
        let name = fields.escape_ascii().to_string();
        let input: &[&[u8]] = &[b"GET /a b HTTP/1.1\r\n", fields, b"\r\n\r\n"];
        check(&server, &name, input, &["400  (close)", "closed"]).await;
    }
}

#[tokio::test]
async fn long_targets() {
    let server = Server::start(echo(), Limits::default()).await;
    for (byte, count, status) in [
        ("a", 60_000, &["200"][..]),
        ("a", 66_000, "431"),
        ("a", 3_000_000, "431"),
        (" ", 21_000, "200"),
        (" ", 30_000, "431"),
        (" ", 3_000_000, "431"),
    ] {
        let mut client = Client::connect(server.addr).await;
        let head = format!("GET /{} HTTP/1.1\r\n\r\n", byte.repeat(count));
        client.send(head.as_bytes()).await;
        let answer = client.answer().await;
        assert_eq!(&answer[..3], status, "{count} times {byte:?}");
    }
    let roomy = Limits {
        head_max_bytes: 200_000,
        ..Limits::default()
    };
    let server = Server::start(echo(), roomy).await;
    let line = format!("GET /{} HTTP/1.1\r\n\r\n", " ".repeat(30_000));
    check(
        &server,
        "over hyper's own limit",
        &[line.as_bytes()],
        &["414  (close)", "closed"],
    )
    .await;
}

#[tokio::test]
async fn continue_is_sent_when_the_body_is_wanted() {
    let server = Server::start(echo(), Limits::default()).await;
    for (target, answer) in [
        ("/p", "200 POST /p /p hello"),
        ("/p q", "200 POST /p q /p%20q hello (close)"),
    ] {
        let mut client = Client::connect(server.addr).await;
        let head =
            format!("POST {target} HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        client.send(head.as_bytes()).await;
        assert_eq!(client.answer().await, "100");
        client.send(b"hello").await;
        assert_eq!(client.answer().await, answer);
    }
}

#[tokio::test]
async fn head_has_no_body() {
    let server = Server::start(echo(), Limits::default()).await;
    let mut client = Client::connect(server.addr).await;
    client
        .send(b"HEAD /a HTTP/1.1\r\n\r\nHEAD /b c HTTP/1.1\r\n\r\n")
        .await;
    let mut answers = String::new();
    bounded("both", client.socket.read_to_string(&mut answers))
        .await
        .unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
    assert!(!answers.contains("HEAD"), "{answers}");
}

/// All that is answered to `input`, without dates; the server never reads more than `step` bytes.
async fn transcript(input: &[u8], step: usize, rewriting: bool) -> String {
    let (client, server) = tokio::io::duplex(step);
    let served = async {
        if rewriting {
            let limits = Limits {
                head_read_timeout: Duration::from_secs(60),
                ..Limits::default()
            };
            let peer = "127.0.0.1:1".parse().unwrap();
            talk(
                server,
                peer,
                echo(),
                limits,
                GracefulShutdown::new().watcher(),
            )
            .await;
        } else {
            hyper_alone(server).await;
        }
    };
    let (mut answers, mut questions) = tokio::io::split(client);
    let ask = async {
        // The server may close before it has all.
        let _ = questions.write_all(input).await;
        let _ = questions.shutdown().await;
    };
    let mut text = Vec::new();
    let talking = async { tokio::join!(served, ask, answers.read_to_end(&mut text)) };
    bounded(&input.escape_ascii().to_string(), talking)
        .await
        .2
        .unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines = text
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("date:"));
    lines.collect()
}

async fn hyper_alone(socket: DuplexStream) {
    let service = TowerToHyperService::new(warp::service(echo()));
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .half_close(true)
        .max_buf_size(Limits::default().head_max_bytes)
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

#[tokio::test]
async fn split_anywhere() {
    let input = [
        &b"POST /p HTTP/1.1\r\nContent-Length: 9\r\n\r\nGET / x\r\n"[..],
        b"\r\nGET /a HTTP/1.1\r\n\r\n",
        b"POST / b HTTP/1.1\nContent-Length: 1\n\n\nGET /c HTTP/1.1\r\n\r\n",
    ]
    .concat();
    let whole = transcript(&input, input.len(), true).await;
    assert_eq!(whole.matches("HTTP/1.1 200").count(), 3, "{whole}");
    assert!(whole.ends_with("POST / b /%20b \\n"), "{whole}");
    for step in 1..input.len() {
        assert_eq!(
            transcript(&input, step, true).await,
            whole,
            "{step} bytes a read"
        );
    }
}

/// Pieces that a smuggler would play with.
fn pieces() -> impl Strategy<Value = Vec<&'static [u8]>> {
    let piece = prop::sample::select(vec![
        &b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"[..],
        b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        b"POST /p HTTP/1.1\r\n",
        b"Content-Length: 29\r\n",
        b"Content-Length: 0\r\n",
        b"content-length: +5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b" folded\r\n",
        b"GET /a HTTP/1.1\r\n\r\n",
        b"1d\r\n",
        b"0\r\n\r\n",
        b"0\r\nX: y\r\n\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\r\n",
        b"\0",
        b" ",
        b"x",
    ]);
    prop::collection::vec(piece, 1..9)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// For whatever is sent, what we answer is what hyper alone answers: to as many requests, or to
    /// fewer, because we close after a chunked one. Only a line that we encoded, where hyper says
    /// 400, differs, and it is the last.
    #[test]
    fn never_more_requests_than_hyper_alone_sees(pieces in pieces(), step in 1_usize..200) {
        let input = pieces.concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (ours, alone) = runtime.block_on(async {
            (transcript(&input, step, true).await, transcript(&input, step, false).await)
        });
        let encoded = ours.contains('%');
        let (ours, alone) = (answers(&ours), answers(&alone));
        let (last, before) = ours.split_last().map_or(("", &ours[..]), |(last, before)| (last, before));
        prop_assert!(ours.len() <= alone.len(), "{} {:?} {:?}", input.escape_ascii(), ours, alone);
        prop_assert_eq!(before, &alone[..before.len()]);
        if ours.len() < alone.len() {
            prop_assert!(last.contains("connection: close"), "{}", last);
        } else if !encoded && let Some(theirs) = alone.last() {
            let plain = last.replace("connection: close\r\n", "");
            prop_assert_eq!(plain, theirs.replace("connection: close\r\n", ""));
        }
    }
}

fn answers(text: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = text.match_indices("HTTP/1.").map(|(at, _)| at).collect();
    starts.push(text.len());
    starts
        .windows(2)
        .map(|pair| &text[pair[0]..pair[1]])
        .collect()
}
