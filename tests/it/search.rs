//! The indexed search against a plain one: every row looked at, in Rust, by what a filter means.
//! Both see the vendor's calls and seeded ones that contradict, come late, and change what a
//! recording is listed by.

use std::collections::HashMap;

use callvault::model::access::Scope;
use callvault::model::call::{Call, Outcome};
use callvault::model::event::Direction;
use callvault::model::filter::{Filter, Place};
use callvault::model::job::State;
use callvault::model::number;
use callvault::model::time::{Moment, Seconds, UtcMs};
use callvault::store::search::RecordingRow;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::support::index::{Index, PBXS};

/// Xorshift: the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Now and then one of the choices.
    fn maybe<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        (self.below(4) == 0).then(|| self.of(choices))
    }
}

const NUMBERS: [&str; 12] = [
    "05552221133",
    "5552221133",
    "+90 555 222 11 33",
    "+420 774 852 629",
    "00420774852629",
    "anonymous",
    "Anonymous",
    "117",
    "*72",
    "60123456",
    "221133",
    "",
];
const ASKED: [&str; 20] = [
    "05552221133",
    "2221133",
    "221133",
    "21133",
    "420774852629",
    "+420*",
    "*1133",
    "*222*33",
    "*485*",
    "*4 85*",
    "*77*",
    "0555*",
    "anon*",
    "Anonymous",
    "*",
    "**",
    "117",
    "*72",
    "nobody",
    "*999999*",
];
const EXTENSIONS: [&str; 5] = ["117", "204", "800", "301", "999"];
const DIDS: [&str; 4] = ["Sales", "DID-420222000320", "sales", ""];
/// On both sides of midnight and of the hours that autumn and spring change, and equal stamps.
const STAMPS: [&str; 8] = [
    "230307142318",
    "230307235959",
    "230308000000",
    "230308002000",
    "231029023000",
    "231029013000",
    "230326023000",
    "231105013000",
];
const MOMENTS: [&str; 9] = [
    "2023-03-07",
    "2023-03-08",
    "2023-03-07T14:23:18",
    "2023-03-07T14:23:18.5",
    "2023-03-07T13:23:18Z",
    "2023-03-08T00:20:00-05:00",
    "2023-10-29T02:30",
    "2023-10-29T01:00:00Z",
    "2026-01-01",
];

fn event(random: &mut Random) -> String {
    let call = format!("{}_{}", random.of(&STAMPS), 40 + random.below(6));
    let id = format!("{call}-{}", random.below(3));
    let url = |part: usize, random: &mut Random| match random.below(12) {
        0 => format!("https://h/webapi/recording/strange{part}.mp3"),
        1 => format!("https://h/elsewhere/{id}-{part}.mp3"),
        _ => format!(
            "https://h/webapi/recording/{call}-{}-{part}.mp3",
            1 + random.below(2)
        ),
    };
    let name = random.of(&[
        "ringing",
        "dialing",
        "incomingcall_started",
        "outgoingcall_started",
        "incoming",
        "outgoing",
        "recording",
        "recording",
        "queue_login",
    ]);
    let mut event = json!({
        "Event": name, "Callerid": random.of(&NUMBERS), "User": random.of(&EXTENSIONS[..4]),
        "Did": random.of(&DIDS), "Trtype": random.of(&["NotDef", "Blind", "Attended"]),
        "Finishtype": random.of(&["Ok", "Ok", "Missed"]), "Id": id,
        "Duration": random.of(&["00:05", "01:05", "02:00", ""]),
    });
    if name == "recording" || random.below(6) == 0 {
        let files = [url(1, random), url(1 + random.below(2), random)];
        event["FileUrls"] = json!(files[..1 + random.below(2)]);
    }
    event.to_string()
}

fn filter(random: &mut Random) -> Filter {
    let text = |text: Option<&str>| text.map(str::to_owned);
    let moment = |text: Option<&str>| text.map(|text| text.parse().unwrap());
    let extensions = match random.below(5) {
        0 => vec![random.of(&EXTENSIONS).to_owned()],
        1 => vec!["204".to_owned(), random.of(&EXTENSIONS).to_owned()],
        _ => Vec::new(),
    };
    let pbx = |name: Option<&str>| name.map(|name| name.parse().unwrap());
    Filter {
        number: text(random.maybe(&ASKED)),
        extension: text(random.maybe(&EXTENSIONS)),
        did: text(random.maybe(&DIDS[..3])),
        pbx: pbx(random.maybe(&PBXS)),
        direction: random.maybe(&[
            Direction::Incoming,
            Direction::Outgoing,
            Direction::Internal,
        ]),
        from: moment(random.maybe(&MOMENTS)),
        to: moment(random.maybe(&MOMENTS)),
        outcome: random.maybe(&[Outcome::Answered, Outcome::Missed]),
        state: random.maybe(&[State::Pending, State::Failed, State::Archived]),
        min_duration: random.maybe(&[0, 5, 60, 65]).map(Seconds),
        max_duration: random.maybe(&[4, 5, 70, 120]).map(Seconds),
        call: random
            .maybe(&STAMPS[..2])
            .map(|stamp| format!("{stamp}_40").parse().unwrap()),
        limit: None,
        scope: Scope {
            pbx: pbx(random.maybe(&PBXS)),
            extensions,
        },
        after: None,
    }
}

/// All rows, and what they do not say of themselves.
struct Rows {
    recordings: Vec<RecordingRow>,
    calls: Vec<Call>,
    outcomes: HashMap<(String, String), Option<Outcome>>,
}

impl Rows {
    async fn of(index: &Index) -> Rows {
        let calls = index.calls(&Filter::default()).await;
        let key = |call: &Call| (call.id.pbx.to_string(), call.id.call.to_string());
        Rows {
            recordings: index.recordings(&Filter::default()).await,
            outcomes: calls.iter().map(|call| (key(call), call.outcome)).collect(),
            calls,
        }
    }

    fn recordings(&self, filter: &Filter) -> Vec<String> {
        let fitting = self.recordings.iter().filter(|row| self.fits(row, filter));
        newest_first(fitting.map(|row| {
            let at = row.started_at.as_ref().unwrap_or(&row.announced_at);
            (at.parse().unwrap(), row.recording.to_string())
        }))
    }

    fn fits(&self, row: &RecordingRow, filter: &Filter) -> bool {
        let utc: UtcMs = row
            .started_at
            .as_ref()
            .unwrap_or(&row.announced_at)
            .parse()
            .unwrap();
        let local = row
            .started_at_local
            .clone()
            .unwrap_or_else(|| wall_clock(row, utc));
        let call = row.call.clone().map(|call| (row.pbx.to_string(), call));
        let outcome = call.and_then(|key| self.outcomes.get(&key).copied().flatten());
        is(&filter.number, |asked| {
            matches(asked, row.external.as_deref())
        }) && is(&filter.extension, |own| row.extension.as_ref() == Some(own))
            && is(&filter.did, |did| row.did.as_ref() == Some(did))
            && is(&filter.pbx, |pbx| row.pbx == *pbx)
            && is(&filter.direction, |way| {
                row.direction.as_deref() == Some(way.as_str())
            })
            && is(&filter.state, |state| row.state == state.as_str())
            && is(&filter.call, |call| {
                row.call.as_deref() == Some(call.as_str())
            })
            && is(&filter.outcome, |own| outcome == Some(*own))
            && lasts(length(row), filter)
            && in_period(Some((utc, &local)), filter)
            && filter.scope.has_pbx(&row.pbx)
            && filter.scope.has_extension(row.extension.as_deref())
    }

    fn calls(&self, filter: &Filter) -> Vec<String> {
        let fitting = self
            .calls
            .iter()
            .filter(|call| self.fits_call(call, filter));
        newest_first(fitting.map(|call| (call.place().at, call.id.to_string())))
    }

    fn fits_call(&self, call: &Call, filter: &Filter) -> bool {
        let scope = &filter.scope;
        let mine: Vec<_> = call
            .legs
            .iter()
            .filter(|leg| scope.has_extension(leg.extension.as_deref()))
            .collect();
        let rang = call
            .ring_path
            .iter()
            .any(|user| scope.has_extension(Some(user)));
        let local = call.started.map(|started| started.local_text());
        let period = call
            .started
            .zip(local.as_deref())
            .map(|(started, local)| (started.utc, local));
        let recordings = self.recordings.iter().filter(|row| {
            row.pbx == call.id.pbx
                && row.call.as_deref() == Some(call.id.call.as_str())
                && scope.has_extension(row.extension.as_deref())
        });
        let has = |state: &State| recordings.clone().any(|row| row.state == state.as_str());
        let timed = (filter.min_duration, filter.max_duration) != (None, None);
        is(&filter.number, |asked| {
            matches(asked, call.external.as_deref())
        }) && is(&filter.extension, |own| {
            mine.iter().any(|leg| leg.extension.as_ref() == Some(own))
        }) && is(&filter.did, |did| call.did.as_ref() == Some(did))
            && is(&filter.pbx, |pbx| call.id.pbx == *pbx)
            && is(&filter.direction, |way| call.direction == Some(*way))
            && is(&filter.outcome, |outcome| call.outcome == Some(*outcome))
            && is(&filter.state, has)
            && is(&filter.call, |name| call.id.call == *name)
            && (!timed || mine.iter().any(|leg| lasts(leg.duration_s, filter)))
            && in_period(period, filter)
            && scope.has_pbx(&call.id.pbx)
            && (scope.extensions.is_empty() || rang || !mine.is_empty())
    }
}

/// As people see it.
fn length(row: &RecordingRow) -> Option<u32> {
    row.duration_s.or(row.media_duration_s.map(|s| s as u32))
}

/// As the moments that are asked for are written.
fn wall_clock(row: &RecordingRow, utc: UtcMs) -> String {
    let zone = match row.pbx.as_str() == PBXS[0] {
        true => "Europe/Prague",
        false => "America/New_York",
    };
    utc.local(&TimeZone::get(zone).unwrap()).to_string()
}

fn is<T>(asked: &Option<T>, holds: impl FnOnce(&T) -> bool) -> bool {
    asked.as_ref().is_none_or(holds)
}

fn matches(asked: &str, number: Option<&str>) -> bool {
    number.is_some_and(|number| number::matches(asked, number))
}

fn lasts(duration_s: Option<u32>, filter: &Filter) -> bool {
    is(&filter.min_duration, |least| {
        duration_s.is_some_and(|s| s >= least.0)
    }) && is(&filter.max_duration, |most| {
        duration_s.is_some_and(|s| s <= most.0)
    })
}

/// A bare time is compared with the wall clock as it is written.
fn in_period(own: Option<(UtcMs, &str)>, filter: &Filter) -> bool {
    let before = |own: (UtcMs, &str), moment: &Moment| match moment {
        Moment::Exact(at) => own.0 < *at,
        Moment::Local(at) => own.1 < at.to_string().as_str(),
    };
    is(&filter.from, |from| {
        own.is_some_and(|own| !before(own, from))
    }) && is(&filter.to, |to| own.is_some_and(|own| before(own, to)))
}

fn newest_first(rows: impl Iterator<Item = (UtcMs, String)>) -> Vec<String> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|a, b| b.cmp(a));
    rows.into_iter().map(|(_, id)| id).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Recordings,
    Calls,
}

const KINDS: [Kind; 2] = [Kind::Recordings, Kind::Calls];

async fn found(index: &Index, kind: Kind, filter: &Filter) -> Vec<(Place, String)> {
    match kind {
        Kind::Recordings => {
            let rows = index.recordings(filter).await;
            let rows = rows
                .iter()
                .map(|row| (row.place(), row.recording.to_string()));
            rows.collect()
        }
        Kind::Calls => {
            let calls = index.calls(filter).await;
            let calls = calls.iter().map(|call| (call.place(), call.id.to_string()));
            calls.collect()
        }
    }
}

/// Every row by pages of so many, as cursors lead from one to the next.
async fn paged(index: &Index, kind: Kind, filter: &Filter, limit: u32) -> Vec<String> {
    let mut rows = Vec::new();
    let mut filter = Filter {
        limit: Some(limit),
        ..filter.clone()
    };
    loop {
        let page = found(index, kind, &filter).await;
        let last = page.last().filter(|_| page.len() == limit as usize);
        filter.after = last.and_then(|(place, _)| Place::from_cursor(&place.cursor()));
        rows.extend(page.into_iter().map(|(_, id)| id));
        assert!(rows.len() < 10_000, "paging does not end: {filter:?}");
        if filter.after.is_none() {
            return rows;
        }
    }
}

/// How many of the filters found anything.
async fn check(index: &Index, filters: &[Filter]) -> usize {
    let rows = Rows::of(index).await;
    let mut hits = 0;
    for (nth, filter) in filters.iter().enumerate() {
        let limit = 1 + nth as u32 % 7;
        for kind in KINDS {
            let expected = match kind {
                Kind::Recordings => rows.recordings(filter),
                Kind::Calls => rows.calls(filter),
            };
            let whole = found(index, kind, filter).await;
            let whole: Vec<String> = whole.into_iter().map(|(_, id)| id).collect();
            assert_eq!(whole, expected, "{filter:?}");
            let pages = paged(index, kind, filter, limit).await;
            assert_eq!(pages, expected, "by {limit}: {filter:?}");
            hits += usize::from(!expected.is_empty());
        }
    }
    hits
}

/// Each filter by itself, and many together; few would find anything if all were.
fn filters(random: &mut Random, count: usize) -> Vec<Filter> {
    let single = ASKED.map(|asked| Filter {
        number: Some(asked.to_owned()),
        ..Filter::default()
    });
    let mut filters: Vec<Filter> = single.into();
    filters.push(Filter::default());
    filters.extend((0..count).map(|_| filter(random)));
    filters
}

#[tokio::test]
async fn the_index_finds_what_a_look_at_every_row_finds() {
    let mut random = Random(230_307_142_318);
    let mut index = Index::new();
    for line in include_str!("../corpus/vendor_events.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let pbx = random.of(&PBXS);
        index.log(pbx, row["payload"].as_str().unwrap()).await;
    }
    let mut hits = 0;
    // Events about the same calls come again and again, so that each round changes rows.
    for _ in 0..5 {
        for _ in 0..80 {
            let event = event(&mut random);
            index.log(random.of(&PBXS), &event).await;
            if random.below(3) == 0 {
                index.catch_up().await;
            }
            if random.below(10) == 0 {
                index.download().await;
            }
        }
        index.catch_up().await;
        hits += check(&index, &filters(&mut random, 40)).await;
    }
    assert!(hits > 150, "only {hits} of the filters found anything");
}

/// What a recording is found by changes with what comes late about its call.
#[tokio::test]
async fn a_recording_is_found_by_what_came_last() {
    const CALL: &str = "231029023000_31";
    /// 2023-10-29 00:30:00.7 UTC: the first of the two that the id may mean.
    const CHID: &str = "00000000-01da-09ff-0d66-c3c00000001f";
    let started = |user: &str, number: &str, chid: Option<&str>| {
        let mut event = json!({"Event": "incomingcall_started", "Callerid": number, "User": user,
            "Did": "Sales", "Id": format!("{CALL}-1")});
        if let Some(chid) = chid {
            event["chid"] = json!(chid);
        }
        event.to_string()
    };
    let ended = json!({"Event": "incoming", "Callerid": "05552221133", "User": "204",
        "Finishtype": "Ok", "Duration": "01:05", "Id": format!("{CALL}-1")});
    let by = |change: fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    let questions = [
        by(|f| f.number = Some("601234567".to_owned())),
        by(|f| f.number = Some("*222113*".to_owned())),
        by(|f| f.extension = Some("301".to_owned())),
        by(|f| f.extension = Some("204".to_owned())),
        by(|f| f.did = Some("Sales".to_owned())),
        by(|f| f.to = "2023-10-29T01:00:00Z".parse().ok()),
        by(|f| f.min_duration = Some(Seconds(60))),
    ];
    let steps = [
        (
            format!("https://h/webapi/recording/{CALL}-1-1.mp3"),
            ".......",
        ),
        (started("301", "601234567", None), "y.y.y.."),
        (started("301", "601234567", Some(CHID)), "y.y.yy."),
        (ended.to_string(), ".y.yyyy"),
    ];
    let mut index = Index::new();
    for (raw, expected) in steps {
        index.log("hq", &raw).await;
        index.catch_up().await;
        for (nth, (filter, expected)) in questions.iter().zip(expected.chars()).enumerate() {
            for kind in KINDS {
                let found = found(&index, kind, filter).await.len();
                let expected = usize::from(expected == 'y');
                assert_eq!(found, expected, "question {nth} after {raw}");
            }
        }
        // Nothing is listed twice, wherever it stood before.
        for kind in KINDS {
            let all = paged(&index, kind, &Filter::default(), 1).await;
            assert_eq!(all.len(), 1, "{all:?}");
        }
    }
}
