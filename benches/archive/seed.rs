//! Fills an index with calls as two PBXs have them in three years, by what the service itself
//! writes with: few numbers very often and most of them rarely, queues, transfers, misses.
//!
//! Nearly all recordings are archived, a few failed, a few are pending.

use std::time::Instant;

use callvault::model::call::{Call, Leg, Outcome};
use callvault::model::event::{Direction, FetchPath, Finish, Transfer};
use callvault::model::id::{CallId, LegId, RecordingId};
use callvault::model::time::{Started, UtcMs};
use callvault::store::log::Delivery;
use callvault::store::recordings::{self, Announced};
use callvault::store::words::Noted;
use callvault::store::{Error, Store, Tx, calls, log};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// 2023-01-01 and three years.
const FIRST_MS: i64 = 1_672_531_200_000;
const YEARS_MS: i64 = 3 * 365 * 86_400_000;
/// As many as the service saves at once when it has to catch up.
const CALLS_IN_A_TRANSACTION: u64 = 100;
/// One in five calls, and it only ever calls in.
pub const FREQUENT: &str = "05552221133";
/// In about one of twenty thousand legs.
pub const RARE_EXTENSION: &str = "999";

/// Xorshift: the same archive in every run.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    pub fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

pub fn number(nth: u64) -> String {
    let scattered = nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 900_000_000;
    format!("0{}", 5_100_000_000 + scattered)
}

struct Made {
    random: Random,
    recordings: u64,
    calls: u64,
    numbers: u64,
    step_ms: i64,
}

impl Made {
    /// What goes on behind so many calls, of so many recordings in three years.
    fn behind(calls: u64, recordings: u64) -> Made {
        Made {
            random: Random(230_307_142_318 + calls),
            recordings: 0,
            calls,
            numbers: (recordings / 5).max(1),
            step_ms: YEARS_MS / (recordings * 7 / 10).max(1) as i64,
        }
    }

    /// A transaction of some calls.
    async fn further(mut self, store: &Store, calls: u64) -> Result<Made, Error> {
        let write = store.write(move |tx| {
            let last = last_recording(tx)?;
            let mut noted = Noted::default();
            for _ in 0..calls {
                self.add(tx, &mut noted)?;
            }
            noted.write(tx)?;
            settle(tx, last)?;
            Ok(self)
        });
        write.await
    }
}

pub async fn seed(store: &Store, recordings: u64) -> anyhow::Result<()> {
    let calls = recordings * 7 / 10;
    let mut made = Made::behind(0, recordings);
    let began = Instant::now();
    let (mut tenths, mut last) = (Vec::new(), (began, 0));
    while made.calls < calls {
        let some = CALLS_IN_A_TRANSACTION.min(calls - made.calls);
        made = made.further(store, some).await?;
        if made.calls >= calls * (tenths.len() as u64 + 1) / 10 {
            let seconds = last.0.elapsed().as_secs_f64();
            tenths.push(((made.calls - last.1) as f64 / seconds).round());
            last = (Instant::now(), made.calls);
        }
    }
    println!(
        "Seeded {} recordings of {} calls in {:.0} s; calls a second, tenth by tenth: {tenths:?}.\n",
        made.recordings,
        made.calls,
        began.elapsed().as_secs_f64(),
    );
    Ok(())
}

/// How fast calls are written behind those that are there, and into an index that was empty just
/// now, in turns.
pub async fn rates(full: &Store, calls: u64, recordings: u64) -> anyhow::Result<()> {
    const ROUNDS: usize = 201;
    let directory = tempfile::tempdir()?;
    let empty = Store::open(&directory.path().join("index.sqlite"))?;
    let mut sides = [
        (full, Some(Made::behind(calls, recordings)), Vec::new()),
        (&empty, Some(Made::behind(0, recordings)), Vec::new()),
    ];
    for _ in 0..ROUNDS {
        for (store, made, seconds) in &mut sides {
            let further = made.take().expect("it came back");
            let began = Instant::now();
            *made = Some(further.further(store, CALLS_IN_A_TRANSACTION).await?);
            seconds.push(began.elapsed().as_secs_f64());
        }
    }
    let [full, empty] = sides.map(|(_, _, mut seconds)| {
        seconds.sort_by(f64::total_cmp);
        CALLS_IN_A_TRANSACTION as f64 / seconds[ROUNDS / 2]
    });
    println!(
        "Written behind {calls} calls: {full:.0} a second; into an empty index: {empty:.0}; \
         {:.2} of it (medians of {ROUNDS} transactions of {CALLS_IN_A_TRANSACTION}, in turns).\n",
        full / empty
    );
    Ok(())
}

impl Made {
    fn add(&mut self, tx: &mut Tx, noted: &mut Noted) -> Result<(), Error> {
        let call = self.call();
        let ended = call.legs.last().and_then(|leg| leg.ended);
        let at = ended.or(call.started.map(|started| started.utc));
        let delivery = Delivery {
            pbx: call.id.pbx.clone(),
            received: at.unwrap_or_default(),
            live: true,
            method: "POST".to_owned(),
            content_type: Some("application/json".to_owned()),
            target: None,
            peer: None,
            raw: format!("{{\"Event\":\"ended\",\"Id\":\"{}\"}}", call.id.call).into(),
        };
        let seq = log::append(tx.one(), &delivery)?;
        let row = calls::row(tx, &call.id)?;
        calls::touch(tx, row, seq)?;
        calls::save(tx, row, &call, noted)?;
        calls::know(tx, row)?;
        let legs = call.legs.iter();
        let announced = legs.flat_map(|leg| leg.recordings.iter().map(move |name| (leg, name)));
        let announced = announced.map(|(leg, name)| Announced {
            id: RecordingId {
                pbx: call.id.pbx.clone(),
                // One in a thousand is of no known call.
                recording: match self.random.one_in(1000) {
                    true => format!("u-{:016x}", self.random.0).parse().expect("a name"),
                    false => name.clone(),
                },
            },
            of: Some((
                LegId {
                    call: call.id.call.clone(),
                    leg: leg.leg,
                },
                1,
            )),
            local: delivery.received.local(&TimeZone::UTC),
            at: delivery.received,
            seq,
            source_url: format!("https://pbx.example/webapi/recording/{name}.mp3"),
            path: Ok(FetchPath::checked(format!("/webapi/recording/{name}.mp3"))),
            flags: Vec::new(),
        });
        let mut announced: Vec<Announced> = announced.collect();
        for one in &mut announced {
            if one.id.recording.as_str().starts_with("u-") {
                one.of = None;
            }
        }
        self.recordings += announced.len() as u64;
        self.calls += 1;
        recordings::enqueue(tx, &announced, 5_000)
    }

    fn call(&mut self) -> Call {
        let random = &mut self.random;
        let at = FIRST_MS + self.calls as i64 * self.step_ms + random.below(60_000) as i64;
        let utc = UtcMs(at / 1000 * 1000);
        let (pbx, zone) = match random.one_in(10) {
            true => ("branch", "America/New_York"),
            false => ("hq", "Europe/Prague"),
        };
        let zone = TimeZone::get(zone).expect("a zone");
        let instant = Timestamp::from_millisecond(utc.0).expect("a time");
        let local = zone.to_datetime(instant);
        let name = format!(
            "{}_{}",
            local.strftime("%y%m%d%H%M%S"),
            self.calls % 100_000
        );
        let external = match random.below(20) {
            0 => None,
            1..=4 => Some(FREQUENT.to_owned()),
            5..=10 => Some(number(random.below(500))),
            _ => Some(number(random.below(self.numbers))),
        };
        let incoming = external.as_deref() == Some(FREQUENT) || !random.one_in(3);
        let answered = !random.one_in(5);
        let rang: Vec<String> = (0..1 + random.below(3))
            .map(|_| extension(random))
            .collect();
        let mut call = Call {
            id: CallId {
                pbx: pbx.parse().expect("a name"),
                call: name.parse().expect("a name"),
            },
            direction: Some(match incoming {
                true => Direction::Incoming,
                false => Direction::Outgoing,
            }),
            external,
            did: incoming.then(|| format!("DID-4202220003{:02}", random.below(40))),
            started: Some(Started {
                utc,
                local,
                ambiguous: false,
            }),
            outcome: Some(match answered {
                true => Outcome::Answered,
                false => Outcome::Missed,
            }),
            legs: Vec::new(),
            ring_path: if incoming { rang } else { Vec::new() },
        };
        if answered {
            let legs = [1, 1, 1, 2, 2, 2, 2, 3, 1][random.below(9) as usize];
            call.legs = self.legs(&call, legs);
        }
        call
    }

    fn legs(&mut self, call: &Call, count: u32) -> Vec<Leg> {
        let random = &mut self.random;
        let mut at = call.started.map_or(UtcMs(0), |started| started.utc);
        let leg = |leg: u32| {
            let duration_s = 3 + random.below(60) * random.below(60) * random.below(3) / 4;
            let answered = UtcMs(at.0 + 4_000);
            at = UtcMs(answered.0 + duration_s as i64 * 1000);
            let name = format!("{}-{leg}-1", call.id.call);
            Leg {
                leg,
                extension: Some(extension(random)),
                answered: Some(answered),
                ended: Some(at),
                duration_s: Some(duration_s as u32),
                transfer: (leg < count).then_some(Transfer::Attended),
                transferred_to: None,
                finish: Some(Finish::Ok),
                end_is_certain: true,
                recordings: vec![name.parse().expect("a name")],
            }
        };
        (1..=count).map(leg).collect()
    }
}

/// Of three hundred, some more often.
fn extension(random: &mut Random) -> String {
    match random.one_in(20_000) {
        true => RARE_EXTENSION.to_owned(),
        false => {
            let end = 1 + random.below(300);
            (100 + random.below(end)).to_string()
        }
    }
}

fn last_recording(tx: &Tx) -> Result<i64, Error> {
    let sql = "SELECT coalesce(max(id), 0) FROM recording";
    let read = tx.query_row(sql, [], |row| row.get(0));
    read.map_err(|source| Error::Statement {
        what: "see which recording is the last",
        source,
    })
}

/// What was announced behind a row is as the worker would leave it: some wait, and few have failed.
fn settle(tx: &mut Tx, last: i64) -> Result<(), Error> {
    let failed = "UPDATE recording SET state = 'failed', due_ms = NULL, attempt = 9, \
        code = 'gone', last_error = 'download: the PBX has it no longer: HTTP 404' \
        WHERE id > ?1 AND id % 1000 = 7";
    let waiting = "UPDATE recording SET due_ms = 4000000000000 WHERE id > ?1 AND id % 1000 = 507";
    let archived = "UPDATE recording SET state = 'archived', due_ms = NULL, attempt = 1, \
        original_sha256 = randomblob(32), original_bytes = 16000, object_sha256 = randomblob(32), \
        object_bytes = 17000, object_key = pbx || '/' || dated || '/' || recording || '.mp3', \
        media_ms = coalesce(duration_s, 10) * 1000, archived_ms = announced_ms + 7000 \
        WHERE id > ?1 AND id % 500 <> 7";
    for sql in [failed, waiting, archived] {
        let run = || tx.prepare_cached(sql)?.execute([last]);
        run().map_err(|source| Error::Statement {
            what: "settle recordings",
            source,
        })?;
    }
    Ok(())
}
