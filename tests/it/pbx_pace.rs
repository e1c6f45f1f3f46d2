//! A PBX that falls silent or dawdles: how long it is waited for, and that it is not for ever.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::json;

use crate::support::ahead::Ahead;
use crate::support::calls::spooled;
use crate::support::outcome::{announce, assert_archive_holds, codes, outcome};
use crate::support::pbx::audio;
use crate::support::service::{Service, Setup};
use crate::support::wait::wait_for;

const RECORDING: &str = "230307142318_40-2-1";
const ID: &str = "hq/230307142318_40-2-1";
const WITHIN: Duration = Duration::from_secs(20);
/// Less than a PBX may be silent, and more.
const SHORT: Duration = Duration::from_secs(25);
const LONG: Duration = Duration::from_secs(31);
const KIB: usize = 1024;

/// A service that has asked for the recording, and the test in the PBX's place.
struct Asked {
    service: Service,
    ahead: Ahead,
    pbx: TcpStream,
    body: Vec<u8>,
    sent: usize,
}

impl Asked {
    /// For a body that is this often the recording's own.
    fn for_body(times: usize) -> Asked {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let base_url = format!("http://{}", listener.local_addr().expect("its address"));
        let setup = Setup::hq(&base_url).archive("retry", r#"["1h"]"#);
        let (mut service, ahead) = (setup.prepare(), Ahead::by_nothing());
        ahead.of(&mut service);
        service.restart();
        announce(&service, RECORDING, None);
        Asked {
            pbx: next_request(&listener),
            service,
            ahead,
            body: audio(RECORDING).repeat(times),
            sent: 0,
        }
    }

    fn answer(&mut self) {
        let bytes = self.body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
        self.pbx.write_all(head.as_bytes()).expect("send the head");
    }

    /// So much more of the body; true once that is on disk, false where nobody reads on.
    fn is_read(&mut self, bytes: usize) -> bool {
        let piece = &self.body[self.sent..self.sent + bytes];
        self.sent += bytes;
        if self.pbx.write_all(piece).is_err() {
            return false;
        }
        let (service, sent) = (&self.service, self.sent as u64);
        let mut is_given_up = false;
        wait_for("it reads on or gives up", WITHIN, || {
            is_given_up = has_ended(service);
            is_given_up || bytes_in_spool(service) == sent
        });
        !is_given_up
    }

    /// After each pause so many bytes more; how many pauses were borne.
    fn pauses_borne(&mut self, most: usize, bytes: usize) -> usize {
        let mut pauses = 0..most;
        let ended = pauses.find(|_| {
            self.ahead.turn(SHORT);
            !self.is_read(bytes)
        });
        ended.unwrap_or(most)
    }

    fn assert_waits_with(&self, code: &str) {
        wait_for("it is given up", WITHIN, || has_ended(&self.service));
        let found = outcome(&self.service, ID);
        let stood = (found.state.as_str(), found.code.as_deref());
        assert_eq!(stood, ("pending", Some(code)), "{found:?}");
        assert_eq!(codes(&self.service, ID), json!([code]));
    }
}

fn next_request(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("not to block");
    let mut accepted = None;
    wait_for("it is asked for", WITHIN, || {
        accepted = match listener.accept() {
            Ok((stream, _)) => Some(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("accept: {error}"),
        };
        accepted.is_some()
    });
    let mut stream = accepted.expect("waited for");
    stream.set_nonblocking(false).expect("to block");
    let bounded = stream.set_read_timeout(Some(WITHIN));
    bounded.expect("set a timeout");
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a request");
        head.push(byte[0]);
    }
    stream
}

fn has_ended(service: &Service) -> bool {
    service.number("SELECT count(*) FROM attempts WHERE ended_at IS NOT NULL") > 0
}

fn bytes_in_spool(service: &Service) -> u64 {
    let directory = service.data_dir().join("spool");
    // A file may be gone again since it was listed.
    let bytes = |name| std::fs::metadata(directory.join(name)).map_or(0, |file| file.len());
    spooled(service).into_iter().map(bytes).sum()
}

#[test]
fn who_takes_a_request_and_says_nothing_is_not_waited_for() {
    let asked = Asked::for_body(1);
    asked.ahead.turn(LONG);
    asked.assert_waits_with("pbx_unreachable");
}

#[test]
fn who_falls_silent_within_a_body_is_not_waited_for() {
    let mut asked = Asked::for_body(1);
    asked.answer();
    assert!(asked.is_read(5000));
    assert_eq!(asked.pauses_borne(1, 1000), 1);
    asked.ahead.turn(LONG);
    asked.assert_waits_with("body_short");
}

/// Never silent for long, and never done: after a minute it is to be a KiB for each second more.
#[test]
fn who_drips_is_not_waited_for() {
    let mut asked = Asked::for_body(10);
    asked.answer();
    assert!(asked.is_read(5 * KIB));
    assert_eq!(asked.pauses_borne(2, 10), 2);
    // Its last piece may be on disk before it is found too little.
    asked.pauses_borne(1, 10);
    asked.assert_waits_with("body_slow");
}

#[test]
fn a_slow_line_is_heard_out() {
    let mut asked = Asked::for_body(10);
    asked.answer();
    assert!(asked.is_read(100 * KIB));
    // After 150 s it is to be 90 KiB.
    assert_eq!(asked.pauses_borne(6, 10), 6);
    let rest = &asked.body[asked.sent..];
    asked.pbx.write_all(rest).expect("send the rest");
    asked.service.wait_for_recordings("archived", 1);
    assert_archive_holds(&asked.service, &[(ID, &asked.body, &[])]);
}

/// However much has come.
#[test]
fn a_body_is_there_within_an_hour() {
    let mut asked = Asked::for_body(400);
    asked.answer();
    assert!(asked.is_read(4096 * KIB));
    let pauses_of_an_hour = 3600 / SHORT.as_secs() as usize;
    let borne = asked.pauses_borne(2 * pauses_of_an_hour, 144);
    let told = format!("{borne} pauses of {pauses_of_an_hour}");
    assert!(borne.abs_diff(pauses_of_an_hour) <= 1, "{told}");
    asked.assert_waits_with("body_slow");
}
