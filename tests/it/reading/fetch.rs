//! Taking recordings out: whole, checked, and never over another file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::calls::{RECORDINGS, announce, key, post_corpus, url};
use crate::support::pbx::{Answer, Pbx};
use crate::support::service::{Output, Service, Setup};
use crate::support::vault::{Vault, on_both_stores};
use crate::support::wait::wait_for;

on_both_stores!(
    files_are_what_was_archived,
    no_other_file_is_touched,
    what_is_not_sound_is_not_handed_out,
);

const CALL: [&str; 2] = ["230307142318_40-1-1", "230307142318_40-2-1"];

fn started(vault: &Vault) -> (Pbx, Service) {
    let pbx = Pbx::start();
    let service = vault.set_up(Setup::hq(&pbx.base_url())).start();
    post_corpus(&service);
    service.wait_for_recordings("archived", RECORDINGS.len() as i64);
    (pbx, service)
}

fn fetch(service: &Service, what: &[&str], into: &Path) -> Output {
    service.cli(&[&["fetch", "-o", into.to_str().unwrap()], what].concat())
}

fn assert_holds(vault: &Vault, directory: &Path, recordings: &[&str]) {
    let files = fs::read_dir(directory).unwrap();
    let name = |file: std::io::Result<fs::DirEntry>| file.unwrap().file_name();
    let mut names: Vec<String> = files
        .map(|file| name(file).into_string().unwrap())
        .collect();
    names.sort();
    let mut expected: Vec<String> = recordings
        .iter()
        .map(|name| format!("{name}.mp3"))
        .collect();
    expected.sort();
    assert_eq!(names, expected);
    for recording in recordings {
        let file = fs::read(directory.join(format!("{recording}.mp3"))).unwrap();
        assert!(file == vault.read(&key(recording)), "{recording}");
    }
}

fn files_are_what_was_archived(vault: &Vault) {
    let (_pbx, mut service) = started(vault);
    let out = service.dir().join("out");
    for is_running in [true, false] {
        if !is_running {
            service.terminate();
        }
        for (at, (what, recordings)) in [
            (vec!["230307142318_40"], &CALL[..]),
            (vec!["hq/230307142318_40"], &CALL[..]),
            (vec!["230307142318_40-2"], &CALL[1..]),
            (vec!["hq/230307142318_40-2-1"], &CALL[1..]),
            (vec![CALL[0], CALL[1], "230307142318_40"], &CALL[..]),
            (vec!["--number", "420774852629"], &RECORDINGS[9..]),
            (
                vec!["--from", "2023-03-07", "--direction", "in"],
                &RECORDINGS[1..8],
            ),
            (vec!["--pbx", "hq"], &RECORDINGS[..]),
        ]
        .into_iter()
        .enumerate()
        {
            let into = out.join(format!("{is_running}/{at}"));
            // The second time onto files that are equal.
            for _ in 0..2 {
                let said = fetch(&service, &what, &into);
                assert_eq!(said.status, 0, "{what:?}: {}", said.stderr);
                assert_eq!(said.stdout.lines().count(), recordings.len(), "{what:?}");
                assert!(said.stdout.lines().all(|path| Path::new(path).is_file()));
                assert_holds(vault, &into, recordings);
            }
        }
    }
    let said = fetch(&service, &["230307142318_40", "--json"], &out.join("json"));
    let lines = said.stdout.lines();
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), CALL.len());
    assert_eq!(fetch(&service, &["230307999999_1"], &out).status, 1);
    assert_eq!(fetch(&service, &["--number", "111111"], &out).status, 1);
    assert_eq!(fetch(&service, &[], &out).status, 64);
    let both = fetch(&service, &[RECORDINGS[0], "--extension", "204"], &out);
    assert_eq!(both.status, 64, "{}", both.stderr);
}

fn no_other_file_is_touched(vault: &Vault) {
    let (_pbx, service) = started(vault);
    let out = service.dir().join("out");
    fs::create_dir(&out).unwrap();
    let mine = out.join(format!("{}.mp3", CALL[0]));
    fs::write(&mine, b"mine").unwrap();
    let said = fetch(&service, &[CALL[0]], &out);
    assert_eq!((said.status, said.stdout.as_str()), (1, ""));
    assert!(
        said.stderr.contains(mine.to_str().unwrap()),
        "{}",
        said.stderr
    );
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
    let said = fetch(&service, &["230307142318_40"], &out);
    assert_eq!(said.status, 2, "{}", said.stderr);
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
    fs::remove_file(mine).unwrap();
    assert_holds(vault, &out, &CALL[1..]);
}

fn what_is_not_sound_is_not_handed_out(vault: &Vault) {
    let (pbx, service) = started(vault);
    let out = service.dir().join("out");
    vault.damage(&key(CALL[0]));
    let said = fetch(&service, &[CALL[0]], &out);
    assert_eq!(
        (said.status, said.stdout.as_str()),
        (65, ""),
        "{}",
        said.stderr
    );
    assert_holds(vault, &out, &[]);
    let said = fetch(&service, &["230307142318_40"], &out);
    assert_eq!(
        (said.status, said.stdout.lines().count()),
        (65, 1),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains(CALL[0]), "{}", said.stderr);
    assert_holds(vault, &out, &CALL[1..]);

    let gone = RECORDINGS[0];
    vault.remove(&key(gone));
    let into = service.dir().join("gone");
    let said = fetch(&service, &[gone], &into);
    assert_eq!(
        (said.status, said.stdout.as_str()),
        (65, ""),
        "{}",
        said.stderr
    );
    assert_holds(vault, &into, &[]);

    let pending = "230307120000_1-1-1";
    pbx.script(pending, [Answer::status(404)]);
    announce(&service, &url(pending));
    wait_for("it is tried", Duration::from_secs(10), || {
        service.number("SELECT count(*) FROM recordings WHERE code = 'not_there'") == 1
    });
    let said = fetch(&service, &[pending], &into);
    assert_eq!(
        (said.status, said.stdout.as_str()),
        (1, ""),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("pending") && said.stderr.contains("404"),
        "{}",
        said.stderr
    );
    assert_holds(vault, &into, &[]);
}
