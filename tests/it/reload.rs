//! SIGHUP: a new certificate and new hook secrets, without a connection or an event lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustls::version::TLS13;

use crate::https;
use crate::support::hook::{Connection, Request, send};
use crate::support::manager::Manager;
use crate::support::service::{SECRET, Service, Setup};
use crate::support::tls::{Authority, Secure};

const NAME: &str = "vault.test.invalid";
const NO_PBX: &str = "http://127.0.0.1:9";
const NEWER: &str = "fedcba9876543210fedcba9876543210";
const NEWEST: &str = "00112233445566778899aabbccddeeff";

#[test]
fn a_certificate_is_exchanged_while_the_service_runs() {
    let authority = Authority::new();
    let mut service = https::prepare(&authority);
    let manager = Manager::start(&mut service);
    let client = authority.client(&[&TLS13]);
    let open = |service: &Service| Secure::open(service.hook(), NAME, &client).unwrap();
    let (before, kept) = (open(&service).certificate(), open(&service));

    let (cert, key) = (
        service.dir().join("cert.pem"),
        service.dir().join("key.pem"),
    );
    authority.write_pair(NAME, &cert, &key);
    assert_eq!(
        open(&service).certificate(),
        before,
        "not before it is told"
    );
    let said = manager.reload(&service);
    assert!(
        said.starts_with("reloaded: hook secrets and certificate"),
        "{said}"
    );
    let after = open(&service).certificate();
    assert!(after != before);
    let answer = kept
        .ask(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 404 "),
        "what is open goes on: {answer}"
    );

    fs::write(&cert, "nothing").unwrap();
    let said = manager.reload(&service);
    assert!(
        said.starts_with("not reloaded, what was is kept: "),
        "{said}"
    );
    assert!(said.contains("there is no certificate in PEM"), "{said}");
    assert!(service.log().contains("not reloaded, what was is kept: "));
    assert_eq!(open(&service).certificate(), after);
}

/// Who is let in, of those who know the three secrets.
fn let_in(service: &Service) -> [bool; 3] {
    [SECRET, NEWER, NEWEST].map(|secret| {
        let request = Request::get(format!("/hook/hq/{secret}?event=ringing"));
        let status = send(service.hook(), &request).unwrap().status;
        assert!(matches!(status, 200 | 404), "{status}");
        status == 200
    })
}

#[test]
fn two_secrets_are_valid_while_one_takes_over() {
    let mut service = Setup::hq(NO_PBX).prepare();
    service.secrets.learn(NEWER);
    service.secrets.learn(NEWEST);
    let file = service.dir().join("secrets");
    let write = |text: &str| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    };
    write(SECRET);
    let inline = format!("hook_secret = \"{SECRET}\"");
    let from_file = service
        .settings()
        .replace(&inline, "hook_secret_file = \"./secrets\"");
    service.rewrite(&from_file);
    let manager = Manager::start(&mut service);
    let mut kept = Connection::open(service.hook()).unwrap();
    let by_first = Request::get(format!("/hook/hq/{SECRET}?event=ringing"));
    assert_eq!(kept.send(&by_first).unwrap().status, 200);
    assert_eq!(let_in(&service), [true, false, false]);

    write(&format!("{NEWER}\n\n{SECRET}\n"));
    assert_eq!(
        let_in(&service),
        [true, false, false],
        "not before it is told"
    );
    manager.reload(&service);
    assert!(!service.log().contains("by an old secret"));
    assert_eq!(let_in(&service), [true, true, false]);
    assert_eq!(kept.send(&by_first).unwrap().status, 200);
    let old = service
        .log()
        .lines()
        .filter(|line| line.contains("by an old secret"))
        .count();
    assert_eq!(old, 1, "said, but not for each");

    for wrong in ["short", &format!("{NEWEST}\n!"), ""] {
        write(wrong);
        let said = manager.reload(&service);
        assert!(said.starts_with("not reloaded"), "{said}");
        assert_eq!(let_in(&service), [true, true, false]);
    }
    write(NEWEST);
    manager.reload(&service);
    assert_eq!(let_in(&service), [false, false, true]);
    assert_eq!(kept.send(&by_first).unwrap().status, 404);

    let list = format!("hook_secret = [\"{SECRET}\", \"{NEWEST}\"]");
    service.rewrite(&from_file.replace("hook_secret_file = \"./secrets\"", &list));
    manager.reload(&service);
    assert_eq!(let_in(&service), [true, false, true]);
}
