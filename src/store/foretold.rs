//! Legs that should have a recording and have none yet: when to look for it, and how often it was
//! looked for.

use std::time::Duration;

use rusqlite::params;

use super::heartbeat::{self, SKIPPED};
use super::{Db, Error, Tx, all, execute, parsed};
use crate::model::call::Call;
use crate::model::id::{CallId, LegId, PbxName};
use crate::model::job::PAUSE_MAX;
use crate::model::time::UtcMs;

/// After the end event, and then after each try that found nothing: three tries within a day.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(10 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(20 * 60 * 60),
];

/// A leg whose recording is to be looked for now.
#[derive(Debug, Clone)]
pub struct Due {
    pub call_id: i64,
    pub call: CallId,
    pub leg: u32,
    /// None where only a later leg tells of this one.
    pub extension: Option<String>,
    pub tries: u32,
    /// From here on its PBX keeps the file for so long.
    pub window: UtcMs,
}

impl Due {
    pub fn leg_id(&self) -> LegId {
        LegId {
            call: self.call.call.clone(),
            leg: self.leg,
        }
    }
}

/// Expects a recording of every leg of a call that has ended: those that were answered, and those
/// that a later one implies. What has its recording is expected no longer.
pub fn expect(tx: &mut Tx, call_id: i64, call: &Call) -> Result<(), Error> {
    let Some(ended) = call.legs.iter().filter_map(|leg| leg.ended).max() else {
        return Ok(());
    };
    let last = call.legs.iter().map(|leg| leg.leg).max().unwrap_or(0);
    for number in 1..=last.min(LEGS_MAX) {
        let recorded = call
            .leg(number)
            .is_some_and(|leg| !leg.recordings.is_empty());
        if recorded {
            let sql = "DELETE FROM foretold WHERE call_id = ?1 AND leg = ?2";
            execute(
                tx,
                "expect a recording no longer",
                sql,
                params![call_id, number],
            )?;
        } else {
            // A later end event puts it off, unless it was looked for already.
            let sql = format!(
                "INSERT INTO foretold (call_id, leg, due_ms, tries, window_ms, skipped_ms) \
                VALUES (?1, ?2, ?3, 0, ?4, {SKIPPED}) ON CONFLICT DO UPDATE \
                SET due_ms = max(due_ms, excluded.due_ms) WHERE tries = 0"
            );
            let row = params![call_id, number, ended.plus(PAUSES[0]).0, ended.0];
            execute(tx, "expect a recording", &sql, row)?;
        }
    }
    Ok(())
}

/// A call of more legs than this is no call of people; an id may claim any number.
const LEGS_MAX: u32 = 100;

pub fn due(db: &Db, pbx: &PbxName, now: UtcMs, most: u32) -> Result<Vec<Due>, Error> {
    let sql = format!(
        "SELECT f.call_id, c.pbx, c.call, f.leg, l.extension, f.tries, {} \
        FROM foretold f JOIN call c ON c.id = f.call_id \
        LEFT JOIN leg l ON l.call_id = f.call_id AND l.leg = f.leg \
        WHERE f.due_ms <= ?1 AND c.pbx = ?3 ORDER BY f.due_ms LIMIT ?2",
        heartbeat::window(),
    );
    all(
        db,
        "see which recordings are overdue",
        &sql,
        params![now.0, most, pbx.as_str()],
        |row| {
            let pbx: PbxName = parsed(row.get(1)?)?;
            Ok(Due {
                call_id: row.get(0)?,
                call: CallId {
                    pbx,
                    call: parsed(row.get(2)?)?,
                },
                leg: row.get(3)?,
                extension: row.get(4)?,
                tries: row.get(5)?,
                window: UtcMs(row.get(6)?),
            })
        },
    )
}

/// A leg whose recording was never announced: when it is looked for next, and how often it was.
#[derive(Debug, Clone, Copy)]
pub struct Awaited {
    pub leg: u32,
    pub due: Option<UtcMs>,
    pub tries: u32,
}

pub fn of_call(db: &Db, id: &CallId) -> Result<Vec<Awaited>, Error> {
    let sql = "SELECT f.leg, f.due_ms, f.tries FROM foretold f JOIN call c ON c.id = f.call_id \
        WHERE c.pbx = ?1 AND c.call = ?2 ORDER BY f.leg";
    let key = params![id.pbx.as_str(), id.call.as_str()];
    all(db, "see what a call lacks", sql, key, |row| {
        Ok(Awaited {
            leg: row.get(0)?,
            due: row.get::<_, Option<i64>>(1)?.map(UtcMs),
            tries: row.get(2)?,
        })
    })
}

/// Nothing was there: looked for again later, or never again.
pub fn missed(tx: &mut Tx, due: &Due, now: UtcMs) -> Result<(), Error> {
    let tries = due.tries + 1;
    let next = PAUSES.get(tries as usize).map(|pause| now.plus(*pause).0);
    let sql = "UPDATE foretold SET tries = ?3, due_ms = ?4 WHERE call_id = ?1 AND leg = ?2";
    execute(
        tx,
        "note that a recording is not there",
        sql,
        params![due.call_id, due.leg, tries, next],
    )?;
    Ok(())
}

/// The PBX did not answer, or let nobody in: that was no try. The longer that goes on, the less
/// often it is asked.
pub fn put_off(tx: &mut Tx, due: &Due, now: UtcMs) -> Result<(), Error> {
    let sql = "UPDATE foretold SET due_ms = ?3 WHERE call_id = ?1 AND leg = ?2";
    let waited_ms = u64::try_from(now.0.saturating_sub(due.window.0)).unwrap_or(0);
    let pause = Duration::from_millis(waited_ms) / 10;
    let next = now.plus(pause.clamp(PAUSES[0], PAUSE_MAX)).0;
    execute(
        tx,
        "put off looking for a recording",
        sql,
        params![due.call_id, due.leg, next],
    )?;
    Ok(())
}

/// It was found, is not looked for by policy, or its PBX has deleted it by now: never again.
pub fn settled(tx: &mut Tx, due: &Due) -> Result<(), Error> {
    let sql = "UPDATE foretold SET due_ms = NULL, tries = max(tries, 1) \
        WHERE call_id = ?1 AND leg = ?2";
    execute(
        tx,
        "look for a recording no longer",
        sql,
        params![due.call_id, due.leg],
    )?;
    Ok(())
}
