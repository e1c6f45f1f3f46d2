//! Killed at any moment, and started again: what was under way goes on, and nothing counts twice.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::hook;
use crate::support::pbx::{Answer, Pbx, audio};
use crate::support::service::{Service, Setup};
use crate::support::wait::wait_for;

const RECORDING: &str = "230307142318_40-1-1";
const WITHIN: Duration = Duration::from_secs(20);
/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(600);

fn announce(service: &Service) {
    let url = format!("https://FQDN:5001/webapi/recording/{RECORDING}.mp3");
    hook::post(service.hook(), url);
}

/// A store that has nothing, takes what is put and never says a word about it; what else is asked,
/// it refuses.
pub fn silent_store() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let store = s3(&format!("http://{}", listener.local_addr().unwrap()));
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            let (mut stream, mut head) = (BufReader::new(stream), String::new());
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap_or(0) > 0 {}
            let status = match head.split(['/', '?', ' ']).collect::<Vec<_>>()[..] {
                ["PUT", ..] => {
                    held.push(stream);
                    continue;
                }
                ["HEAD", _, _, "hq", ..] => "404 Not Found",
                ["HEAD", ..] => "200 OK",
                _ => continue,
            };
            let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n");
            let _ = stream.get_mut().write_all(answer.as_bytes());
        }
    });
    store
}

fn s3(endpoint: &str) -> String {
    format!(
        "kind = \"s3\"\nbucket = \"calls\"\nendpoint = \"{endpoint}\"\npath_style = true\n\
         access_key = \"a\"\nsecret_key = \"b\"\n"
    )
}

/// A directory as store instead, from the next start on.
fn with_directory(service: &Service, store: &str) {
    let directory = service.dir().join("archive");
    let directory = format!("kind = \"directory\"\npath = \"{}\"\n", directory.display());
    service.rewrite(&service.settings().replace(store, &directory));
}

fn spool(service: &Service) -> PathBuf {
    service.data_dir().join("spool")
}

fn spooled(service: &Service) -> Vec<String> {
    let files = fs::read_dir(spool(service)).unwrap();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    files.map(|entry| name(entry.unwrap())).collect()
}

fn wait_until_frozen(service: &Service) {
    let frozen = "SELECT count(*) FROM recordings WHERE object_key IS NOT NULL";
    wait_for("it is about to be uploaded", WITHIN, || {
        service.number(frozen) == 1
    });
}

fn recording(service: &Service) -> Value {
    service.json(&["show", RECORDING]).remove(0)
}

/// After all of it: archived by an attempt that counts as so many, proved, nothing left over.
fn assert_archived(service: &Service, attempts: i64) {
    service.wait_for_recordings("archived", 1);
    assert_eq!(recording(service)["attempts"], attempts);
    let kept = "SELECT json_array(attempt, code, ended_at IS NOT NULL) FROM attempts \
        ORDER BY attempt DESC LIMIT 1";
    assert_eq!(service.rows(kept), [json!([attempts, null, 1])]);
    let verify = service.cli(&["verify", "--all"]);
    assert_eq!(verify.status, 0, "{}{}", verify.stdout, verify.stderr);
    wait_for("the local copy is gone", WITHIN, || {
        spooled(service).is_empty()
    });
}

/// It may be the only copy that is left.
#[test]
fn what_could_not_be_tagged_stays() {
    const TAG_BYTES: usize = 17 << 20;
    let size = [21, 14, 7, 0].map(|shift| (TAG_BYTES >> shift) as u8 & 0x7f);
    let mut body = [b"ID3\x04\0\0".as_slice(), &size].concat();
    body.resize(body.len() + TAG_BYTES, 0);
    body.extend(audio(RECORDING));
    let pbx = Pbx::start();
    pbx.script(RECORDING, [Answer::ok(body)]);
    let mut service = Setup::hq(&pbx.base_url()).start();
    announce(&service);
    service.wait_for_recordings("failed", 1);
    let code = "SELECT json_quote(code) FROM attempts";
    assert_eq!(service.rows(code), [json!("tag")]);
    service.kill();
    service.restart();
    assert_eq!(spooled(&service).len(), 1);
}

#[test]
fn killed_while_downloading() {
    let pbx = Pbx::start();
    let bytes = audio(RECORDING).len();
    let drips = Answer::audio(RECORDING).drip(bytes / 2, FOR_EVER);
    pbx.script(RECORDING, [drips, Answer::audio(RECORDING)]);
    let mut service = Setup::hq(&pbx.base_url()).start();
    announce(&service);
    wait_for("half of it is on disk", WITHIN, || {
        let half = |name: &String| {
            let written = fs::metadata(spool(&service).join(name));
            name.ends_with(".part") && written.is_ok_and(|file| file.len() > 0)
        };
        spooled(&service).iter().any(half)
    });
    assert_eq!(recording(&service)["attempts"], 1);
    service.kill();
    assert_eq!(
        service.number("SELECT count(*) FROM attempts WHERE ended_at IS NULL"),
        1
    );
    assert_eq!(spooled(&service).len(), 1);

    service.restart();
    assert_archived(&service, 1);
    assert_eq!(pbx.requests().len(), 2);
}

#[test]
fn killed_while_uploading() {
    let pbx = Pbx::start();
    let store = silent_store();
    let mut service = Setup::hq(&pbx.base_url()).store(&store).start();
    announce(&service);
    wait_until_frozen(&service);
    service.kill();
    let frozen = recording(&service);
    assert_eq!(
        (&frozen["attempts"], &frozen["state"]),
        (&json!(1), &json!("pending"))
    );

    with_directory(&service, &store);
    service.restart();
    assert_archived(&service, 1);
    assert_eq!(pbx.requests().len(), 1, "the body was at hand");
    for key in ["object_key", "object_sha256", "original_sha256"] {
        assert_eq!(recording(&service)[key], frozen[key], "{key}");
    }
}

#[test]
fn killed_while_the_store_is_away() {
    let pbx = Pbx::start();
    let store = s3("http://127.0.0.1:9");
    let mut service = Setup::hq(&pbx.base_url()).store(&store).start();
    announce(&service);
    let failed = "SELECT count(*) FROM attempts WHERE code = 'store_unreachable'";
    wait_for("it was tried twice", WITHIN, || service.number(failed) >= 2);
    service.kill();
    let ended = service.number("SELECT count(*) FROM attempts WHERE ended_at IS NOT NULL");

    with_directory(&service, &store);
    service.restart();
    // What failed did count; what was cut short did not.
    assert_archived(&service, ended + 1);
    assert_eq!(pbx.requests().len(), 1, "the body was at hand");
}

#[test]
fn killed_again_and_again() {
    let pbx = Pbx::start();
    let store = silent_store();
    let mut service = Setup::hq(&pbx.base_url()).store(&store).start();
    announce(&service);
    wait_for("it is alive", WITHIN, || {
        service.number("SELECT count(*) FROM heartbeat") == 1
    });
    for times in 1..=5 {
        wait_for("it is worked on", WITHIN, || {
            service.number("SELECT count(*) FROM attempts WHERE ended_at IS NULL") == 1
        });
        service.kill();
        service.restart();
        wait_for("each time it did not run is a gap", WITHIN, || {
            service.number("SELECT count(*) FROM gaps") == times
        });
    }
    service.kill();
    with_directory(&service, &store);
    service.restart();
    assert_archived(&service, 1);
}

#[test]
fn a_body_that_is_not_the_one_that_was_noted_is_fetched_anew() {
    let pbx = Pbx::start();
    let store = silent_store();
    let mut service = Setup::hq(&pbx.base_url()).store(&store).start();
    announce(&service);
    wait_until_frozen(&service);
    service.kill();
    let body = spool(&service).join(format!("hq.{RECORDING}.mp3"));
    let mut bytes = fs::read(&body).unwrap();
    bytes[5000] ^= 1;
    fs::write(&body, bytes).unwrap();

    with_directory(&service, &store);
    service.restart();
    assert_archived(&service, 1);
    assert_eq!(pbx.requests().len(), 2);
}

#[test]
fn what_nobody_waits_for_is_swept() {
    let pbx = Pbx::start();
    pbx.script(RECORDING, [Answer::status(404), Answer::audio(RECORDING)]);
    let mut service = Setup::hq(&pbx.base_url())
        .archive("retry", r#"["1s"]"#)
        .start();
    announce(&service);
    let tried = "SELECT count(*) FROM attempts WHERE code = 'not_there'";
    wait_for("it was tried", WITHIN, || service.number(tried) == 1);
    service.kill();
    // Of a body whose digest never came into the index, nobody knows whether it is whole.
    let unknown = [
        format!("hq.{RECORDING}.mp3"),
        format!("hq.{RECORDING}.7.part"),
        "hq.230307142318_99-1-1.mp3".to_owned(),
        "gone.230307142318_40-1-1.mp3".to_owned(),
        "notes.txt".to_owned(),
    ];
    for name in &unknown {
        fs::write(spool(&service).join(name), b"half of something").unwrap();
    }
    let temporary = service.dir().join("archive/.callvault-a1b2.part");
    fs::write(&temporary, b"half").unwrap();
    service.restart();
    wait_for("the store is swept", WITHIN, || !temporary.exists());
    assert_archived(&service, 2);
    assert_eq!(pbx.requests().len(), 2);
}

#[test]
fn a_second_instance_names_the_first() {
    let mut service = Setup::hq("http://127.0.0.1:9").start();
    let listen = service.data_dir().join("listen.json");
    let before = fs::read_to_string(&listen).unwrap();
    let second = service.cli(&["serve"]);
    assert_eq!(second.status, 1);
    let holder = format!("already worked by process {}", service.pid());
    assert!(second.stderr.contains(&holder), "{}", second.stderr);
    assert!(second.stdout.is_empty(), "{}", second.stdout);
    // The first one is none the worse for it.
    assert_eq!(fs::read_to_string(&listen).unwrap(), before);
    announce(&service);
    let third = service.cli(&["serve"]);
    assert!(third.stderr.contains(&holder), "{}", third.stderr);
    // A lock of the dead holds nobody up.
    service.kill();
    service.restart();
}
