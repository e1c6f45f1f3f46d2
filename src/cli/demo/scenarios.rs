//! The demo's PBX: the vendor's documented scenarios, posted over HTTP as a PBX would, and the
//! recordings that they announce.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, ensure};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::simulated::Answer;

const EVENTS: &str = include_str!("../../../tests/corpus/vendor_events.jsonl");

macro_rules! audio {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../tests/audio/", $name, ".mp3")))),+]
    };
}

/// Each leg's voice says which leg it is, for at least as long as the leg lasted.
const RECORDINGS: &[(&str, &[u8])] = audio![
    "230102185935_18-1-1",
    "230307135611_31-1-1",
    "230307140234_35-1-1",
    "230307142318_40-1-1",
    "230307142318_40-2-1",
    "230307144544_42-1-1",
    "230307144544_42-2-1",
    "230307150805_46-1-1",
    "230307151412_47-1-1",
    "230307154408_63-1-1",
];

/// What goes wrong when a recording is asked for the first time, and not again.
pub struct Fault {
    pub recording: &'static str,
    pub answered: &'static str,
    /// What callvault does then.
    pub done: &'static str,
    answer: fn(&'static [u8]) -> Answer,
}

const PAGE: &str = "<html><body>Please come back later.</body></html>";

pub const FAULTS: [Fault; 3] = [
    Fault {
        recording: "230307135611_31-1-1",
        answered: "answered 404, as it does while it still converts a call",
        done: "callvault asked again",
        answer: |_| Answer::NotThere,
    },
    Fault {
        recording: "230307140234_35-1-1",
        answered: "answered 200 with a web page in place of the audio",
        done: "callvault archived none of it and asked again",
        answer: |_| Answer::Page(PAGE),
    },
    Fault {
        recording: "230307150805_46-1-1",
        answered: "hung up in the middle of the file",
        done: "callvault did not take the half for the whole and asked again",
        answer: Answer::Half,
    },
];

/// What the demo's PBX answers, each fault first.
pub fn pbx() -> impl Fn(&str) -> Answer + Clone + Send + Sync + 'static {
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    move |name| {
        let known = RECORDINGS.iter().find(|(known, _)| *known == name);
        let Some((name, audio)) = known else {
            return Answer::NotThere;
        };
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = asked.insert(*name);
        match FAULTS.iter().find(|fault| fault.recording == *name) {
            Some(fault) if is_first => (fault.answer)(audio),
            _ => Answer::Recording(audio),
        }
    }
}

pub fn recordings() -> usize {
    RECORDINGS.len()
}

#[derive(Deserialize)]
struct Row {
    table: u32,
    scenario: String,
    form: String,
    payload: String,
}

/// One table of the vendor's documentation.
pub struct Scenario {
    pub table: u32,
    pub title: String,
    rows: Vec<Row>,
}

pub fn all() -> anyhow::Result<Vec<Scenario>> {
    let mut tables: BTreeMap<u32, Scenario> = BTreeMap::new();
    for line in EVENTS.lines() {
        let row: Row = serde_json::from_str(line).context("read the vendor's scenarios")?;
        let scenario = tables.entry(row.table).or_insert_with(|| Scenario {
            table: row.table,
            title: row.scenario.clone(),
            rows: Vec::new(),
        });
        scenario.rows.push(row);
    }
    Ok(tables.into_values().collect())
}

impl Scenario {
    pub fn events(&self) -> usize {
        self.rows.len()
    }

    /// Posts its events one after another, each in the form that the vendor documents.
    pub async fn post(&self, hook: SocketAddr, path: &str) -> anyhow::Result<()> {
        for row in &self.rows {
            post(hook, path, row)
                .await
                .context("post an event to the hook")?;
        }
        Ok(())
    }
}

/// By hand, for no HTTP client would send the raw spaces that the PBX sends.
async fn post(hook: SocketAddr, path: &str, row: &Row) -> anyhow::Result<()> {
    let payload = &row.payload;
    let common = format!("Host: {hook}\r\nConnection: close\r\n");
    let request = match row.form.as_str() {
        "urlencoded" => format!("GET {path}?{payload} HTTP/1.1\r\n{common}\r\n"),
        form => {
            let kind = if form == "url" {
                "text/plain"
            } else {
                "application/json"
            };
            let length = payload.len();
            format!(
                "POST {path} HTTP/1.1\r\n{common}Content-Type: {kind}\r\n\
                 Content-Length: {length}\r\n\r\n{payload}"
            )
        }
    };
    let mut connection = TcpStream::connect(hook).await?;
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    let status = answer
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let ok = status.starts_with(b"HTTP/1.1 200");
    ensure!(
        ok,
        "the hook answered {:?}",
        String::from_utf8_lossy(status)
    );
    Ok(())
}
