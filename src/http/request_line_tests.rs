//! Byte for byte over real connections: what is sent, what is answered.

use tokio::io::AsyncReadExt;

use super::listener::Limits;
use super::smuggling_tests::transcript;
use super::wire::{Client, Server, bounded, echo};

const DIRTY: &[u8] =
    b"GET /h?t=Answered call (0:07) \"x\" <y>\t\xc5\xbd\xff HTTP/1.1\r\nHost: h\r\n\r\n";
const DIRTY_ANSWER: &str = "200 GET /h?t=Answered call (0:07) \\\"x\\\" <y>\\t\\xc5\\xbd\\xff \
    /h?t=Answered%20call%20(0:07)%20%22x%22%20%3Cy%3E%09%C5%BD%FF  (close)";
const CHUNKED: &[u8] =
    b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";

/// What it shows, what is sent, what `check` expects.
type Case<'a> = (&'a str, &'a [&'a [u8]], &'a [&'a str]);

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

const GET: &[u8] = b"GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n";
const GOT: &str = "200 GET /a?b=c /a?b=c ";
const POST: &[u8] = b"POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
const POSTED: &str = "200 POST /p /p hello";

#[tokio::test]
async fn each_request_of_a_connection_is_its_own() {
    let server = Server::start(echo(), Limits::default()).await;
    let cases: &[Case] = &[
        ("plain", &[GET], &[GOT, "open"]),
        ("dirty", &[DIRTY], &[DIRTY_ANSWER, "closed"]),
        (
            "dirty second",
            &[POST, DIRTY],
            &[POSTED, DIRTY_ANSWER, "closed"],
        ),
        (
            "dirty third",
            &[POST, GET, DIRTY],
            &[POSTED, GOT, DIRTY_ANSWER, "closed"],
        ),
        (
            "pipelined",
            &[GET, POST, GET, POST],
            &[GOT, POSTED, GOT, POSTED, "open"],
        ),
        (
            "nothing after a dirty one",
            &[DIRTY, GET, POST],
            &[DIRTY_ANSWER, "closed"],
        ),
        (
            "version inside the target",
            &[b"GET /x HTTP/1.1 y HTTP/1.1\r\n\r\n"],
            &["200 GET /x HTTP/1.1 y /x%20HTTP/1.1%20y  (close)", "closed"],
        ),
        (
            "blank lines before, bare line feeds",
            &[b"\r\n\n\r\nGET /n HTTP/1.1\nHost: h\n\n\n", GET],
            &["200 GET /n /n ", GOT, "open"],
        ),
        (
            "dirty after blank lines",
            &[POST, b"\r\n\r\nGET /n m HTTP/1.1\n\n"],
            &[POSTED, "200 GET /n m /n%20m  (close)", "closed"],
        ),
        (
            "a host and no path",
            &[b"GET h HTTP/1.1\r\n\r\n", b"OPTIONS * HTTP/1.1\r\n\r\n"],
            &["200 GET h * ", "200 OPTIONS * * ", "open"],
        ),
        (
            "asked to close",
            &[b"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n", GET],
            &["200 GET /a /a  (close)", "closed"],
        ),
        (
            "HTTP/1.0",
            &[b"GET /a b HTTP/1.0\r\n\r\n"],
            &["200 GET /a b /a%20b  (close)", "closed"],
        ),
    ];
    for (name, input, expected) in cases {
        check(&server, name, input, expected).await;
    }
}

#[tokio::test]
async fn bodies_are_never_read_as_request_lines() {
    let server = Server::start(echo(), Limits::default()).await;
    let trap: &[u8] = b"POST /p HTTP/1.1\r\nContent-Length: 34\r\n\r\n\
        GET /x y HTTP/1.1\r\nHost: \"h\"\r\n\r\n\r\n";
    let trapped = "200 POST /p /p GET /x y HTTP/1.1\\r\\nHost: \\\"h\\\"\\r\\n\\r\\n\\r\\n";
    let chunked = "200 POST /c /c abcde (close)";
    let cases: &[Case] = &[
        (
            "sized",
            &[trap, trap, GET],
            &[trapped, trapped, GOT, "open"],
        ),
        (
            "dirty after it",
            &[trap, DIRTY],
            &[trapped, DIRTY_ANSWER, "closed"],
        ),
        ("chunked", &[CHUNKED], &[chunked, "closed"]),
        (
            "nothing after chunked",
            &[GET, CHUNKED, DIRTY],
            &[GOT, chunked, "closed"],
        ),
        (
            "chunked, like a request line",
            &[
                b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"12\r\nGET /x y HTTP/1.1\n\r\n0\r\n\r\n",
            ],
            &["200 POST /c /c GET /x y HTTP/1.1\\n (close)", "closed"],
        ),
        (
            "dirty head, body like a request line",
            &[
                b"POST /d e HTTP/1.1\r\nContent-Length: 17\r\n\r\nGET / x HTTP/1.1\n",
                GET,
            ],
            &["200 POST /d e /d%20e GET / x HTTP/1.1\\n (close)", "closed"],
        ),
        (
            "both framings",
            &[
                b"POST /c HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"0\r\n\r\n",
                GET,
            ],
            &["200 POST /c /c  (close)", "closed"],
        ),
    ];
    for (name, input, expected) in cases {
        check(&server, name, input, expected).await;
    }
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
        ("a", 60_000, "200"),
        ("a", 66_000, "431"),
        ("a", 3_000_000, "431"),
        (" ", 21_000, "200"),
        (" ", 30_000, "414"),
        (" ", 3_000_000, "400"),
    ] {
        let mut client = Client::connect(server.addr).await;
        let head = format!("GET /{} HTTP/1.1\r\n\r\n", byte.repeat(count));
        client.send(head.as_bytes()).await;
        let answer = client.answer().await;
        assert_eq!(&answer[..3], status, "{count} times {byte:?}");
    }
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

#[tokio::test]
async fn split_anywhere() {
    let input = [
        &b"POST /p HTTP/1.1\r\nContent-Length: 9\r\n\r\nGET / x\r\n"[..],
        b"\r\nGET /a HTTP/1.1\r\n\r\n",
        b"POST / b HTTP/1.1\nContent-Length: 1\n\n\nGET /c HTTP/1.1\r\n\r\n",
    ]
    .concat();
    let whole = transcript(&input, input.len(), echo(), true).await;
    assert_eq!(whole.matches("HTTP/1.1 200").count(), 3, "{whole}");
    assert!(whole.ends_with("POST / b /%20b \\n"), "{whole}");
    for step in 1..input.len() {
        assert_eq!(
            transcript(&input, step, echo(), true).await,
            whole,
            "{step} bytes a read"
        );
    }
}
