//! Hearing and downloading: ranges, heads, and what is damaged or gone.

use std::time::Duration;

use crate::support::calls::key;
use crate::support::pbx::{Answer as Scripted, Pbx};
use crate::support::people::{self, archive, audio};
use crate::support::service::{Service, Setup};
use crate::support::vault::{Vault, on_both_stores};
use crate::support::wait::wait_for;
use crate::support::web::{Answer, Ask, get};

const RECORDING: &str = "230307142318_40-1-1";
const LARGE: &str = "230307142318_41-1-1";

on_both_stores!(
    all_of_it_by_a_range_is_whole_too,
    a_part_of_what_was_cut_is_not_served,
    parts_of_a_recording,
    what_is_damaged_or_gone_is_not_served
);

fn archived_in(vault: &Vault, pbx: &Pbx) -> Service {
    let service = vault.set_up(Setup::hq(&pbx.base_url())).start();
    people::post_corpus(&service, "hq");
    service.wait_for_recordings("archived", 10);
    service
}

fn assert_headers(answer: &Answer, how: &str) {
    let name = format!("{how}; filename=\"{RECORDING}.mp3\"");
    for (header, value) in [
        ("content-type", "audio/mpeg"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "private, no-store"),
        ("content-disposition", &name),
    ] {
        assert_eq!(answer.header(header), Some(value), "{header}");
    }
}

fn parts_of_a_recording(vault: &Vault) {
    let pbx = Pbx::start();
    let service = archived_in(vault, &pbx);
    let token = people::add(&service, "kim", "compliance", &[]);
    let object = vault.read(&key(RECORDING));
    let bytes = object.len();
    let ask = |range: &str| {
        let ask = audio(RECORDING)
            .by(&token)
            .because("parts")
            .header("Range", range);
        ask.send(service.admin())
    };
    let last = bytes - 1;
    for (range, from, to) in [
        ("bytes=0-99".to_owned(), 0, 99),
        ("bytes=0-0".to_owned(), 0, 0),
        ("bytes=1000-1999".to_owned(), 1000, 1999),
        (format!("bytes={last}-{last}"), last, last),
        (format!("bytes={last}-"), last, last),
        ("bytes=5000-".to_owned(), 5000, last),
        ("bytes=0-".to_owned(), 0, last),
        ("bytes=-1".to_owned(), last, last),
        ("bytes=-500".to_owned(), bytes - 500, last),
        (format!("bytes=-{}", bytes + 5), 0, last),
        (format!("bytes=100-{}", bytes + 5), 100, last),
        ("bytes=100-18446744073709551615".to_owned(), 100, last),
    ] {
        let answer = ask(&range);
        assert_eq!((answer.status, answer.is_whole), (206, true), "{range}");
        assert!(answer.body == object[from..=to], "{range}");
        let content = format!("bytes {from}-{to}/{bytes}");
        assert_eq!(
            answer.header("content-range"),
            Some(content.as_str()),
            "{range}"
        );
        assert_headers(&answer, "inline");
    }
    for range in [
        format!("bytes={bytes}-"),
        format!("bytes={bytes}-{bytes}"),
        "bytes=99999999-".to_owned(),
    ] {
        let answer = ask(&range);
        answer.assert_problem(416, "range_not_satisfiable");
        let content = format!("bytes */{bytes}");
        assert_eq!(answer.header("content-range"), Some(content.as_str()));
    }
    // Several, and what is no range: all of it, as the standard allows.
    for range in [
        "bytes=0-1,3-4",
        "bytes=9-5",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "lines=1-2",
        "bytes 0-1",
        "",
        "bytes=--1",
        "bytes=1-2-3",
        "bytes=99999999999999999999-",
    ] {
        let answer = ask(range);
        assert_eq!((answer.status, answer.is_whole), (200, true), "{range}");
        assert!(
            answer.body == object && answer.header("content-range").is_none(),
            "{range}"
        );
        assert_headers(&answer, "inline");
    }
    let head = Ask::new("HEAD", audio_path())
        .by(&token)
        .send(service.admin());
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(
        head.header("content-length"),
        Some(bytes.to_string().as_str())
    );
    assert_headers(&head, "inline");
    // A download is whole, whatever part of it is asked for.
    let whole = get(format!("{}?download=1", audio_path()))
        .by(&token)
        .header("Range", "bytes=0-9");
    let whole = whole.send(service.admin());
    assert_eq!((whole.status, whole.is_whole), (200, true));
    assert!(whole.body == object);
    assert_headers(&whole, "attachment");
    let odd = get(format!("{}?download=yes", audio_path())).by(&token);
    odd.send(service.admin()).assert_problem(400, "bad_query");
}

fn audio_path() -> String {
    format!("/api/v1/recordings/hq/{RECORDING}/audio")
}

/// A problem, or a connection that ends before the last byte; before the first one where all of it
/// is a single piece.
#[track_caller]
fn assert_not_served(service: &Service, ask: &Ask, bytes: usize) {
    let Some(answer) = ask.try_send(service.admin()) else {
        return;
    };
    let is_cut = !answer.is_whole && answer.body.len() < bytes;
    assert!(answer.status >= 500 || is_cut, "{}: {ask:?}", answer.status);
}

fn what_is_damaged_or_gone_is_not_served(vault: &Vault) {
    let pbx = Pbx::start();
    let service = archived_in(vault, &pbx);
    let token = people::add(&service, "kim", "compliance", &[]);
    let ask = |query: &str| {
        get(format!("{}{query}", audio_path()))
            .by(&token)
            .because("damage")
    };
    let sound = vault.read(&key(RECORDING));

    vault.damage(&key(RECORDING));
    for query in ["", "?download=1"] {
        assert_not_served(&service, &ask(query), sound.len());
    }
    assert!(service.log().contains("an archived recording is not sound"));
    vault.write(&key(RECORDING), &sound[..sound.len() - 1]);
    ask("")
        .send(service.admin())
        .assert_problem(500, "integrity");
    vault.write(&key(RECORDING), &[sound.as_slice(), b"x"].concat());
    ask("?download=1")
        .send(service.admin())
        .assert_problem(500, "integrity");
    vault.remove(&key(RECORDING));
    for query in ["", "?download=1"] {
        let answer = ask(query).send(service.admin());
        answer.assert_problem(500, "integrity");
        assert!(
            !answer.text().contains(&key(RECORDING)),
            "where it lay is told"
        );
    }
    ask("")
        .header("Range", "bytes=0-9")
        .send(service.admin())
        .assert_problem(500, "integrity");
    // The others are as they were.
    let other = audio("230307142318_40-2-1").by(&token).because("damage");
    let other = other.send(service.admin());
    assert!(other.is_whole && other.body == vault.read(&key("230307142318_40-2-1")));
}

/// A player's first request is for everything from the first byte on.
fn all_of_it_by_a_range_is_whole_too(vault: &Vault) {
    let pbx = Pbx::start();
    let service = archived_in(vault, &pbx);
    let token = people::add(&service, "kim", "listener", &[]);
    let bytes = vault.read(&key(RECORDING)).len();
    vault.damage(&key(RECORDING));
    for range in ["bytes=0-".to_owned(), format!("bytes=-{bytes}")] {
        let ask = audio(RECORDING)
            .by(&token)
            .because("damage")
            .header("Range", &range);
        assert_not_served(&service, &ask, bytes);
    }
}

/// Fewer bytes than the head says are never an answer that ends well.
fn a_part_of_what_was_cut_is_not_served(vault: &Vault) {
    let pbx = Pbx::start();
    let service = archived_in(vault, &pbx);
    let token = people::add(&service, "kim", "listener", &[]);
    let object = vault.read(&key(RECORDING));
    vault.write(&key(RECORDING), &object[..object.len() - 100]);
    for range in ["bytes=1000-", "bytes=-50", "bytes=-200"] {
        let ask = audio(RECORDING)
            .by(&token)
            .because("damage")
            .header("Range", range);
        assert_not_served(&service, &ask, object.len());
    }
}

#[test]
fn what_is_not_archived_cannot_be_heard() {
    let pbx = Pbx::start();
    pbx.script(LARGE, [Scripted::status(404)]);
    let service = Setup::hq(&pbx.base_url()).start();
    crate::support::calls::announce(&service, &crate::support::calls::url(LARGE));
    service.wait_for_recordings("pending", 1);
    let token = people::add(&service, "kim", "compliance", &[]);
    audio(LARGE)
        .by(&token)
        .because("early")
        .send(service.admin())
        .assert_problem(409, "not_archived");
    let heard = "SELECT count(*) FROM custody WHERE act = 'listened'";
    assert_eq!(service.number(heard), 0);
}

/// A listener hears, and does not download.
#[test]
fn a_download_is_a_right_of_its_own() {
    let pbx = Pbx::start();
    let service = archive(&pbx);
    let token = people::add(&service, "lee", "listener", &[]);
    let ask = |query: &str| {
        get(format!("{}{query}", audio_path()))
            .by(&token)
            .because("mine")
    };
    assert_eq!(ask("").send(service.admin()).status, 200);
    assert_eq!(ask("?download=0").send(service.admin()).status, 200);
    ask("?download=1")
        .send(service.admin())
        .assert_problem(403, "forbidden");
    let acts = "SELECT json_array(act) FROM custody WHERE actor LIKE 'lee%' ORDER BY seq";
    let acts: Vec<String> = service.rows(acts).iter().map(ToString::to_string).collect();
    assert_eq!(acts, [r#"["listened"]"#, r#"["denied"]"#]);
}

/// A recording of so many pieces, archived; the length of its audio.
fn large(service: &Service, pbx: &Pbx, times: usize) -> usize {
    let body = crate::support::pbx::audio(RECORDING).repeat(times);
    let bytes = body.len();
    pbx.script(LARGE, [Scripted::ok(body)]);
    crate::support::calls::announce(service, &crate::support::calls::url(LARGE));
    service.wait_for_recordings("archived", 1);
    bytes
}

/// What is damaged is known at the end only, and the end is held back until then.
#[test]
fn a_large_one_that_is_damaged_never_ends() {
    let (pbx, vault) = (Pbx::start(), Vault::directory());
    let service = vault.set_up(Setup::hq(&pbx.base_url())).start();
    large(&service, &pbx, 40);
    let token = people::add(&service, "kim", "compliance", &[]);
    let bytes = vault.read(&key(LARGE)).len();
    vault.damage(&key(LARGE));
    for query in ["", "?download=1"] {
        let target = format!("/api/v1/recordings/hq/{LARGE}/audio{query}");
        let answer = get(target)
            .by(&token)
            .because("large")
            .send(service.admin());
        assert_eq!((answer.status, answer.is_whole), (200, false), "{query}");
        let some = 1..bytes;
        assert!(
            some.contains(&answer.body.len()),
            "{query}: {}",
            answer.body.len()
        );
    }
}

/// The largest that the process ever was, in bytes.
fn peak_bytes(service: &Service) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

#[test]
fn a_running_stream_ends_with_its_token() {
    let pbx = Pbx::start();
    let mut service = Setup::hq(&pbx.base_url()).start();
    // Large enough that no buffer on the way holds all of it.
    let bytes = large(&service, &pbx, 1400);
    // So that the peak is that of serving.
    service.restart();
    let token = people::add(&service, "kim", "compliance", &[]);
    let before = peak_bytes(&service);
    let whole = audio(LARGE).by(&token).because("all").send(service.admin());
    assert!(whole.is_whole && whole.body.len() > bytes);
    let grown = peak_bytes(&service) - before;
    assert!(
        grown < bytes / 2,
        "{grown} bytes of memory for {bytes} of audio"
    );

    let mut streams = ["", "?download=1"].map(|query| {
        let target = format!("/api/v1/recordings/hq/{LARGE}/audio{query}");
        let mut stream = get(target).by(&token).open(service.admin());
        assert!(stream.status() == 200 && stream.read_on());
        stream
    });
    people::revoke(&service, "kim");
    audio(LARGE)
        .by(&token)
        .send(service.admin())
        .assert_problem(401, "unauthorized");
    for stream in &mut streams {
        // Slowly, as a player reads: what lies in buffers still comes.
        wait_for("the stream ends", Duration::from_secs(30), || {
            !stream.read_on()
        });
        assert!(stream.bytes() < bytes, "all of it came");
    }
}
