//! The vendor's calls, posted by the PBX `hq`, and where their recordings are to be found.

use std::fs;

use super::hook::{Connection, Request, Scheme, corpus, target};
use super::service::Service;

/// All that the vendor's documentation announces, newest call first.
pub const RECORDINGS: [&str; 10] = [
    "230307154408_63-1-1",
    "230307151412_47-1-1",
    "230307150805_46-1-1",
    "230307144544_42-2-1",
    "230307144544_42-1-1",
    "230307142318_40-2-1",
    "230307142318_40-1-1",
    "230307140234_35-1-1",
    "230307135611_31-1-1",
    "230102185935_18-1-1",
];

pub fn post_corpus(service: &Service) {
    post_rows(service, |_| true);
}

/// One call, more or less, of the vendor's documentation.
pub fn post_table(service: &Service, table: u32) {
    post_rows(service, |known| known == table);
}

fn post_rows(service: &Service, of_table: impl Fn(u32) -> bool) {
    let rows = corpus().into_iter().filter(|row| of_table(row.table));
    let requests: Vec<Request> = rows.map(|row| row.request("hq", Scheme::Query)).collect();
    let replies = Connection::send_all(service.hook(), &requests).expect("answers");
    for (reply, request) in replies.iter().zip(&requests) {
        assert_eq!(reply.status, 200, "{request:?}");
    }
}

/// Announces a file by an event that says nothing else.
pub fn announce(service: &Service, url: &str) {
    let body = serde_json::json!({ "FILES": [url] }).to_string();
    let request = Request::post(target("hq"), "application/json", body);
    super::hook::acknowledged(service.hook(), &request);
}

/// As a PBX that knows its own name would say it.
pub fn url(recording: &str) -> String {
    format!("https://pbx.example:5001/webapi/recording/{recording}.mp3")
}

/// By the default template.
pub fn key(recording: &str) -> String {
    let (yy, mm, dd) = (&recording[..2], &recording[2..4], &recording[4..6]);
    format!("hq/20{yy}/{mm}/{dd}/{recording}.mp3")
}

pub fn manifest_key(recording: &str) -> String {
    key(recording).replace(".mp3", ".json")
}

/// Of these recordings, sorted: an object and a manifest each.
pub fn keys<'a>(recordings: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let both = |recording| [key(recording), manifest_key(recording)];
    let mut keys: Vec<String> = recordings.into_iter().flat_map(both).collect();
    keys.sort();
    keys
}

/// The names of the files in `data_dir/spool`.
pub fn spooled(service: &Service) -> Vec<String> {
    let files = fs::read_dir(service.data_dir().join("spool")).expect("the spool");
    let name = |file: std::io::Result<fs::DirEntry>| file.expect("a file").file_name();
    let names = files.map(|file| name(file).to_string_lossy().into_owned());
    names.collect()
}
