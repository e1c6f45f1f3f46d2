//! When the service ran, and the gaps in which it did not: nobody shall take silence for
//! completeness. And time that counts for nothing, for it did not pass for the service.

use rusqlite::params;

use super::{Db, Error, Tx, execute, first};
use crate::model::time::UtcMs;

/// Longer than between two heartbeats. Within a life too it is a gap: the machine slept.
pub const SILENCE_MAX_MS: i64 = 150_000;

/// What was skipped by now, as a statement reads it.
pub(super) const SKIPPED: &str = "coalesce((SELECT skipped_ms FROM heartbeat), 0)";

/// When a window was opened, as if nothing had been skipped since.
pub(super) fn window() -> String {
    format!("window_ms + {SKIPPED} - skipped_ms")
}

/// The last moment at which the service is known to have run.
pub fn last(db: &Db) -> Result<Option<UtcMs>, Error> {
    let sql = "SELECT beat_ms FROM heartbeat";
    let beat = first(db, "read the last heartbeat", sql, [], |row| row.get(0))?;
    Ok(beat.map(UtcMs))
}

/// A life begins: what was silence until now was a gap. Returns how long it was, in milliseconds;
/// less than nothing where the clock was set back meanwhile.
pub fn resume(tx: &mut Tx, now: UtcMs) -> Result<i64, Error> {
    let silence_ms = last(tx)?.map_or(0, |before| now.0.saturating_sub(before.0));
    beat(tx, now, 0)?;
    Ok(silence_ms)
}

/// Time that did not pass for the service, because it did not run or because the clock was set,
/// counts for nothing: no recording is given up for it. It is noted once, however much is pending.
/// A clock that was set back takes what is due back with it, or nothing would be tried until it has
/// caught up.
pub fn skip(tx: &mut Tx, by_ms: i64) -> Result<(), Error> {
    let sql = "UPDATE heartbeat SET skipped_ms = skipped_ms + ?1";
    execute(tx, "note skipped time", sql, [by_ms])?;
    if by_ms >= 0 {
        return Ok(());
    }
    let back = [
        "UPDATE recording SET due_ms = due_ms + ?1 WHERE state = 'pending'",
        "UPDATE foretold SET due_ms = due_ms + ?1 WHERE due_ms IS NOT NULL",
        "UPDATE comparison SET due_ms = due_ms + ?1 WHERE due_ms IS NOT NULL",
    ];
    for sql in back {
        execute(tx, "take back what is due", sql, [by_ms])?;
    }
    Ok(())
}

/// The clock was set, which is no silence.
pub fn clock_was_set(tx: &mut Tx, by_ms: i64) -> Result<(), Error> {
    let sql = "UPDATE heartbeat SET beat_ms = beat_ms + ?1";
    execute(tx, "move the last heartbeat", sql, [by_ms])?;
    Ok(())
}

/// The service runs. A silence before it longer than `silence_max_ms` was a gap.
pub fn beat(tx: &mut Tx, now: UtcMs, silence_max_ms: i64) -> Result<(), Error> {
    if let Some(before) = last(tx)?
        && now.0.saturating_sub(before.0) > silence_max_ms
    {
        let sql = "INSERT INTO gap (from_ms, to_ms) VALUES (?1, ?2)";
        execute(tx, "note a gap", sql, params![before.0, now.0])?;
    }
    let sql = "INSERT INTO heartbeat (only, beat_ms) VALUES (1, ?1) \
        ON CONFLICT DO UPDATE SET beat_ms = excluded.beat_ms";
    execute(tx, "note a heartbeat", sql, [now.0])?;
    Ok(())
}
