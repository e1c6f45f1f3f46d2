//! One small story, told to a service that may end in the middle of it: two calls, three
//! recordings, one of them not there at first and one in doubt at first.
//!
//! Never here: how the service is made to end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::calls::{key, keys, spooled};
use crate::support::hook::{Ledger, Request, Scheme, corpus};
use crate::support::id3;
use crate::support::pbx::{Answer, Pbx, audio};
use crate::support::service::{Service, Setup};
use crate::support::vault::Vault;
use crate::support::wait::wait_for;

/// Tables of the vendor's documentation: an attended transfer, and a call whose end is damaged.
const TABLES: [u32; 2] = [2, 9];
const NOT_THERE_YET: &str = "230307142318_40-1-1";
const GROWING: &str = "230307142318_40-2-1";
pub const RECORDINGS: [&str; 3] = [NOT_THERE_YET, GROWING, "230307135611_31-1-1"];
/// Enough for some more attempts.
const A_WHILE: Duration = Duration::from_millis(500);
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// How a life of the service went.
#[derive(Debug, PartialEq, Eq)]
pub enum Life {
    /// It ended before all was settled.
    Cut,
    /// It runs, and has nothing left to do.
    Settled,
}

pub struct Story<'a> {
    vault: &'a Vault,
    prefix: String,
    _pbx: Pbx,
    pub service: Service,
    ledger: Ledger,
    /// What no life has acknowledged yet, last first.
    left: Vec<Request>,
}

impl<'a> Story<'a> {
    /// In a corner of the vault that no other story has.
    pub fn new(vault: &'a Vault, corner: &str) -> Story<'a> {
        let pbx = Pbx::start();
        let whole = audio(GROWING);
        pbx.script(
            NOT_THERE_YET,
            [Answer::status(404), Answer::audio(NOT_THERE_YET)],
        );
        pbx.script(
            GROWING,
            [
                Answer::ok(&whole[..1000]).header("Content-Type", "audio/mpeg"),
                Answer::audio(GROWING),
            ],
        );
        let prefix = format!("{corner}/");
        let setup = vault.set_up_below(Setup::hq(&pbx.base_url()), &prefix);
        let rows = corpus().into_iter();
        let rows = rows.filter(|row| TABLES.contains(&row.table));
        let mut left: Vec<Request> = rows.map(|row| row.request("hq", Scheme::Form)).collect();
        // What is tagged depends on what was known by then: the announcements come last.
        left.sort_by_key(|request| !is_announcement(request));
        Story {
            vault,
            prefix,
            _pbx: pbx,
            service: setup.prepare(),
            ledger: Ledger::default(),
            left,
        }
    }

    /// Where its objects lie, if its store is a directory.
    pub fn store_dir(&self) -> Option<PathBuf> {
        match self.vault {
            Vault::Directory(dir) => Some(dir.path().join(&self.prefix)),
            Vault::Bucket(_) => None,
        }
    }

    /// Starts it, if it doesn't run, and tells it what it has not heard, until all is settled or it
    /// has ended.
    pub fn live(&mut self) -> Life {
        self.live_until(|| false)
    }

    /// As `live`, but cut a while after something has come that may never let it settle.
    pub fn live_until(&mut self, has_come: impl Fn() -> bool) -> Life {
        if self.service.has_ended() && self.service.try_restart().is_err() {
            return Life::Cut;
        }
        let deadline = Instant::now() + SETTLED_WITHIN;
        let mut cut_at = None;
        loop {
            if self.service.has_ended() {
                return Life::Cut;
            }
            self.tell();
            if self.left.is_empty() && self.is_settled() {
                return Life::Settled;
            }
            if has_come() && Instant::now() >= *cut_at.get_or_insert(Instant::now() + A_WHILE) {
                self.service.kill();
                return Life::Cut;
            }
            assert!(Instant::now() < deadline, "not settled: {:?}", self.left);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn tell(&mut self) {
        while let Some(next) = self.left.last() {
            if !self.ledger.send(self.service.hook(), next) {
                return;
            }
            self.left.pop();
        }
    }

    fn is_settled(&self) -> bool {
        let unread = "SELECT count(*) FROM events WHERE kind IS NULL";
        let archived = "SELECT count(*) FROM recordings WHERE state = 'archived'";
        self.service.number(unread) == 0 && self.service.number(archived) == RECORDINGS.len() as i64
    }

    /// What must be the same however often it was cut: all but times, attempts and what came twice.
    pub fn end_state(&self) -> BTreeMap<&'static str, Vec<serde_json::Value>> {
        let facts = [
            (
                "calls",
                "SELECT json_array(pbx, call, direction, external, did, started_at, outcome, \
                 leg_count, recording_count, ring_path) FROM calls ORDER BY pbx, call",
            ),
            (
                "legs",
                "SELECT json_array(call, leg, extension, duration_s, transfer, transferred_to, \
                 finish, recordings) FROM legs ORDER BY call, leg",
            ),
            (
                "recordings",
                "SELECT json_array(recording, state, code, flags, object_key, original_sha256, \
                 media_duration_s) FROM recordings ORDER BY recording",
            ),
        ];
        facts
            .map(|(what, sql)| (what, self.service.rows(sql)))
            .into()
    }

    /// I1 to I4, of a story that is settled.
    pub fn assert_nothing_lost_or_doubled(&self) {
        self.ledger.assert_logged(&self.service.index());
        wait_for("the spool is empty", SETTLED_WITHIN, || {
            spooled(&self.service).is_empty()
        });
        self.service.wait_until_store_is_tried();
        let mut expected = keys(RECORDINGS);
        expected.sort();
        assert_eq!(self.vault.keys_below(&self.prefix), expected);
        for recording in RECORDINGS {
            let object = self
                .vault
                .read(&format!("{}{}", self.prefix, key(recording)));
            assert!(id3::split(&object).1 == audio(recording), "{recording}");
        }
        let verified = self.service.cli(&["verify", "--all"]);
        assert_eq!(verified.status, 0, "{}", verified.stderr);
        let custody = self.service.cli(&["custody", "verify"]);
        assert_eq!(custody.status, 0, "{}", custody.stderr);
        assert_integrity(&self.service);
    }
}

pub fn assert_integrity(service: &Service) {
    let check = service
        .index()
        .query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    assert_eq!(check.unwrap(), "ok");
}

fn is_announcement(request: &Request) -> bool {
    String::from_utf8_lossy(&request.body).contains("webapi")
}
