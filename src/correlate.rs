//! Reading the log: each new delivery is read, every call it touches is folded again from all its
//! events, and what it announces becomes a job, all in the transaction that moves the mark.
//!
//! Reading and folding happen outside the write transaction; if another process moved the mark
//! meanwhile, nothing is kept and the batch is read again. Never here: what a dialect means.

mod ownership;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use tokio::sync::Notify;

use crate::failpoint::{self, Effect};
use crate::model::call::Call;
use crate::model::chain::chain;
use crate::model::event::{Event, Kind, Logged, Reading};
use crate::model::id::{CallId, EventSeq, PbxName, RecordingId};
use crate::model::vendor::Vendor;
use crate::store::log::{self, Unread};
use crate::store::recordings::{self, Announced};
use crate::store::words::Noted;
use crate::store::{Db, Error, Store, Tx, calls, damaged, foretold};

/// Deliveries at a time: events of one call that are read together cost little more than one, and
/// what is answered meanwhile waits until they are saved, 40 to 200 µs each.
const BATCH: u32 = 200;
/// No more of them are read in a second while more come: what comes faster is a burst, and it ends.
const PACE_PER_S: u32 = 6000;
/// While more come: events of one call come close together.
const REST_MIN: Duration = Duration::from_millis(20);
/// How soon events are noticed that another process logged.
const POLL: Duration = Duration::from_millis(500);

/// What reading the log needs to know of the PBXs.
pub struct Correlator {
    store: Store,
    pbxs: Arc<BTreeMap<PbxName, Pbx>>,
    due_after: Duration,
}

#[derive(Debug, Clone)]
pub struct Pbx {
    pub vendor: Vendor,
    pub zone: TimeZone,
}

/// A batch, read and folded, not yet written.
struct Batch {
    /// The mark as it was found, and as it will be.
    from: EventSeq,
    to: EventSeq,
    /// Where the log ended when it was read.
    end: EventSeq,
    /// These are behind the mark: they were passed over before.
    taken_up: bool,
    deliveries: Vec<Read>,
    calls: Vec<Call>,
    announced: Vec<Announced>,
}

/// How far the log was read, where it ended then, and how many deliveries were read.
struct Reached {
    seq: EventSeq,
    end: EventSeq,
    read: usize,
}

struct Read {
    seq: EventSeq,
    pbx: PbxName,
    /// None of a delivery that is passed over.
    readings: Arc<[Reading]>,
    duplicate_of: Option<EventSeq>,
    /// The calls it says something about, and whether that is more than an unknown event.
    touches: BTreeMap<CallId, bool>,
}

impl Correlator {
    pub fn new(
        store: Store,
        pbxs: impl IntoIterator<Item = (PbxName, Pbx)>,
        due_after: Duration,
    ) -> Correlator {
        Correlator {
            store,
            pbxs: Arc::new(pbxs.into_iter().collect()),
            due_after,
        }
    }

    /// Reads on as events are logged, tells `enqueued` after each batch, and counts its turns. Runs
    /// until dropped.
    pub async fn run(&self, logged: &Notify, enqueued: &Notify, turns: &AtomicU64) {
        let mut end_before = EventSeq(0);
        loop {
            turns.fetch_add(1, Ordering::Relaxed);
            let began = Instant::now();
            match self.batch().await {
                Ok(None) => {
                    let _ = tokio::time::timeout(POLL, logged.notified()).await;
                }
                Ok(Some(Reached { end, read, .. })) => {
                    enqueued.notify_one();
                    let came = end.0.saturating_sub(end_before.0);
                    if came.saturating_mul(10) >= read as i64 {
                        tokio::time::sleep(rest(began.elapsed(), read)).await;
                    }
                    end_before = end;
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "reading the log failed");
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    /// Reads all that is logged by now. What arrives meanwhile may be read by somebody else: where
    /// events come without a pause, there is no end to wait for.
    pub async fn catch_up(&self) -> Result<(), Error> {
        let last = self.store.read(|db| log::last(db)).await?;
        while let Some(reached) = self.batch().await? {
            if reached.seq >= last {
                break;
            }
        }
        Ok(())
    }

    /// Reads some deliveries; returns how far the log was read then, or none where nothing was left.
    /// What was passed over before comes first, and moves no mark.
    async fn batch(&self) -> Result<Option<Reached>, Error> {
        let pbxs = self.pbxs.clone();
        let batch = self.store.read(move |reader| read(reader, &pbxs)).await?;
        let Some(batch) = batch else { return Ok(None) };
        let (pbxs, reached) = (self.pbxs.clone(), batch.reached());
        let due_after_ms = i64::try_from(self.due_after.as_millis()).unwrap_or(i64::MAX);
        failpoint::before(Effect::Fold);
        let kept = self
            .store
            .write_patiently(move |tx| keep(tx, &batch, &pbxs, due_after_ms));
        let kept = kept.await?;
        failpoint::after(Effect::Fold);
        if !kept {
            tracing::debug!("another process has read the log meanwhile; reading again");
        }
        Ok(Some(reached))
    }
}

impl Batch {
    fn reached(&self) -> Reached {
        let end = self.end;
        // There may be more of what was passed over, and then there is what is new.
        let seq = if self.taken_up { EventSeq(0) } else { self.to };
        let read = self.deliveries.len();
        Reached { seq, end, read }
    }
}

/// How long reading stops, once so many were read in that time and more came meanwhile, by a tenth as
/// many: answers come first. What is only left of before is read without a rest.
fn rest(took: Duration, read: usize) -> Duration {
    let due = Duration::from_secs(1) * read as u32 / PACE_PER_S;
    took.max(due.saturating_sub(took)).clamp(REST_MIN, POLL)
}

fn read(db: &Db, pbxs: &BTreeMap<PbxName, Pbx>) -> Result<Option<Batch>, Error> {
    let vendor = |name: &PbxName| pbxs.get(name).map(|pbx| pbx.vendor);
    let from = log::correlated(db)?;
    let known: Vec<&PbxName> = pbxs.keys().collect();
    let mut unread = log::passed_over(db, &known, BATCH, &vendor)?;
    let taken_up = !unread.is_empty();
    if !taken_up {
        unread = log::unread(db, from, BATCH, &vendor)?;
    }
    let Some(last) = unread.last().map(|unread| unread.seq) else {
        return Ok(None);
    };
    let mut batch = Batch {
        from,
        to: if taken_up { from } else { last },
        end: log::last(db)?,
        taken_up,
        deliveries: Vec::with_capacity(unread.len()),
        calls: Vec::new(),
        announced: Vec::new(),
    };
    let mut fresh: BTreeMap<CallId, Vec<Logged>> = BTreeMap::new();
    for Unread {
        seq,
        pbx,
        logged,
        duplicate_of,
    } in unread
    {
        let readings = logged.as_ref().map(|logged| logged.readings.clone());
        let mut read = Read {
            seq,
            pbx,
            readings: readings.unwrap_or_default(),
            duplicate_of,
            touches: BTreeMap::new(),
        };
        if let Some(logged) = logged {
            read.touches = touches(&logged.pbx, &read.readings);
            for call in read.touches.keys() {
                fresh.entry(call.clone()).or_default().push(logged.clone());
            }
            let zone = &pbxs[&logged.pbx].zone;
            let events = read.readings.iter().filter_map(Reading::event);
            batch
                .announced
                .extend(events.flat_map(|event| announced(&logged, zone, event)));
        }
        batch.deliveries.push(read);
    }
    for (id, new) in fresh {
        let mut events = match calls::find(db, &id)? {
            Some(row) => log::of_call(db, row, &vendor)?,
            None => Vec::new(),
        };
        events.extend(new);
        let zone = &pbxs[&id.pbx].zone;
        batch.calls.push(Call::fold(id, zone, &events));
    }
    Ok(Some(batch))
}

fn touches(pbx: &PbxName, readings: &[Reading]) -> BTreeMap<CallId, bool> {
    let mut touches = BTreeMap::new();
    for event in readings.iter().filter_map(Reading::event) {
        let named = event.files.iter().filter_map(|file| file.of.as_ref());
        let legs = event.leg.iter().chain(named.map(|of| &of.leg));
        for leg in legs {
            let id = CallId {
                pbx: pbx.clone(),
                call: leg.call.clone(),
            };
            *touches.entry(id).or_insert(false) |= event.kind != Kind::Unknown;
        }
    }
    touches
}

fn announced<'a>(
    logged: &'a Logged,
    zone: &'a TimeZone,
    event: &'a Event,
) -> impl Iterator<Item = Announced> + 'a {
    event.files.iter().map(move |file| {
        let named = file.of.as_ref();
        let mismatch = named
            .zip(event.leg.as_ref())
            .is_some_and(|(of, leg)| of.leg != *leg);
        let flags = [("id_mismatch", mismatch), ("unannounced", logged.foretold)];
        let flags = flags
            .into_iter()
            .filter(|(_, is)| *is)
            .map(|(flag, _)| flag);
        Announced {
            id: RecordingId {
                pbx: logged.pbx.clone(),
                recording: file.recording.clone(),
            },
            of: named.map(|of| (of.leg.clone(), of.part)),
            local: named.map_or_else(|| logged.received.local(zone), |of| of.started_local),
            at: logged.received,
            seq: logged.seq,
            source_url: file.url.clone(),
            path: file
                .path
                .clone()
                .map_err(|refused| (refused.code(), refused.to_string())),
            flags: flags.collect(),
        }
    })
}

/// Writes a batch; false, and nothing written, where the mark has moved meanwhile.
fn keep(
    tx: &mut Tx,
    batch: &Batch,
    pbxs: &BTreeMap<PbxName, Pbx>,
    due_after_ms: i64,
) -> Result<bool, Error> {
    if !log::move_correlated(tx, batch.from, batch.to)? {
        return Ok(false);
    }
    let mut rows = BTreeMap::new();
    for call in &batch.calls {
        rows.insert(&call.id, calls::row(tx, &call.id)?);
    }
    let mut newly_damaged = Vec::new();
    let mut known = BTreeSet::new();
    for read in &batch.deliveries {
        if batch.taken_up && !log::take_up(tx, read.seq)? {
            return Err(Error::LeaseLost(format!("delivery {}", read.seq)));
        }
        if read.readings.is_empty() {
            log::pass_over(tx, read.seq, &read.pbx)?;
        }
        for (item, reading) in (0..).zip(read.readings.iter()) {
            calls::save_reading(tx, read.seq, item, reading, read.duplicate_of)?;
            if let Some((pbx, event, id_rest)) = lost_its_leg(read, reading) {
                damaged::save(tx, read.seq, item, pbx, event, id_rest)?;
                newly_damaged.push((pbx, read.seq, item));
            }
        }
        for (id, is_known) in &read.touches {
            calls::touch(tx, rows[id], read.seq)?;
            known.extend(is_known.then_some(rows[id]));
        }
    }
    let mut noted = Noted::default();
    for call in &batch.calls {
        let row = rows[&call.id];
        calls::save(tx, row, call, &mut noted)?;
        foretold::expect(tx, row, call)?;
    }
    for row in known {
        calls::know(tx, row)?;
    }
    recordings::enqueue(tx, &batch.announced, due_after_ms)?;
    ownership::settle(tx, &batch.calls, &newly_damaged, pbxs, &mut noted)?;
    noted.write(tx)?;
    Ok(true)
}

fn lost_its_leg<'a>(
    read: &'a Read,
    reading: &'a Reading,
) -> Option<(&'a PbxName, &'a Event, &'a str)> {
    let Reading::Repaired(event) = reading else {
        return None;
    };
    let unplaced = event.kind == Kind::Ended && event.leg.is_none();
    let id_rest = event.damaged_id.as_deref().filter(|_| unplaced)?;
    Some((&read.pbx, event, id_rest))
}
