//! TLS on our own listeners.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};

use crate::support::hook::target;
use crate::support::people;
use crate::support::service::{Service, Setup};
use crate::support::tls::{Authority, Secure};

/// Nothing is fetched here.
const NO_PBX: &str = "http://127.0.0.1:9";
const NAME: &str = "vault.test.invalid";

fn cert(service: &Service) -> PathBuf {
    service.dir().join("cert.pem")
}

fn key(service: &Service) -> PathBuf {
    service.dir().join("key.pem")
}

/// Both listeners speak TLS, by a certificate of this authority.
pub fn prepare(authority: &Authority) -> Service {
    let service = Setup::hq(NO_PBX).prepare();
    authority.write_pair(NAME, &cert(&service), &key(&service));
    let settings = service.settings().replace(
        "[listen]\n",
        "[listen]\ntls_cert_file = \"cert.pem\"\ntls_key_file = \"./key.pem\"\n",
    );
    service.rewrite(&settings);
    service
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n").into_bytes()
}

#[test]
fn both_listeners_speak_tls_and_nothing_else() {
    let authority = Authority::new();
    let mut service = prepare(&authority);
    service.restart();
    for versions in [&[&TLS12][..], &[&TLS13], &[&TLS13, &TLS12]] {
        let client = authority.client(versions);
        let open = |to| Secure::open(to, NAME, &client).expect("a handshake");
        let event = format!("{}?event=ringing&title=a raw \"space\"", target("hq"));
        let answer = open(service.hook()).ask(&get(&event)).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("{}"),
            "{answer}"
        );
        let answer = open(service.admin()).ask(&get("/healthz")).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let raw = service.rows("SELECT json_array(CAST(raw AS TEXT)) FROM events");
    assert_eq!(
        raw,
        [(); 3].map(|()| serde_json::json!(["event=ringing&title=a raw \"space\""]))
    );

    let stranger = Authority::new().client(&[&TLS13]);
    assert!(Secure::open(service.hook(), NAME, &stranger).is_err());
    let client = authority.client(&[&TLS13]);
    assert!(Secure::open(service.hook(), "other.test.invalid", &client).is_err());
    for to in [service.hook(), service.admin()] {
        let mut plain = TcpStream::connect(to).unwrap();
        plain
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        plain.write_all(&get(&target("hq"))).unwrap();
        let mut answer = Vec::new();
        // A reset is as good an end.
        let _ = plain.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{}", answer.escape_ascii());
        let open = Secure::open(to, NAME, &client);
        assert!(open.is_ok(), "it goes on");
    }
    assert_eq!(service.number("SELECT count(*) FROM events"), 3);
}

/// What a client that knows no later version sends.
fn client_hello(minor: u8) -> Vec<u8> {
    let suites = [0xC0, 0x13, 0xC0, 0x14, 0x00, 0x2F];
    let mut hello = vec![3, minor];
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend([0, suites.len() as u8]);
    hello.extend(suites);
    hello.extend([1, 0]);
    let mut message = vec![1, 0, 0, hello.len() as u8];
    message.extend(hello);
    let mut record = vec![22, 3, 1, 0, message.len() as u8];
    record.extend(message);
    record
}

#[test]
fn older_versions_are_refused() {
    let mut service = prepare(&Authority::new());
    service.restart();
    for minor in [1, 2] {
        let mut socket = TcpStream::connect(service.hook()).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        socket.write_all(&client_hello(minor)).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        // A fatal alert and the end, no handshake.
        assert!(
            matches!(answer[..], [21, 3, _, 0, 2, 2, _]),
            "{minor}: {answer:?}"
        );
    }
}

#[test]
fn a_cookie_that_was_set_over_tls_stays_there() {
    let authority = Authority::new();
    let mut service = prepare(&authority);
    service.restart();
    people::add(&service, "kim", "viewer", &[]);
    let client = authority.client(&[&TLS13]);
    let open = Secure::open(service.admin(), NAME, &client).unwrap();
    let answer = open.ask(&get("/sign-in")).unwrap();
    let cookie = answer
        .lines()
        .find(|line| line.to_lowercase().starts_with("set-cookie:"));
    assert!(
        cookie.is_some_and(|cookie| cookie.ends_with("; Secure")),
        "{cookie:?}"
    );
}

#[test]
fn a_bad_pair_is_said_before_the_service_runs() {
    let service = prepare(&Authority::new());
    assert_eq!(service.cli(&["check"]).status, 0);
    let other = service.dir().join("other.pem");
    Authority::new().write_pair(NAME, &other, &key(&service));
    let no_pair = "are no pair";
    let key_text = std::fs::read_to_string(key(&service)).unwrap();
    let no_key = "there is no private key in PEM";
    let no_cert = "there is no certificate in PEM";
    for (cert_text, key_text, said) in [
        (None, key_text.as_str(), no_pair),
        (None, "nothing", no_key),
        (Some(key_text.as_str()), key_text.as_str(), no_cert),
    ] {
        if let Some(text) = cert_text {
            std::fs::write(cert(&service), text).unwrap();
        }
        std::fs::write(key(&service), key_text).unwrap();
        let checked = service.cli(&["check"]);
        assert_eq!(checked.status, 64, "{}", checked.stdout);
        assert!(checked.stdout.contains(said), "{}", checked.stdout);
        let started = service.cli(&["serve"]);
        assert_eq!(started.status, 64, "{}", started.stderr);
        assert!(started.stderr.contains(said), "{}", started.stderr);
        assert!(
            started.stderr.contains("listen.tls_cert_file"),
            "{}",
            started.stderr
        );
    }
}
