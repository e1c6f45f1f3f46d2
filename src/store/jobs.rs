//! The backlog as people see it, and putting it to work again by hand.

use rusqlite::{Row, params};
use schemars::JsonSchema;
use serde::Serialize;

use super::custody::{self, Entry};
use super::{Db, Error, Tx, all, execute, parsed};
use crate::model::access::Scope;
use crate::model::id::{PbxName, RecordingId};
use crate::model::time::UtcMs;

/// A recording that is not archived: what holds it up, and when it is tried next.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct JobRow {
    #[schemars(with = "String")]
    pub recording: RecordingId,
    pub state: String,
    pub code: Option<String>,
    pub reason: Option<String>,
    pub attempts: u32,
    pub announced_at: String,
    pub next_at: Option<String>,
}

/// What is pending or failed, as far as somebody may see it: what failed first, then by the next
/// try.
pub fn list(db: &Db, scope: &Scope) -> Result<Vec<JobRow>, Error> {
    let sql = "SELECT recording, state, code, last_error, attempts, announced_at, next_at \
        FROM recordings WHERE state <> 'archived' AND (?1 IS NULL OR pbx = ?1) \
        AND (?2 = '[]' OR extension IN (SELECT value FROM json_each(?2))) \
        ORDER BY state, next_at, announced_at, recording";
    let extensions = serde_json::json!(scope.extensions).to_string();
    let key = params![scope.pbx.as_ref().map(PbxName::as_str), extensions];
    all(db, "list the backlog", sql, key, job)
}

fn job(row: &Row) -> rusqlite::Result<JobRow> {
    Ok(JobRow {
        recording: parsed(row.get(0)?)?,
        state: row.get(1)?,
        code: row.get(2)?,
        reason: row.get(3)?,
        attempts: row.get(4)?,
        announced_at: row.get(5)?,
        next_at: row.get(6)?,
    })
}

/// What came of asking for another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    Due,
    /// Somebody works on it right now.
    Running,
    Archived,
    /// Its URL is never requested, so no try can help.
    NeverFetched,
    Unknown,
}

/// Makes a recording due at once, and opens a new window in which it is not given up.
pub fn retry(
    tx: &mut Tx,
    id: &RecordingId,
    (actor, address): (&str, Option<&str>),
    now: UtcMs,
) -> Result<Retried, Error> {
    let sql = "SELECT state, lease_ms IS NOT NULL, fetch_path IS NULL FROM recording \
        WHERE pbx = ?1 AND recording = ?2";
    let key = params![id.pbx.as_str(), id.recording.as_str()];
    let found = super::first(tx, "look for a recording", sql, key, |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, bool>(1)?,
            row.get::<_, bool>(2)?,
        ))
    })?;
    let Some((state, running, never_fetched)) = found else {
        return Ok(Retried::Unknown);
    };
    match (state.as_str(), running, never_fetched) {
        ("archived", ..) => return Ok(Retried::Archived),
        (_, true, _) => return Ok(Retried::Running),
        (_, _, true) => return Ok(Retried::NeverFetched),
        _ => {}
    }
    let sql = "UPDATE recording SET state = 'pending', due_ms = ?3, window_ms = ?3, ripe = 0, \
        take_kept = 0 WHERE pbx = ?1 AND recording = ?2 AND lease_ms IS NULL \
        AND state IN ('pending', 'failed')";
    let row = params![id.pbx.as_str(), id.recording.as_str(), now.0];
    execute(tx, "make a recording due", sql, row)?;
    let entry = Entry {
        actor: actor.to_owned(),
        address: address.map(str::to_owned),
        ..Entry::of_service(now, "retried", id)
    };
    custody::append(tx, &entry)?;
    Ok(Retried::Due)
}

pub fn all_failed(db: &Db) -> Result<Vec<RecordingId>, Error> {
    let sql = "SELECT pbx || '/' || recording FROM recording \
        WHERE state = 'failed' AND fetch_path IS NOT NULL ORDER BY announced_ms";
    all(db, "list what has failed", sql, [], |row| {
        parsed(row.get(0)?)
    })
}
