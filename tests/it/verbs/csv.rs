//! `callvault search --csv`: what a spreadsheet makes of it.

use crate::support::hook;
use crate::support::pbx::{Answer, Pbx};
use crate::support::service::{Service, Setup};

/// Calls whose caller is what nobody's number is.
const CALLERS: [(&str, &str); 7] = [
    (
        "=HYPERLINK(\"http://evil\")",
        "'=HYPERLINK(\"http://evil\")",
    ),
    ("@SUM(1)", "'@SUM(1)"),
    ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
    ("-2+3+cmd", "'-2+3+cmd"),
    ("+420774852629", "+420774852629"),
    ("Smith, \"Jo\"", "Smith, \"Jo\""),
    ("two\nlines", "two\nlines"),
];

fn table(service: &Service, arguments: &[&str]) -> (Vec<String>, Vec<Vec<String>>) {
    let output = service.cli(&[&["search", "--csv"], arguments].concat());
    assert_eq!(output.status, 0, "{}", output.stderr);
    let mut reader = csv::Reader::from_reader(output.stdout.as_bytes());
    let head = reader
        .headers()
        .unwrap()
        .iter()
        .map(str::to_owned)
        .collect();
    // A record with more or fewer fields than the head is an error.
    let cells = |record: csv::StringRecord| record.iter().map(str::to_owned).collect();
    let rows = reader.records().map(|record| cells(record.unwrap()));
    (head, rows.collect())
}

fn column(head: &[String], name: &str) -> usize {
    let found = head.iter().position(|known| known == name);
    found.unwrap_or_else(|| panic!("no column {name} in {head:?}"))
}

#[test]
fn no_value_becomes_a_formula() {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    for (at, (caller, _)) in CALLERS.iter().enumerate() {
        let leg = format!("230307142318_{at}-1");
        pbx.script(&format!("{leg}-1"), [Answer::audio("230307142318_40-1-1")]);
        let url = format!("https://FQDN:5001/webapi/recording/{leg}-1.mp3");
        let event = serde_json::json!({"Event": "incoming", "Callerid": caller, "User": "117",
            "Finishtype": "Ok", "Did": "=1+1", "FileUrls": [url], "Id": leg});
        hook::post(service.hook(), event.to_string());
    }
    let ringing = r#"{"Event":"ringing","User":"=2","Did":"=1+1","Id":"230307142318_0-0"}"#;
    hook::post(service.hook(), ringing);
    service.wait_for_recordings("archived", CALLERS.len() as i64);
    service.wait_until_read();

    for arguments in [&[] as &[&str], &["--calls"]] {
        let (head, rows) = table(&service, arguments);
        assert_eq!(rows.len(), CALLERS.len());
        let (call, external) = (column(&head, "call"), column(&head, "external"));
        let did = column(&head, "did");
        for (at, (_, shown)) in CALLERS.iter().enumerate() {
            let id = format!("230307142318_{at}");
            let row = rows.iter().find(|row| row[call].ends_with(&id)).unwrap();
            assert_eq!(
                (&*row[external], &*row[did]),
                (*shown, "'=1+1"),
                "{arguments:?}"
            );
        }
        let cells = rows.iter().flatten();
        let formulas: Vec<_> = cells.filter(|cell| cell.starts_with(['=', '@'])).collect();
        assert!(formulas.is_empty(), "{formulas:?}");
    }
    let (head, rows) = table(&service, &["--call", "230307142318_5"]);
    let cell = |name| rows[0][column(&head, name)].as_str();
    assert_eq!(cell("recording"), "hq/230307142318_5-1-1");
    assert_eq!(
        (cell("state"), cell("leg"), cell("transfer")),
        ("archived", "1", "")
    );
    assert_eq!(&head[..3], ["recording", "pbx", "call"]);
}

#[test]
fn nothing_found_is_a_table_with_its_head() {
    let service = Setup::hq("http://127.0.0.1:9").start();
    for list in [
        &["search", "--csv"] as &[&str],
        &["search", "--csv", "--calls"],
        &["custody", "list", "--csv", "--act", "none"],
    ] {
        let output = service.cli(list);
        assert_eq!((output.status, output.stdout.lines().count()), (1, 1));
        assert!(output.stdout.contains(','), "{}", output.stdout);
    }
}
