//! Any query string: refused, or a filter whose answer from a real index is what a look at every
//! row gives, whole and page by page.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use callvault::correlate::{Correlator, Pbx};
use callvault::http::api::query;
use callvault::intake;
use callvault::model::access::Scope;
use callvault::model::filter::{Filter, Place};
use callvault::model::number;
use callvault::model::time::UtcMs;
use callvault::model::vendor::Vendor;
use callvault::store::log::Delivery;
use callvault::store::search::{RecordingRow, calls, recordings};
use callvault::store::{Reader, Store};

const EVENTS: &str = include_str!("../../tests/corpus/vendor_events.jsonl");
const PBXS: [&str; 2] = ["hq", "branch"];

struct Index {
    reader: Reader,
    recordings: Vec<RecordingRow>,
    calls: usize,
}

pub fn check(data: &[u8]) {
    static INDEX: OnceLock<Mutex<Index>> = OnceLock::new();
    let Ok(query) = query::parse(data) else {
        return;
    };
    let Ok(filter) = query::filter(&query, Scope::default()) else {
        return;
    };
    // A panic here is the end of the fuzzer, and of no other input in a replay.
    let index = INDEX.get_or_init(|| Mutex::new(Index::new()));
    let index = index.lock().unwrap_or_else(PoisonError::into_inner);
    index.recordings_are_right(&filter);
    index.calls_are_right(&filter);
}

impl Index {
    fn recordings_are_right(&self, filter: &Filter) {
        let ids = |rows: &[RecordingRow]| -> Vec<String> {
            rows.iter().map(|row| row.recording.to_string()).collect()
        };
        let found = recordings(&self.reader, filter).unwrap();
        assert!(found.len() <= filter.limit.unwrap() as usize);
        assert!(found.iter().all(|row| fits(row, filter)), "{filter:?}");

        let whole = Filter {
            limit: None,
            after: None,
            ..filter.clone()
        };
        let all = recordings(&self.reader, &whole).unwrap();
        if filter.after.is_none() {
            assert_eq!(ids(&found), ids(&all[..found.len()]), "{filter:?}");
        }
        if (filter.from, filter.to, filter.outcome) == (None, None, None) {
            let fitting = self.recordings.iter().filter(|row| fits(row, filter));
            let fitting: Vec<String> = fitting.map(|row| row.recording.to_string()).collect();
            assert_eq!(ids(&all), fitting, "{filter:?}");
        }
        if let Some(last) = all.len().checked_sub(2).map(|at| &all[at]) {
            let cursor = Place::from_cursor(&last.place().cursor());
            let behind = Filter {
                after: cursor,
                ..whole
            };
            let behind = recordings(&self.reader, &behind).unwrap();
            assert_eq!(ids(&behind), ids(&all[all.len() - 1..]), "{filter:?}");
        }
    }

    fn calls_are_right(&self, filter: &Filter) {
        let found = calls(&self.reader, filter).unwrap();
        assert!(found.len() <= self.calls.min(filter.limit.unwrap() as usize));
        for call in &found {
            assert!(has_number(call.external.as_deref(), filter), "{filter:?}");
            assert!(filter.direction.is_none() || call.direction == filter.direction);
            assert!(filter.outcome.is_none() || call.outcome == filter.outcome);
            assert!(filter.did.is_none() || call.did == filter.did);
            assert!(filter.pbx.as_ref().is_none_or(|pbx| call.id.pbx == *pbx));
        }
    }

    /// The vendor's events, at two PBXs in turn.
    fn new() -> Index {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.sqlite");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let store = Store::open(&path).unwrap();
            let pbx = |name: &str| {
                let zone = jiff::tz::TimeZone::get("Europe/Prague").unwrap();
                (
                    name.parse().unwrap(),
                    Pbx {
                        vendor: Vendor::ThreeCx,
                        zone,
                    },
                )
            };
            let due_after = Duration::from_secs(5);
            let correlator = Correlator::new(store.clone(), PBXS.map(pbx), due_after);
            for (line, pbx) in EVENTS.lines().zip(PBXS.iter().cycle()) {
                intake::log(&store, delivery(pbx, line)).await.unwrap();
            }
            correlator.catch_up().await.unwrap();
        });
        let reader = Reader::open(&path).unwrap();
        // The open file stays; nothing is left behind, however the fuzzer ends.
        let all = Filter::default();
        Index {
            recordings: recordings(&reader, &all).unwrap(),
            calls: calls(&reader, &all).unwrap().len(),
            reader,
        }
    }
}

fn delivery(pbx: &str, line: &str) -> Delivery {
    let row: serde_json::Value = serde_json::from_str(line).unwrap();
    Delivery {
        pbx: pbx.parse().unwrap(),
        received: UtcMs(1_767_225_600_000),
        live: true,
        method: "POST".to_owned(),
        content_type: None,
        target: None,
        peer: None,
        raw: row["payload"].as_str().unwrap().into(),
    }
}

/// All but times and outcome, which a row does not say of itself.
fn fits(row: &RecordingRow, filter: &Filter) -> bool {
    let is = |own: &Option<String>, asked: Option<&str>| asked.is_none() || own.as_deref() == asked;
    is(&row.extension, filter.extension.as_deref())
        && is(&row.did, filter.did.as_deref())
        && is(&row.call, filter.call.as_ref().map(|call| call.as_str()))
        && is(&row.direction, filter.direction.map(|way| way.as_str()))
        && filter.state.is_none_or(|state| row.state == state.as_str())
        && filter.pbx.as_ref().is_none_or(|pbx| row.pbx == *pbx)
        && filter
            .min_duration
            .is_none_or(|least| row.duration_s.is_some_and(|s| s >= least.0))
        && filter
            .max_duration
            .is_none_or(|most| row.duration_s.is_some_and(|s| s <= most.0))
        && has_number(row.external.as_deref(), filter)
}

fn has_number(number: Option<&str>, filter: &Filter) -> bool {
    let matches = |asked: &String| number.is_some_and(|number| number::matches(asked, number));
    filter.number.as_ref().is_none_or(matches)
}
