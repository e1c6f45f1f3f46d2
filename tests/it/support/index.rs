//! An index of its own, fed deliveries and read the way the service does it, without HTTP.

use std::collections::BTreeSet;

use callvault::correlate::{Correlator, Pbx};
use callvault::intake;
use callvault::model::access::Scope;
use callvault::model::call::Call;
use callvault::model::digest::Digest;
use callvault::model::filter::Filter;
use callvault::model::time::UtcMs;
use callvault::model::vendor::Vendor;
use callvault::store::Store;
use callvault::store::claims::{self, Original};
use callvault::store::heartbeat;
use callvault::store::jobs::{self, JobRow, Retried, Turn};
use callvault::store::log::Delivery;
use callvault::store::search::{self, RecordingRow};
use callvault::store::transitions;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tempfile::TempDir;

pub const PBXS: [&str; 2] = ["hq", "branch"];
/// 2026-01-01, after every call of the tests, so that arrival resolves no hour differently.
pub const FIRST_ARRIVAL_MS: i64 = 1_767_225_600_000;

pub struct Index {
    directory: TempDir,
    store: Store,
    correlator: Correlator,
    logged: i64,
}

impl Index {
    pub fn new() -> Index {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("index.sqlite")).unwrap();
        let zones = ["Europe/Prague", "America/New_York"];
        let pbxs = PBXS.into_iter().zip(zones).map(|(name, zone)| {
            let pbx = Pbx {
                vendor: Vendor::ThreeCx,
                zone: TimeZone::get(zone).unwrap(),
            };
            (name.parse().unwrap(), pbx)
        });
        let due_after = std::time::Duration::from_secs(5);
        Index {
            correlator: Correlator::new(store.clone(), pbxs, due_after),
            directory,
            store,
            logged: 0,
        }
    }

    /// Logs a delivery of the PBX; they arrive a second apart.
    pub async fn log(&mut self, pbx: &str, raw: &str) {
        self.logged += 1;
        let delivery = Delivery {
            pbx: pbx.parse().unwrap(),
            received: UtcMs(FIRST_ARRIVAL_MS + self.logged * 1000),
            live: true,
            method: "POST".to_owned(),
            content_type: None,
            target: None,
            peer: None,
            raw: raw.as_bytes().to_vec(),
        };
        intake::log(&self.store, delivery).await.unwrap();
    }

    pub async fn catch_up(&self) {
        self.correlator.catch_up().await.unwrap();
    }

    /// Notes a download of what is pending, of a length that its name decides.
    pub async fn download(&self) {
        let now = UtcMs(FIRST_ARRIVAL_MS + (self.logged + 60) * 1000);
        let write = self.store.write(move |tx| {
            for pbx in PBXS {
                let pbx = pbx.parse().unwrap();
                claims::ripen(tx, &pbx, now)?;
                while let Some((row, _)) = claims::oldest_ripe(tx, &pbx, false)? {
                    let claim = claims::claim(tx, row, now, now)?.unwrap();
                    let sha256 = Digest::of(claim.id.to_string().as_bytes());
                    let length_ms = u64::from(sha256.as_bytes()[0]) * 1000 + 999;
                    let body = Original { sha256, bytes: 1 };
                    transitions::downloaded(tx, &claim, body, length_ms, None, now)?;
                }
            }
            Ok(())
        });
        write.await.unwrap();
    }

    pub async fn recordings(&self, filter: &Filter) -> Vec<RecordingRow> {
        let filter = filter.clone();
        let found = self.store.read(move |db| search::recordings(db, &filter));
        found.await.unwrap()
    }

    pub async fn calls(&self, filter: &Filter) -> Vec<Call> {
        let filter = filter.clone();
        let found = self.store.read(move |db| search::calls(db, &filter));
        found.await.unwrap()
    }

    pub async fn skip_time(&self, by_ms: i64) {
        let skipped = self.store.write(move |tx| {
            heartbeat::beat(tx, UtcMs(FIRST_ARRIVAL_MS), 0)?;
            heartbeat::skip(tx, by_ms)
        });
        skipped.await.unwrap();
    }

    pub async fn retry(&self, recording: &str, now: UtcMs) {
        let id = recording.parse().unwrap();
        let retried = self
            .store
            .write(move |tx| jobs::retry(tx, &id, ("somebody", None), now));
        assert_eq!(retried.await.unwrap(), Retried::Due);
    }

    /// Since when giving up is counted, of what is due then, by its first announcement.
    pub async fn windows(&self, now: UtcMs) -> Vec<UtcMs> {
        let read = self.store.write(move |tx| {
            let pbx = PBXS[0].parse().unwrap();
            claims::ripen(tx, &pbx, now)?;
            let mut claimed = Vec::new();
            while let Some((row, _)) = claims::oldest_ripe(tx, &pbx, false)? {
                claimed.extend(claims::claim(tx, row, now, now)?);
            }
            for claim in &claimed {
                transitions::hand_back(tx, claim, now)?;
            }
            Ok(claimed.iter().map(|claim| claim.window).collect())
        });
        read.await.unwrap()
    }

    /// A page of the backlog.
    pub async fn jobs(&self, behind: Option<Turn>, limit: Option<u32>) -> Vec<JobRow> {
        let list = self
            .store
            .read(move |db| jobs::list(db, &Scope::default(), behind.as_ref(), limit));
        list.await.unwrap()
    }

    /// All that was derived from the log, with times and in the order of arrival.
    pub async fn derived(&self) -> Derived {
        self.assert_recordings_say_what_their_calls_say();
        let calls = self.calls(&Filter::default()).await;
        Derived {
            calls: calls
                .iter()
                .map(|call| serde_json::to_value(call).unwrap())
                .collect(),
            recordings: self.rows(
                "SELECT recording, call, leg, part, state, direction, external, extension, did, \
                 started_at, started_at_local, duration_s, transfer, transferred_to, finish, flags, \
                 code, day FROM recordings ORDER BY recording",
            ),
            events: self.rows(
                "SELECT pbx, CAST(raw AS TEXT), item, kind, call, leg, repaired FROM events \
                 ORDER BY seq, item",
            ),
        }
    }

    fn assert_recordings_say_what_their_calls_say(&self) {
        let others = self.rows(
            "SELECT r.recording FROM recordings r LEFT JOIN calls c USING (pbx, call) \
             LEFT JOIN legs l USING (pbx, call, leg) \
             WHERE (r.direction, r.external, r.did, r.started_at, r.started_at_local, r.extension, \
                 r.duration_s, r.transfer, r.transferred_to, r.finish) \
             IS NOT (c.direction, c.external, c.did, c.started_at, c.started_at_local, l.extension, \
                 l.duration_s, l.transfer, l.transferred_to, l.finish)",
        );
        assert_eq!(others, [] as [Value; 0]);
    }

    /// A query of the public views, as an administrator would ask it.
    pub fn rows(&self, sql: &str) -> Vec<Value> {
        let path = self.directory.path().join("index.sqlite");
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = rusqlite::Connection::open_with_flags(path, flags).unwrap();
        let mut query = db.prepare(sql).unwrap();
        let columns = query.column_count();
        let mut rows = query.query([]).unwrap();
        let mut all = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let cells =
                (0..columns).map(|at| match row.get_unwrap::<_, rusqlite::types::Value>(at) {
                    rusqlite::types::Value::Null => Value::Null,
                    rusqlite::types::Value::Integer(number) => json!(number),
                    rusqlite::types::Value::Real(number) => json!(number),
                    rusqlite::types::Value::Text(text) => json!(text),
                    rusqlite::types::Value::Blob(bytes) => json!(bytes),
                });
            all.push(cells.collect());
        }
        all
    }
}

/// Calls with their legs, recordings, and what each event was read as.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    pub calls: Vec<Value>,
    pub recordings: Vec<Value>,
    pub events: Vec<Value>,
}

impl Derived {
    /// What no order and no duplication may change: all but `seq`, arrival times and the order of
    /// the ring path.
    pub fn timeless(mut self) -> Derived {
        for call in &mut self.calls {
            let rang = call["ring_path"].as_array().unwrap();
            let rang: BTreeSet<&str> = rang.iter().map(|user| user.as_str().unwrap()).collect();
            call["ring_path"] = json!(rang);
            for leg in call["legs"].as_array_mut().unwrap() {
                for time in ["answered_at", "ended_at"] {
                    leg[time] = json!(!leg[time].is_null());
                }
            }
        }
        self.calls.sort_by_key(Value::to_string);
        // A duplicate is logged again, but says the same.
        let events: BTreeSet<String> = self.events.iter().map(Value::to_string).collect();
        self.events = events.into_iter().map(Value::String).collect();
        self
    }
}
