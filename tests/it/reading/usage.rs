//! How the program answers to what it cannot do, and to whoever stops listening.

use std::io;
use std::process::Stdio;

use super::started;
use crate::support::pbx::Pbx;
use crate::support::service::{SECRET, Setup};

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let (_pbx, service) = started();
    for arguments in [
        &["search"][..],
        &["search", "--json"],
        &["search", "--calls"],
        &["search", "--calls", "--json"],
        &["show", "230307142318_40"],
        &["show", "230307142318_40-2-1", "--json"],
        &["--help"],
    ] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut command = service.command();
        let child = command
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped());
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), said.as_ref()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn settings_that_are_wrong_are_named_by_key_and_line() {
    let service = Setup::hq("http://127.0.0.1:1").prepare();
    let sound = service.settings();
    let line_of = |text: &str, part: &str| {
        let at = text.lines().position(|line| line.contains(part)).unwrap();
        format!("line {}: ", at + 1)
    };
    for (from, to, key) in [
        (
            "timezone = \"Europe/Prague\"",
            "timezone = \"Europe/Prag\"",
            "pbx[hq].timezone",
        ),
        ("[archive]", "[archive]\nworkers = 0", "archive.workers"),
        ("[archive]", "[archive]\nretrys = []", "archive.retrys"),
        ("name = \"hq\"", "name = \"HQ\"", "name"),
        ("kind = \"directory\"", "kind = \"tape\"", "store.kind"),
        (
            "hook = \"127.0.0.1:0\"",
            "hook = \"somewhere\"",
            "listen.hook",
        ),
        (SECRET, "short", "hook_secret"),
    ] {
        let wrong = sound.replace(from, to);
        assert_ne!(wrong, sound, "{from}");
        service.rewrite(&wrong);
        let line = line_of(&wrong, to.lines().last().unwrap());
        for verb in [
            &["serve"][..],
            &["search"],
            &["show", "x"],
            &["fetch", "x", "-o", "x"],
        ] {
            let said = service.cli(verb);
            assert_eq!((said.status, said.stdout.as_str()), (64, ""), "{to}");
            let named = said
                .stderr
                .lines()
                .any(|said| said.contains(&line) && said.contains(key));
            assert!(named, "{line}{key} is not named: {}", said.stderr);
            assert!(said.stderr.contains("try: "), "{}", said.stderr);
        }
    }
    // The nearest known one.
    service.rewrite(&sound.replace("[archive]", "[archive]\nwokers = 3"));
    assert!(service.cli(&["search"]).stderr.contains("workers"));
    service.rewrite("this is no TOML");
    assert_eq!(service.cli(&["serve"]).status, 64);
    std::fs::remove_file(service.config()).unwrap();
    let said = service.cli(&["serve"]);
    let file = service.config().display().to_string();
    assert!(
        said.status == 64 && said.stderr.contains(&file),
        "{}",
        said.stderr
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let service = Setup::hq("http://127.0.0.1:1").prepare();
    for arguments in [
        &["serch"][..],
        &["search", "--state", "lost"],
        &["search", "--from", "yesterday"],
        &["search", "--limit", "-1"],
        &["show"],
        &["fetch", "x"],
        &[],
    ] {
        let said = service.cli(arguments);
        assert_eq!(
            (said.status, said.stdout.as_str()),
            (64, ""),
            "{arguments:?}"
        );
    }
    // Nothing was served yet, and nothing is made by looking.
    let said = service.cli(&["search"]);
    assert!(
        said.status == 1 && said.stderr.contains("try: "),
        "{}",
        said.stderr
    );
    assert!(!service.data_dir().exists());
}

#[test]
fn one_service_works_a_directory() {
    let pbx = Pbx::start();
    let mut service = Setup::hq(&pbx.base_url()).start();
    let addresses = std::fs::read(service.data_dir().join("listen.json")).unwrap();
    let said = service.cli(&["serve"]);
    assert_eq!(said.status, 1, "{}", said.stderr);
    let first = format!("process {}", service.pid());
    let names = said.stderr.contains(&first);
    let directory = service.data_dir().display().to_string();
    assert!(names && said.stderr.contains(&directory), "{}", said.stderr);
    let now = std::fs::read(service.data_dir().join("listen.json")).unwrap();
    assert_eq!(now, addresses);
    // A lock is as good as its holder.
    service.kill();
    service.restart();
}
