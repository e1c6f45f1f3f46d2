//! Calls, legs and readings: what was derived from the event log.

use rusqlite::{Row, params};

use super::{Db, Error, Tx, all, execute, first, parsed, word};
use crate::model::call::{Call, Leg, Outcome};
use crate::model::damaged::{Candidate, Damaged};
use crate::model::event::{Direction, Event, Finish, Reading, Transfer};
use crate::model::id::{CallId, EventSeq, LegId, PbxName, RecordingName};
use crate::model::time::{Started, UtcMs};

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

/// Notes that a delivery says something about a call; `known` unless it is of an unknown kind.
pub fn touch(tx: &mut Tx, call_id: i64, seq: EventSeq, known: bool) -> Result<(), Error> {
    let sql = "INSERT OR IGNORE INTO call_delivery (call_id, seq) VALUES (?1, ?2)";
    execute(tx, "note an event of a call", sql, params![call_id, seq.0])?;
    if known {
        let sql = "UPDATE call SET known = 1 WHERE id = ?1 AND known = 0";
        execute(tx, "note that a call is known", sql, [call_id])?;
    }
    Ok(())
}

/// Writes what the fold found, in place of what it found before.
pub fn save(tx: &mut Tx, call_id: i64, call: &Call) -> Result<(), Error> {
    let sql = "UPDATE call SET direction = ?2, external = ?3, did = ?4, started_ms = ?5, \
        started_local = ?6, ambiguous_hour = ?7, outcome = ?8, ring_path = ?9 WHERE id = ?1";
    let started = call.started.as_ref();
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
    ];
    execute(tx, "save a call", sql, row)?;
    execute(
        tx,
        "replace a call's legs",
        "DELETE FROM leg WHERE call_id = ?1",
        [call_id],
    )?;
    for leg in &call.legs {
        save_leg(tx, call_id, call, leg)?;
    }
    Ok(())
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
        event.map_or("unparsed", |event| event.kind.as_str()),
        call.map(|call| call.as_str()),
        leg.map(|leg| leg.leg),
        matches!(reading, Reading::Repaired(_)),
        duplicate_of.map(|seq| seq.0),
    ];
    execute(tx, "save what a delivery says", sql, row)?;
    Ok(())
}

/// A call by its row.
pub fn load(db: &Db, id: &CallId) -> Result<Option<(i64, Call)>, Error> {
    let sql = "SELECT id, direction, external, did, started_ms, started_local, ambiguous_hour, \
        outcome, ring_path FROM call WHERE pbx = ?1 AND call = ?2 AND known = 1";
    let key = params![id.pbx.as_str(), id.call.as_str()];
    let found = first(db, "read a call", sql, key, |row| {
        let started: Option<(i64, String)> = row.get::<_, Option<i64>>(4)?.zip(row.get(5)?);
        let call = Call {
            id: id.clone(),
            direction: word(row.get(1)?, Direction::from_word),
            external: row.get(2)?,
            did: row.get(3)?,
            started: started
                .map(|(utc, local)| {
                    Ok::<_, rusqlite::Error>(Started {
                        utc: UtcMs(utc),
                        local: parsed(local[..19.min(local.len())].to_owned())?,
                        ambiguous: row.get(6)?,
                    })
                })
                .transpose()?,
            outcome: word(row.get(7)?, Outcome::from_word),
            legs: Vec::new(),
            ring_path: serde_json::from_str(&row.get::<_, String>(8)?).unwrap_or_default(),
        };
        Ok((row.get::<_, i64>(0)?, call))
    })?;
    let Some((call_id, mut call)) = found else {
        return Ok(None);
    };
    call.legs = legs(db, call_id)?;
    let recordings = "SELECT leg, recording FROM recording WHERE pbx = ?1 AND call = ?2 ORDER BY 2";
    let key = params![id.pbx.as_str(), id.call.as_str()];
    let named = all(db, "read a call's recordings", recordings, key, |row| {
        Ok((row.get::<_, u32>(0)?, parsed::<RecordingName>(row.get(1)?)?))
    })?;
    for (number, recording) in named {
        let leg = call.legs.iter_mut().find(|leg| leg.leg == number);
        leg.into_iter()
            .for_each(|leg| leg.recordings.push(recording.clone()));
    }
    Ok(Some((call_id, call)))
}

fn legs(db: &Db, call_id: i64) -> Result<Vec<Leg>, Error> {
    let sql = "SELECT leg, extension, answered_ms, ended_ms, duration_s, transfer, \
        transferred_to, finish, end_is_certain FROM leg WHERE call_id = ?1 ORDER BY leg";
    all(db, "read a call's legs", sql, [call_id], |row| {
        Ok(Leg {
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
        })
    })
}

/// An end event that waits for its leg, and the leg it has, if any.
pub struct Waiting {
    pub seq: EventSeq,
    pub item: u32,
    pub damaged: Damaged,
    pub owner: Option<LegId>,
}

pub fn save_damaged(
    tx: &mut Tx,
    seq: EventSeq,
    item: u32,
    pbx: &PbxName,
    event: &Event,
    id_rest: &str,
) -> Result<(), Error> {
    let sql = "INSERT INTO damaged (seq, item, pbx, id_rest, user, external) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let row = params![
        seq.0,
        item,
        pbx.as_str(),
        id_rest,
        event.user,
        event.external
    ];
    execute(tx, "keep a damaged id", sql, row)?;
    Ok(())
}

pub fn damaged_of(db: &Db, pbx: &PbxName) -> Result<Vec<Waiting>, Error> {
    let sql = "SELECT seq, item, id_rest, user, external, call, leg FROM damaged WHERE pbx = ?1";
    all(db, "read damaged ids", sql, [pbx.as_str()], |row| {
        let call: Option<String> = row.get(5)?;
        let owner = match call {
            Some(call) => Some(LegId {
                call: parsed(call)?,
                leg: row.get(6)?,
            }),
            None => None,
        };
        Ok(Waiting {
            seq: EventSeq(row.get(0)?),
            item: row.get(1)?,
            damaged: Damaged {
                id_rest: row.get(2)?,
                user: row.get(3)?,
                external: row.get(4)?,
            },
            owner,
        })
    })
}

pub fn set_owner(
    tx: &mut Tx,
    seq: EventSeq,
    item: u32,
    owner: Option<&LegId>,
) -> Result<(), Error> {
    let sql = "UPDATE damaged SET call = ?3, leg = ?4 WHERE seq = ?1 AND item = ?2";
    let (call, leg) = (owner.map(|leg| leg.call.as_str()), owner.map(|leg| leg.leg));
    execute(
        tx,
        "settle a damaged id",
        sql,
        params![seq.0, item, call, leg],
    )?;
    Ok(())
}

/// Legs whose id ends in the text. Six characters (`_31-1` and a digit) go by the index; with fewer
/// the rest of a damaged id shows no more than its counter, and every leg is looked at.
pub fn candidates(db: &Db, pbx: &PbxName, id_rest: &str) -> Result<Vec<Candidate>, Error> {
    let select = "SELECT c.call, l.leg, l.extension, c.external, l.end_is_certain \
        FROM leg l JOIN call c ON c.id = l.call_id \
        WHERE substr(l.name, -length(?2)) = ?2 AND c.pbx = ?1";
    let sql = match id_rest.len() {
        0..6 => select.to_owned(),
        _ => format!("{select} AND substr(l.name, -6) = substr(?2, -6)"),
    };
    let key = params![pbx.as_str(), id_rest];
    all(db, "look for the leg of a damaged id", &sql, key, candidate)
}

fn candidate(row: &Row) -> rusqlite::Result<Candidate> {
    Ok(Candidate {
        leg: LegId {
            call: parsed(row.get(0)?)?,
            leg: row.get(1)?,
        },
        extension: row.get(2)?,
        external: row.get(3)?,
        end_is_certain: row.get(4)?,
    })
}
