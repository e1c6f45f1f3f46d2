//! `callvault demo`: how it sets itself up, what it tells, and how it ends.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::calls::RECORDINGS;
use crate::support::demo::Demo;
use crate::support::vault::files_below;

const EVENTS: &str = include_str!("../corpus/vendor_events.jsonl");

fn demo(directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callvault"));
    command.args(["demo", "--once", "--dir"]).arg(directory);
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command.output().expect("run the demo")
}

/// Each scenario of the vendor's documentation, as the demo tells that it was posted.
fn scenarios() -> Vec<String> {
    let mut scenarios: Vec<(u64, String, usize)> = Vec::new();
    for line in EVENTS.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let (table, title) = (row["table"].as_u64().unwrap(), &row["scenario"]);
        match scenarios.last_mut().filter(|last| last.0 == table) {
            Some(last) => last.2 += 1,
            None => scenarios.push((table, title.as_str().unwrap().to_owned(), 1)),
        }
    }
    let told = scenarios.into_iter().map(|(table, title, events)| {
        let events = match events {
            1 => "1 event".to_owned(),
            more => format!("{more} events"),
        };
        format!("posted scenario {table:>2}: {title} ({events})")
    });
    told.collect()
}

#[test]
fn each_scenario_is_told_and_late_events_have_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let output = demo(directory.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {said}", output.status);
    let lines = said.lines();
    let told: Vec<&str> = lines.filter(|line| line.starts_with("posted")).collect();
    assert_eq!(told, scenarios());
    assert_eq!(told.len(), 16);

    let settings = fs::read_to_string(directory.path().join("callvault.toml")).unwrap();
    let settings: toml::Table = settings.parse().unwrap();
    let wait = settings["archive"]["wait_for_late_events"].as_str();
    assert_eq!(wait, Some("1s"));
}

/// A demo where one was before reads back what that one has archived.
#[test]
fn the_demo_fails_where_something_is_not_verified() {
    let directory = tempfile::tempdir().unwrap();
    let verified = |output: &Output| {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = said.lines();
        lines.filter(|line| line.ends_with("  verified")).count()
    };
    let whole = demo(directory.path());
    assert_eq!((whole.status.code(), verified(&whole)), (Some(0), 10));

    let archive = directory.path().join("archive");
    let name = format!("{}.mp3", RECORDINGS[3]);
    let mut files = files_below(&archive).into_iter();
    let file = archive.join(files.find(|file| file.ends_with(&name)).unwrap());
    let sound = fs::read(&file).unwrap();
    let mut damaged = sound.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for (bytes, code, count) in [(damaged, 1, 9), (sound, 0, 10)] {
        fs::write(&file, bytes).unwrap();
        let output = demo(directory.path());
        let found = (output.status.code(), verified(&output));
        assert_eq!(found, (Some(code), count), "{output:?}");
    }
}

#[test]
fn a_second_demo_leaves_the_first_alone() {
    let first = Demo::start();
    let settings = first.directory().join("callvault.toml");
    let before = fs::read_to_string(&settings).unwrap();
    let second = demo(first.directory());
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("is already worked by process"), "{said}");
    assert_eq!(fs::read_to_string(&settings).unwrap(), before);
}
