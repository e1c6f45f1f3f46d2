//! The public views: what an administrator's own queries may rely on.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rusqlite::types::Value;

use crate::support::hook::{self, Connection, Scheme, corpus};
use crate::support::pbx::Pbx;
use crate::support::service::{Service, Setup};

/// View and columns that it has at least.
const VIEWS: [(&str, &str); 6] = [
    (
        "recordings",
        "recording pbx call leg part state direction external extension did started_at duration_s \
         media_duration_s transfer transferred_to finish flags object_key bytes original_sha256 \
         object_sha256 archived_at announced_at attempts last_error",
    ),
    (
        "calls",
        "call pbx direction external did started_at outcome ring_path",
    ),
    (
        "legs",
        "pbx call leg extension answered_at ended_at duration_s transfer transferred_to finish \
         recordings",
    ),
    (
        "events",
        "seq item received_at pbx method content_type kind call leg repaired duplicate_of raw",
    ),
    (
        "attempts",
        "recording attempt started_at ended_at stage code error",
    ),
    (
        "custody",
        "seq at actor address act subject reason case detail previous_sha256 sha256",
    ),
];

const TIMES: [&str; 8] = [
    "started_at",
    "answered_at",
    "ended_at",
    "received_at",
    "announced_at",
    "archived_at",
    "next_at",
    "at",
];
const LISTS: [&str; 3] = ["flags", "ring_path", "recordings"];
const DIGESTS: [&str; 4] = [
    "original_sha256",
    "object_sha256",
    "previous_sha256",
    "sha256",
];

fn with_the_corpus(pbx: &Pbx) -> Service {
    let service = Setup::hq(&pbx.base_url()).start();
    let rows = corpus();
    let requests: Vec<_> = rows
        .iter()
        .map(|row| row.request("hq", Scheme::Query))
        .collect();
    Connection::send_all(service.hook(), &requests).unwrap();
    service.wait_for_recordings("archived", 10);
    service
}

#[test]
fn views_have_their_columns_and_readable_values() {
    let pbx = Pbx::start();
    let service = with_the_corpus(&pbx);
    let index = service.index();
    for (view, columns) in VIEWS {
        let mut all = index.prepare(&format!("SELECT * FROM {view}")).unwrap();
        let names: Vec<String> = all.column_names().map(str::to_owned).collect();
        for column in columns.split_whitespace() {
            assert!(
                names.iter().any(|name| name == column),
                "no {view}.{column}"
            );
        }
        let mut rows = all.query([]).unwrap();
        let mut count = 0;
        while let Some(row) = rows.next().unwrap() {
            count += 1;
            for (at, name) in names.iter().enumerate() {
                let value: Value = row.get(at).unwrap();
                assert!(is_readable(name, &value), "{view}.{name}: {value:?}");
            }
        }
        assert!(count > 0, "nothing in {view}");
    }
}

fn is_readable(column: &str, value: &Value) -> bool {
    let Value::Text(text) = value else {
        // Unknown is null. Bytes are only what came.
        return match value {
            Value::Null => !LISTS.contains(&column),
            Value::Blob(_) => column == "raw",
            _ => !TIMES.contains(&column),
        };
    };
    match column {
        time if TIMES.contains(&time) => {
            text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
        }
        list if LISTS.contains(&list) => serde_json::from_str::<Vec<String>>(text).is_ok(),
        digest if DIGESTS.contains(&digest) => {
            text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        }
        _ => !text.is_empty(),
    }
}

/// As the README's queries may do: views join by the names they share.
#[test]
fn views_join() {
    let pbx = Pbx::start();
    let service = with_the_corpus(&pbx);
    let transferred = "SELECT json_array(r.recording, l.transferred_to, c.outcome) \
        FROM recordings r JOIN legs l USING (pbx, call, leg) JOIN calls c USING (pbx, call) \
        WHERE l.transfer = 'attended'";
    let expected = serde_json::json!(["hq/230307142318_40-1-1", "204", "answered"]);
    assert_eq!(service.rows(transferred), [expected]);
    let untried = "SELECT count(*) FROM recordings r WHERE NOT EXISTS \
        (SELECT 1 FROM attempts a WHERE a.recording = r.recording AND a.code IS NULL)";
    assert_eq!(service.number(untried), 0);
    let unproved = "SELECT count(*) FROM recordings r WHERE NOT EXISTS \
        (SELECT 1 FROM custody c WHERE c.subject = r.recording AND c.act = 'announced')";
    assert_eq!(service.number(unproved), 0);
    let unheard = "SELECT count(*) FROM calls c WHERE NOT EXISTS \
        (SELECT 1 FROM events e WHERE e.pbx = c.pbx AND e.call = c.call)";
    assert_eq!(service.number(unheard), 0);
}

#[test]
fn the_index_is_its_owners_and_read_beside_the_service() {
    let pbx = Pbx::start();
    let service = with_the_corpus(&pbx);
    for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let metadata = fs::metadata(service.data_dir().join(file)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600, "{file}");
    }
    // A reader that holds on to its snapshot hinders nobody.
    let reader = service.index();
    reader.execute_batch("BEGIN").unwrap();
    let count = |index: &rusqlite::Connection| -> i64 {
        let count = index.query_row("SELECT count(*) FROM events", [], |row| row.get(0));
        count.unwrap()
    };
    assert_eq!(count(&reader), 74);
    hook::post(service.hook(), "one more");
    assert_eq!(count(&reader), 74);
    assert_eq!(count(&service.index()), 75);
    let written = reader.execute("DELETE FROM custody_entry", []);
    assert!(written.is_err(), "a reader wrote");
}
