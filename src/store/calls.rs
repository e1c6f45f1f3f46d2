//! Calls, legs and readings: what was derived from the event log.

use std::collections::HashMap;

use rusqlite::{Row, params};

use super::words::{self, Noted};
use super::{Db, Error, Tx, all, events, execute, first, parsed, recordings, word};
use crate::model::call::{Call, Leg, Outcome};
use crate::model::event::{Direction, Finish, Reading, Transfer};
use crate::model::id::{CallId, EventSeq, LegId, RecordingName};
use crate::model::time::{Moment, Started, UtcMs};

/// The row of a call that any event named, also one of an unknown kind.
pub fn find(db: &Db, id: &CallId) -> Result<Option<i64>, Error> {
    let sql = "SELECT id FROM call WHERE pbx = ?1 AND call = ?2";
    let key = params![id.pbx.as_str(), id.call.as_str()];
    first(db, "find a call", sql, key, |row| row.get(0))
}

/// The row of a call, made where there is none. What the call is comes by [`save`].
pub fn row(tx: &mut Tx, id: &CallId) -> Result<i64, Error> {
    if let Some(row) = find(tx, id)? {
        return Ok(row);
    }
    let sql = "INSERT INTO call (pbx, call) VALUES (?1, ?2)";
    execute(
        tx,
        "note a call",
        sql,
        params![id.pbx.as_str(), id.call.as_str()],
    )?;
    Ok(tx.last_insert_rowid())
}

/// Notes that a delivery says something about a call.
pub fn touch(tx: &mut Tx, call_id: i64, seq: EventSeq) -> Result<(), Error> {
    let sql = "INSERT OR IGNORE INTO call_delivery (call_id, seq) VALUES (?1, ?2)";
    execute(tx, "note an event of a call", sql, params![call_id, seq.0])?;
    Ok(())
}

/// Notes that an event of a known kind named a call. After [`save`], for only then it is listed.
pub fn know(tx: &mut Tx, call_id: i64) -> Result<(), Error> {
    let sql = "UPDATE call SET known = 1 WHERE id = ?1 AND known = 0";
    execute(tx, "note that a call is known", sql, [call_id])?;
    Ok(())
}

/// Writes what the fold found, in place of what it found before, and what listings go by with it:
/// what the call is found by now, and was not before, is left to be noted.
pub fn save(tx: &mut Tx, call_id: i64, call: &Call, noted: &mut Noted) -> Result<(), Error> {
    let before = read(tx, call_id)?;
    // An index is written only for what has changed.
    let sql = "UPDATE call SET (direction, external, did, started_ms, started_local, \
            ambiguous_hour, outcome, ring_path, sorted_ms, local_ms, longest_s, shortest_s) = \
            (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, coalesce(?5, 0), ?10, ?11, ?12) \
        WHERE id = ?1 AND (direction, external, did, started_ms, started_local, \
            ambiguous_hour, outcome, ring_path, longest_s, shortest_s) \
            IS NOT (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?11, ?12)";
    let started = call.started.as_ref();
    let lengths = call.legs.iter().filter_map(|leg| leg.duration_s);
    let row = params![
        call_id,
        call.direction.map(Direction::as_str),
        call.external,
        call.did,
        started.map(|started| started.utc.0),
        started.map(Started::local_text),
        started.is_some_and(|started| started.ambiguous),
        call.outcome.map(Outcome::as_str),
        serde_json::json!(call.ring_path).to_string(),
        started.map(|started| Moment::Local(started.local).as_utc().0),
        lengths.clone().max(),
        lengths.min(),
    ];
    execute(tx, "save a call", sql, row)?;
    save_legs(tx, call_id, call, &before)?;
    let mut words = words::of_call(call);
    let at = call.place().at;
    if at == before.place().at {
        let known = words::of_call(&before);
        words.retain(|word| !known.contains(word));
    }
    noted.extend(at, words);
    recordings::follow(tx, call_id, &call.id)
}

/// A call as it is saved, without its recordings.
fn read(db: &Db, call_id: i64) -> Result<Call, Error> {
    let sql = "SELECT c.pbx, c.call, c.direction, c.external, c.did, c.started_ms, \
        c.started_local, c.ambiguous_hour, c.outcome, c.ring_path, c.id FROM call c WHERE c.id = ?1";
    let read = first(db, "read a saved call", sql, [call_id], loaded)?;
    let (_, mut call) = read.ok_or_else(|| Error::Damaged {
        what: "read a saved call",
        found: "no such call".to_owned(),
    })?;
    let legs = legs(db, &[call_id])?;
    call.legs = legs.into_iter().map(|(_, leg)| leg).collect();
    Ok(call)
}

fn save_legs(tx: &mut Tx, call_id: i64, call: &Call, before: &Call) -> Result<(), Error> {
    let bare = |leg: &Leg| Leg {
        recordings: Vec::new(),
        ..leg.clone()
    };
    if call.legs.iter().map(bare).eq(before.legs.iter().cloned()) {
        return Ok(());
    }
    let sql = "DELETE FROM leg WHERE call_id = ?1";
    execute(tx, "replace a call's legs", sql, [call_id])?;
    call.legs
        .iter()
        .try_for_each(|leg| save_leg(tx, call_id, call, leg))
}

fn save_leg(tx: &mut Tx, call_id: i64, call: &Call, leg: &Leg) -> Result<(), Error> {
    let sql = "INSERT INTO leg (call_id, leg, name, extension, answered_ms, ended_ms, duration_s, \
        transfer, transferred_to, finish, end_is_certain) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let name = LegId {
        call: call.id.call.clone(),
        leg: leg.leg,
    };
    let row = params![
        call_id,
        leg.leg,
        name.to_string(),
        leg.extension,
        leg.answered.map(|at| at.0),
        leg.ended.map(|at| at.0),
        leg.duration_s,
        leg.transfer.map(Transfer::as_str),
        leg.transferred_to,
        leg.finish.map(Finish::as_str),
        leg.end_is_certain,
    ];
    execute(tx, "save a leg", sql, row)?;
    Ok(())
}

/// One row a reading, whatever it is.
pub fn save_reading(
    tx: &mut Tx,
    seq: EventSeq,
    item: u32,
    reading: &Reading,
    duplicate_of: Option<EventSeq>,
) -> Result<(), Error> {
    let sql = "INSERT INTO reading (seq, item, kind, call, leg, repaired, duplicate_of) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let event = reading.event();
    // An announcement of several legs is listed under the call that they share.
    let leg = event.and_then(|event| event.leg.as_ref());
    let call = leg.map(|leg| &leg.call).or_else(|| {
        let mut calls = event?.files.iter().filter_map(|file| file.of.as_ref());
        let call = &calls.next()?.leg.call;
        calls.all(|other| other.leg.call == *call).then_some(call)
    });
    let row = params![
        seq.0,
        item,
        event.map_or(events::UNPARSED, |event| event.kind.as_str()),
        call.map(|call| call.as_str()),
        leg.map(|leg| leg.leg),
        matches!(reading, Reading::Repaired(_)),
        duplicate_of.map(|seq| seq.0),
    ];
    execute(tx, "save what a delivery says", sql, row)?;
    Ok(())
}

/// A call with its row, unless nothing but events of unknown kinds named it.
pub fn load(db: &Db, id: &CallId) -> Result<Option<(i64, Call)>, Error> {
    let sql = "SELECT id FROM call WHERE pbx = ?1 AND call = ?2 AND known = 1";
    let key = params![id.pbx.as_str(), id.call.as_str()];
    let Some(row) = first(db, "find a known call", sql, key, |row| row.get(0))? else {
        return Ok(None);
    };
    let call = load_all(db, &[row])?.pop();
    Ok(call.map(|call| (row, call)))
}

/// Calls by their rows, in that order: three statements, however many they are.
pub fn load_all(db: &Db, rows: &[i64]) -> Result<Vec<Call>, Error> {
    let sql = "SELECT c.pbx, c.call, c.direction, c.external, c.did, c.started_ms, c.started_local, \
            c.ambiguous_hour, c.outcome, c.ring_path, c.id \
        FROM json_each(?1) asked CROSS JOIN call c ON c.id = asked.value ORDER BY asked.key";
    let asked = serde_json::json!(rows).to_string();
    let mut calls = all(db, "read calls", sql, [&asked], loaded)?;
    let places: HashMap<i64, usize> = calls.iter().map(|(row, _)| *row).zip(0..).collect();
    for (row, leg) in legs(db, rows)? {
        calls[places[&row]].1.legs.push(leg);
    }
    let sql = "SELECT c.id, r.leg, r.recording FROM json_each(?1) asked \
        CROSS JOIN call c ON c.id = asked.value \
        CROSS JOIN recording r ON r.call = c.call AND r.pbx = c.pbx ORDER BY asked.key, 3";
    let named = all(db, "read calls' recordings", sql, [&asked], |row| {
        let recording = parsed::<RecordingName>(row.get(2)?)?;
        Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, recording))
    })?;
    for (row, number, recording) in named {
        let legs = &mut calls[places[&row]].1.legs;
        let leg = legs.iter_mut().find(|leg| leg.leg == number);
        leg.into_iter()
            .for_each(|leg| leg.recordings.push(recording.clone()));
    }
    Ok(calls.into_iter().map(|(_, call)| call).collect())
}

fn loaded(row: &Row) -> rusqlite::Result<(i64, Call)> {
    let started: Option<(i64, String)> = row.get::<_, Option<i64>>(5)?.zip(row.get(6)?);
    let started = match started {
        Some((utc, local)) => Some(Started {
            utc: UtcMs(utc),
            local: parsed(local[..19.min(local.len())].to_owned())?,
            ambiguous: row.get(7)?,
        }),
        None => None,
    };
    let call = Call {
        id: CallId {
            pbx: parsed(row.get(0)?)?,
            call: parsed(row.get(1)?)?,
        },
        direction: word(row.get(2)?, Direction::from_word),
        external: row.get(3)?,
        did: row.get(4)?,
        started,
        outcome: word(row.get(8)?, Outcome::from_word),
        legs: Vec::new(),
        ring_path: serde_json::from_str(&row.get::<_, String>(9)?).unwrap_or_default(),
    };
    Ok((row.get(10)?, call))
}

/// Legs of calls, each with its call's row, without their recordings.
fn legs(db: &Db, calls: &[i64]) -> Result<Vec<(i64, Leg)>, Error> {
    let sql = "SELECT l.leg, l.extension, l.answered_ms, l.ended_ms, l.duration_s, l.transfer, \
            l.transferred_to, l.finish, l.end_is_certain, l.call_id \
        FROM json_each(?1) asked CROSS JOIN leg l ON l.call_id = asked.value \
        ORDER BY asked.key, l.leg";
    let calls = serde_json::json!(calls).to_string();
    all(db, "read calls' legs", sql, [calls], |row| {
        let leg = Leg {
            leg: row.get(0)?,
            extension: row.get(1)?,
            answered: row.get::<_, Option<i64>>(2)?.map(UtcMs),
            ended: row.get::<_, Option<i64>>(3)?.map(UtcMs),
            duration_s: row.get(4)?,
            transfer: word(row.get(5)?, Transfer::from_word),
            transferred_to: row.get(6)?,
            finish: word(row.get(7)?, Finish::from_word),
            end_is_certain: row.get(8)?,
            recordings: Vec::new(),
        };
        Ok((row.get(9)?, leg))
    })
}
