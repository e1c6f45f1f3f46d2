//! The backlog as people see it, and putting it to work again by hand.

use rusqlite::{Row, params};
use schemars::JsonSchema;
use serde::Serialize;

use super::custody::{self, Entry};
use super::heartbeat::SKIPPED;
use super::{Db, Error, Tx, all, away, execute, first, parsed};
use crate::model::access::Scope;
use crate::model::filter::Place;
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

/// Where a job stands in the list: what failed first, then by the next try.
#[derive(Debug, Clone)]
pub struct Turn {
    state: String,
    /// Its next try, or its announcement where there is none.
    place: Place,
}

impl Turn {
    /// Opaque to those who page.
    pub fn cursor(&self) -> String {
        format!("{}.{}", self.state, self.place.cursor())
    }

    pub fn from_cursor(cursor: &str) -> Option<Turn> {
        let (state, place) = cursor.split_once('.')?;
        Some(Turn {
            state: state.to_owned(),
            place: Place::from_cursor(place)?,
        })
    }
}

impl JobRow {
    pub fn turn(&self) -> Turn {
        let at = self.next_at.as_ref().unwrap_or(&self.announced_at);
        Turn {
            state: self.state.clone(),
            place: Place {
                at: at.parse().unwrap_or_default(),
                id: self.recording.to_string(),
            },
        }
    }
}

/// Of what is pending or failed, all that somebody may see.
const OPEN: &str = "recording r INDEXED BY recording_open WHERE r.state <> 'archived' \
    AND (?1 IS NULL OR r.pbx = ?1) \
    AND (?2 = '[]' OR r.extension IN (SELECT value FROM json_each(?2)))";

fn seen(scope: &Scope) -> (Option<&str>, String) {
    let extensions = serde_json::json!(scope.extensions).to_string();
    (scope.pbx.as_ref().map(PbxName::as_str), extensions)
}

/// What is pending or failed, as far as somebody may see it, in the order of their turns: all, or a
/// page behind one.
pub fn list(
    db: &Db,
    scope: &Scope,
    behind: Option<&Turn>,
    limit: Option<u32>,
) -> Result<Vec<JobRow>, Error> {
    let (code, error) = (away::of_untried("code"), away::of_untried("error"));
    let sql = format!(
        "SELECT v.recording, v.state, coalesce(v.code, {code}), coalesce(v.last_error, {error}), \
            v.attempts, v.announced_at, v.next_at \
        FROM (SELECT r.id AS row, r.state AS state, coalesce(r.due_ms, r.announced_ms) AS at, \
                r.pbx || '/' || r.recording AS name FROM {OPEN} \
            AND (?3 IS NULL OR (state, at, name) > (?3, ?4, ?5)) \
            ORDER BY state, at, name LIMIT ?6) t \
        CROSS JOIN recordings_by_row v ON v.row = t.row ORDER BY t.state, t.at, t.name"
    );
    let (pbx, extensions) = seen(scope);
    let place = behind.map(|turn| (turn.place.at.0, turn.place.id.as_str()));
    let (at, id) = place.unzip();
    let state = behind.map(|turn| turn.state.as_str());
    let key = params![pbx, extensions, state, at, id, limit.map_or(-1, i64::from)];
    all(db, "list the backlog", &sql, key, job)
}

/// How many there are of them.
pub fn count(db: &Db, scope: &Scope) -> Result<u64, Error> {
    let sql = format!("SELECT count(*) FROM {OPEN}");
    let (pbx, extensions) = seen(scope);
    let count = first(
        db,
        "count the backlog",
        &sql,
        params![pbx, extensions],
        |row| row.get::<_, i64>(0),
    )?;
    Ok(count.unwrap_or(0) as u64)
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
    let found = first(tx, "look for a recording", sql, key, |row| {
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
    let sql = format!(
        "UPDATE recording SET state = 'pending', due_ms = ?3, window_ms = ?3, \
            skipped_ms = {SKIPPED}, ripe = 0, take_kept = 0 \
        WHERE pbx = ?1 AND recording = ?2 AND lease_ms IS NULL AND state IN ('pending', 'failed')"
    );
    let row = params![id.pbx.as_str(), id.recording.as_str(), now.0];
    execute(tx, "make a recording due", &sql, row)?;
    away::wish(tx, &id.pbx)?;
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
