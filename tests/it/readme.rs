//! What the README says works, works: its queries, and the demo with what it prints.

mod queries;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use rusqlite::Connection;

use crate::support::calls::{RECORDINGS, post_corpus};
use crate::support::pbx::Pbx;
use crate::support::service::Setup;
use crate::support::vault::files_below;

const README: &str = include_str!("../../README.md");
const BINARY: &str = env!("CARGO_BIN_EXE_callvault");

/// Each query with the line that tells what it is for.
fn queries() -> Vec<(&'static str, &'static str)> {
    let mut blocks = README.split("```sql\n");
    let mut before = blocks.next().unwrap();
    let mut queries = Vec::new();
    for block in blocks {
        let (sql, after) = block.split_once("```").unwrap();
        queries.push((before.trim_end().lines().last().unwrap(), sql));
        before = after;
    }
    queries
}

#[test]
fn every_query_runs() {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    post_corpus(&service);
    service.wait_for_recordings("archived", RECORDINGS.len() as i64);
    let index = service.index();
    let mut empty = Vec::new();
    for (what, sql) in queries() {
        let mut query = index
            .prepare(sql)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut rows = query.query([]).unwrap();
        let mut count = 0;
        while rows
            .next()
            .unwrap_or_else(|error| panic!("{what}: {error}"))
            .is_some()
        {
            count += 1;
        }
        if count == 0 {
            empty.push(what);
        }
    }
    // All is archived, all is understood, and the service has run since it first began.
    let expected = [
        "What is not archived yet, and why:",
        "Events that nobody understood:",
        "When events may have been lost because nobody listened:",
    ];
    assert_eq!(empty, expected);
    assert!(queries().len() > expected.len());
}

/// Of each view, by the README's own table.
#[test]
fn every_column_is_there() {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    let index = service.index();
    for view in [
        "recordings",
        "calls",
        "legs",
        "events",
        "attempts",
        "custody",
    ] {
        let row = format!("| `{view}` | ");
        let row = README
            .lines()
            .find_map(|line| line.strip_prefix(&row))
            .expect(view);
        let columns = row.split('|').nth(1).unwrap().split('`').nth(1).unwrap();
        let query = index.prepare(&format!("SELECT * FROM \"{view}\"")).unwrap();
        let names: Vec<&str> = query.column_names().collect();
        assert_eq!(names.join(" "), columns, "{view}");
    }
}

fn demo(directory: &Path) -> Output {
    let mut command = Command::new(BINARY);
    command.args(["demo", "--once", "--dir"]).arg(directory);
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    let output = command.output().expect("run the demo");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {said}", output.status);
    output
}

#[test]
fn the_demo_shows_all_and_what_it_prints_works() {
    let parent = tempfile::tempdir().unwrap();
    // A shell has to be told of the space.
    let directory = parent.path().join("the demo");
    for _ in 0..2 {
        let output = demo(&directory);
        check_output(&output, &directory);
        let archive = files_below(&directory.join("archive"));
        assert_eq!(archive.len(), 2 * RECORDINGS.len(), "{archive:#?}");
        for recording in RECORDINGS {
            let file = format!("{recording}.mp3");
            let keys = archive.iter().filter(|key| key.ends_with(&file));
            assert_eq!(keys.count(), 1, "{recording}");
        }
    }
    let mut names: Vec<_> = std::fs::read_dir(parent.path()).unwrap().collect();
    assert_eq!(
        names.len(),
        1,
        "something lies outside its directory: {names:?}"
    );
    assert_eq!(names.pop().unwrap().unwrap().path(), directory);
}

fn check_output(output: &Output, directory: &Path) {
    let progress = String::from_utf8_lossy(&output.stderr);
    let archived = progress
        .lines()
        .filter(|line| line.starts_with("archived demo/"));
    assert_eq!(archived.count(), RECORDINGS.len(), "{progress}");

    let said = String::from_utf8_lossy(&output.stdout);
    let verified: Vec<&str> = said
        .lines()
        .filter(|line| line.ends_with("  verified"))
        .collect();
    assert_eq!(verified.len(), RECORDINGS.len(), "{said}");
    for recording in RECORDINGS {
        let id = format!(" demo/{recording} ");
        let rows = verified.iter().filter(|line| line.contains(&id));
        assert_eq!(rows.count(), 1, "{recording}: {said}");
    }
    for line in said.lines().take_while(|line| !line.starts_with(BINARY)) {
        assert!(
            README.contains(line.trim_end()),
            "not in the README: {line}"
        );
    }
    check_faults(&said, directory);
    let commands: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with(BINARY))
        .collect();
    assert!(commands.len() >= 5, "{said}");
    for command in commands {
        // From anywhere.
        let ran = Command::new("sh")
            .args(["-c", command])
            .current_dir("/")
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{command}: {error}");
        assert!(!ran.stdout.is_empty(), "{command} says nothing");
    }
    let fetched = files_below(&directory.join("fetched"));
    assert_eq!(fetched.len(), 2, "{fetched:?}");
}

/// What goes wrong is told in the codes that the index has, and ends well.
fn check_faults(said: &str, directory: &Path) {
    let index = Connection::open(directory.join("data/index.sqlite")).unwrap();
    let sql = "SELECT recording, code FROM attempts WHERE code IS NOT NULL ORDER BY recording";
    let mut query = index.prepare(sql).unwrap();
    let failed = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let failed: Vec<(String, String)> = failed.unwrap().map(Result::unwrap).collect();
    let expected = [
        ("demo/230307135611_31-1-1", "not_there"),
        ("demo/230307140234_35-1-1", "not_audio"),
        ("demo/230307150805_46-1-1", "body_short"),
    ];
    assert_eq!(failed, expected.map(|(id, code)| (id.into(), code.into())));
    for (id, code) in expected {
        let told = said.lines().find(|line| line.starts_with(id)).expect(id);
        let is_told = told.contains(&format!("({code})"));
        assert!(is_told && told.ends_with("archived at attempt 2"), "{told}");
    }
}
