//! Deliveries that were turned away, counted by reason and peer: a PBX whose address or secret
//! changed is a silent loss otherwise.

use rusqlite::params;

use super::{Error, Tx, execute};
use crate::model::time::UtcMs;

pub fn add(tx: &mut Tx, reason: &str, peer: &str, count: u64, now: UtcMs) -> Result<(), Error> {
    let sql = "INSERT INTO refusal (reason, peer, count, first_ms, last_ms) \
        VALUES (?1, ?2, ?3, ?4, ?4) \
        ON CONFLICT DO UPDATE SET count = count + excluded.count, last_ms = excluded.last_ms";
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    execute(
        tx,
        "count refused deliveries",
        sql,
        params![reason, peer, count, now.0],
    )?;
    Ok(())
}
