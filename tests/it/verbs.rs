//! The verbs, as a person or a script calls them: what they print, and how they end.

mod check;
mod csv;
mod ingest;
mod jobs;
mod status;
mod verify;

use crate::support::hook::{self, Connection, Request, Row, Scheme, corpus};
use crate::support::service::Service;

/// The vendor's documented events through the hook.
fn deliver_corpus(service: &Service) {
    let request = |row: &Row| row.request("hq", Scheme::Query);
    let requests: Vec<Request> = corpus().iter().map(request).collect();
    let replies = Connection::send_all(service.hook(), &requests).unwrap();
    assert!(replies.iter().all(|reply| reply.status == 200));
}

fn announce(service: &Service, recording: &str) {
    let url = format!("https://FQDN:5001/webapi/recording/{recording}.mp3");
    hook::post(service.hook(), url);
}
