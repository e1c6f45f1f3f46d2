//! Whether what lies in the store was last seen to be what was archived.
//!
//! Never here: reading it, or what counts as damage.

use rusqlite::params;

use super::custody::{self, Entry};
use super::{Db, Error, Tx, all, execute};
use crate::model::id::RecordingId;
use crate::model::time::UtcMs;

/// An object was read to its end, by the actor of `seen`: it was what was archived, or it was not,
/// and how.
pub fn note(tx: &mut Tx, id: &RecordingId, damage: Option<&str>, seen: Entry) -> Result<(), Error> {
    let sql = "UPDATE recording SET integrity = ?3, integrity_ms = ?4 \
        WHERE pbx = ?1 AND recording = ?2 AND state = 'archived'";
    let integrity = damage.map_or("verified", |_| "mismatch");
    let row = params![id.pbx.as_str(), id.recording.as_str(), integrity, seen.at.0];
    execute(tx, "note what an object was seen to be", sql, row)?;
    let act = damage.map_or("read back", |_| "mismatch");
    let detail = damage.unwrap_or("read back and hashed, the original rebuilt");
    custody::append(tx, &Entry { act, ..seen }.detail(detail))
}

/// Since when, of those that were not what was archived when they were last read.
pub fn mismatches(db: &Db) -> Result<Vec<(String, UtcMs)>, Error> {
    let sql = "SELECT pbx || '/' || recording, integrity_ms FROM recording \
        WHERE integrity = 'mismatch' ORDER BY integrity_ms DESC LIMIT 100";
    all(db, "list what is damaged", sql, [], |row| {
        Ok((row.get(0)?, UtcMs(row.get(1)?)))
    })
}
