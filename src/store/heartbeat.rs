//! When the service ran, and the gaps in which it did not: nobody shall take silence for
//! completeness.

use rusqlite::params;

use super::{Db, Error, Tx, execute, first};
use crate::model::time::UtcMs;

/// The last moment at which the service is known to have run.
pub fn last(db: &Db) -> Result<Option<UtcMs>, Error> {
    let sql = "SELECT beat_ms FROM heartbeat";
    let beat = first(db, "read the last heartbeat", sql, [], |row| row.get(0))?;
    Ok(beat.map(UtcMs))
}

/// The service runs. A silence before it longer than `silence_max_ms` was a gap.
pub fn beat(tx: &mut Tx, now: UtcMs, silence_max_ms: i64) -> Result<(), Error> {
    if let Some(before) = last(tx)?
        && now.0 - before.0 > silence_max_ms
    {
        let sql = "INSERT INTO gap (from_ms, to_ms) VALUES (?1, ?2)";
        execute(tx, "note a gap", sql, params![before.0, now.0])?;
    }
    let sql = "INSERT INTO heartbeat (only, beat_ms) VALUES (1, ?1) \
        ON CONFLICT DO UPDATE SET beat_ms = excluded.beat_ms";
    execute(tx, "note a heartbeat", sql, [now.0])?;
    Ok(())
}
