//! `callvault ingest`: a file of events, without the service or beside it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::deliver_corpus;
use crate::support::hook::corpus;
use crate::support::pbx::Pbx;
use crate::support::service::{Service, Setup};

const COUNTS: [&str; 4] = [
    "SELECT count(*) FROM events",
    "SELECT count(*) FROM calls",
    "SELECT count(*) FROM legs",
    "SELECT count(*) FROM recordings",
];

fn corpus_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/vendor_events.jsonl")
}

fn ingest(service: &Service, file: &Path) -> Value {
    let file = file.to_str().unwrap();
    service.json(&["ingest", file, "--pbx", "hq"]).remove(0)
}

fn counts(service: &Service) -> [i64; 4] {
    COUNTS.map(|sql| service.number(sql))
}

fn said(logged: u64, already_there: u64, empty_lines: u64, not_understood: u64) -> Value {
    json!({"logged": logged, "already_there": already_there, "empty_lines": empty_lines,
        "not_understood": not_understood})
}

#[test]
fn what_is_not_understood_is_told() {
    let service = Setup::hq("http://127.0.0.1:9").prepare();
    let (before, file) = (service.dir().join("before"), service.dir().join("file"));
    fs::write(&before, "hello\n").unwrap();
    ingest(&service, &before);
    fs::write(
        &file,
        "this is\nno file of events\n{\"event\":\"ringing\"}\n",
    )
    .unwrap();
    let output = service.cli(&["ingest", file.to_str().unwrap(), "--pbx", "hq"]);
    assert_eq!(
        (output.status, output.stdout.as_str()),
        (0, "3 events logged, 0 were there already\n")
    );
    assert!(
        output.stderr.contains("2 events were not understood"),
        "{}",
        output.stderr
    );
}

#[test]
fn the_corpus_without_the_service_and_again() {
    let pbx = Pbx::start();
    let mut service = Setup::hq(&pbx.base_url()).prepare();
    assert_eq!(ingest(&service, &corpus_file()), said(74, 0, 0, 0));
    assert_eq!(counts(&service), [74, 18, 12, 10]);
    assert_eq!(ingest(&service, &corpus_file()), said(0, 74, 0, 0));
    assert_eq!(counts(&service), [74, 18, 12, 10]);
    // Archiving is the service's.
    assert_eq!(pbx.requests().len(), 0);
    service.restart();
    service.wait_for_recordings("archived", 10);
    assert_eq!(ingest(&service, &corpus_file()), said(0, 74, 0, 0));
    assert_eq!(service.number("SELECT sum(attempts) FROM recordings"), 10);
}

#[test]
fn the_corpus_beside_the_service() {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    let output = service.cli(&["ingest", corpus_file().to_str().unwrap(), "--pbx", "hq"]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert_eq!(output.stdout, "74 events logged, 0 were there already\n");
    // The bar is for a terminal, the rate for all.
    assert!(output.stderr.contains(" events/s"), "{}", output.stderr);
    assert_eq!(counts(&service), [74, 18, 12, 10]);
    // Nobody tells the service; it sees by itself.
    service.wait_for_recordings("archived", 10);
}

#[test]
fn what_came_by_itself_is_not_logged_again() {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    deliver_corpus(&service);
    assert_eq!(ingest(&service, &corpus_file()), said(0, 74, 0, 0));
    service.wait_until_read();
    assert_eq!(counts(&service), [74, 18, 12, 10]);
}

#[test]
fn a_line_is_a_body_or_says_more() {
    let service = Setup::hq("http://127.0.0.1:9").prepare();
    let query = "event=ringing&callerid=420774852629&user=800&id=230102104542_15-0";
    let body = r#"{ "Event": "ringing", "User": "820", "Id": "230307142318_40-0" }"#;
    let url = "https://FQDN:5001/webapi/recording/230307142318_40-1-1.mp3";
    let get = json!({"method": "GET", "payload": query});
    let posted = json!({"method": "POST", "content_type": "application/json", "payload": body});
    let lines = [
        format!("{body}\r\n"),
        "\r\n".to_owned(),
        format!("{url}\n"),
        "   \n".to_owned(),
        "\n".to_owned(),
        format!("{get}\r\n"),
        format!("{posted}\n"),
        "nobody understands this\n".to_owned(),
        // The last line has no end.
        "event=ringing&user=117&id=230307142318_40-0".to_owned(),
    ];
    let output = service.cli_reading(
        &["ingest", "-", "--pbx", "hq", "--json"],
        lines.concat().as_bytes(),
    );
    assert_eq!(output.status, 0, "{}", output.stderr);
    let told: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(told, said(6, 0, 3, 1));
    let rows = "SELECT json_array(method, content_type, kind, duplicate_of, CAST(raw AS TEXT)) \
        FROM events ORDER BY seq";
    assert_eq!(
        service.rows(rows),
        [
            json!(["POST", null, "ringing", null, body]),
            json!(["POST", null, "recording", null, url]),
            json!(["GET", null, "ringing", null, query]),
            json!(["POST", "application/json", "ringing", 1, body]),
            json!(["POST", null, "unparsed", null, "nobody understands this"]),
            json!([
                "POST",
                null,
                "ringing",
                null,
                "event=ringing&user=117&id=230307142318_40-0"
            ]),
        ]
    );
}

#[test]
fn a_file_that_was_cut_short_goes_on_where_it_was() {
    let service = Setup::hq("http://127.0.0.1:9").prepare();
    let whole = fs::read_to_string(corpus_file()).unwrap();
    let part = service.dir().join("part.jsonl");
    let half: Vec<&str> = whole.lines().take(40).collect();
    fs::write(&part, half.join("\n")).unwrap();
    assert_eq!(ingest(&service, &part), said(40, 0, 0, 0));
    assert_eq!(ingest(&service, &corpus_file()), said(34, 40, 0, 0));
    assert_eq!(counts(&service), [74, 18, 12, 10]);
    let logged = service.rows("SELECT json_quote(CAST(raw AS TEXT)) FROM events ORDER BY seq");
    let sent: Vec<Value> = corpus().iter().map(|row| json!(row.payload)).collect();
    assert_eq!(logged, sent, "byte for byte, in order");
}

/// As on a terminal, by `script`: the bar says how much there is and how fast it goes.
#[test]
fn its_progress_shows_a_rate() {
    let service = Setup::hq("http://127.0.0.1:9").prepare();
    let file = service.dir().join("many");
    fs::write(&file, fs::read_to_string(corpus_file()).unwrap().repeat(40)).unwrap();
    let verb = service.verb(&["ingest", file.to_str().unwrap(), "--pbx", "hq"]);
    let quoted = |word: &OsStr| format!("'{}'", word.to_str().unwrap());
    let mut line = quoted(verb.get_program());
    verb.get_args()
        .for_each(|word| line += &format!(" {}", quoted(word)));
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &line, "/dev/null"]);
    let terminal = script.env("TERM", "xterm").stdin(Stdio::null());
    let output = terminal.output().expect("run script");
    let said = String::from_utf8_lossy(&output.stdout);
    service.secrets.assert_untold("ingest", &said);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("2960 events logged"), "{said}");
    let bars = said.split(['\r', '\n']).filter(|bar| bar.contains("iB/"));
    let rates = bars.filter_map(|bar| {
        bar.split_once(" events/s")?
            .0
            .rsplit(' ')
            .next()?
            .parse()
            .ok()
    });
    let rates: Vec<f64> = rates.collect();
    let is_shown = !rates.is_empty() && rates.iter().all(|rate| *rate > 0.0);
    assert!(is_shown, "{rates:?}: {said:?}");
}

#[test]
fn what_cannot_be_ingested() {
    let service = Setup::hq("http://127.0.0.1:9").prepare();
    let file = corpus_file();
    let file = file.to_str().unwrap();
    let cases: [(&[&str], i32, &str); 4] = [
        (&["ingest", file, "--pbx", "branch"], 64, "try: --pbx hq"),
        (&["ingest", file, "--pbx", "Not A Name"], 64, "--pbx"),
        (&["ingest", file], 64, "--pbx"),
        (
            &["ingest", "/no/such/file", "--pbx", "hq"],
            1,
            "open /no/such/file: No such file",
        ),
    ];
    for (arguments, exit, text) in cases {
        let output = service.cli(arguments);
        assert_eq!(output.status, exit, "{arguments:?}: {}", output.stderr);
        assert!(
            output.stderr.contains(text),
            "{arguments:?}: {}",
            output.stderr
        );
        assert_eq!(output.stdout, "");
    }
    assert!(
        !service.data_dir().exists(),
        "nothing is made for a mistake"
    );
}
