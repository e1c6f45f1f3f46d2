//! The read side: what searches and looks into single things select, from the views.
//!
//! A search finds rows along an index (`listing`), and then reads those that it shows.

mod filtered;
mod listing;
#[cfg(test)]
mod tests;

use rusqlite::{Row, params};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Db, Error, all, first, parsed};
use crate::model::call::Call;
use crate::model::filter::{Filter, Place};
use crate::model::id::{CallName, LegId, PbxName, RecordingId};

/// A recording as every output shows it. Durations in seconds; unknown is null.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RecordingRow {
    #[schemars(with = "String")]
    pub recording: RecordingId,
    #[schemars(with = "String")]
    pub pbx: PbxName,
    pub call: Option<String>,
    pub leg: Option<u32>,
    pub part: Option<u32>,
    pub state: String,
    pub direction: Option<String>,
    pub external: Option<String>,
    pub extension: Option<String>,
    pub did: Option<String>,
    pub started_at: Option<String>,
    pub started_at_local: Option<String>,
    pub duration_s: Option<u32>,
    pub media_duration_s: Option<f64>,
    pub transfer: Option<String>,
    pub transferred_to: Option<String>,
    pub finish: Option<String>,
    pub flags: Vec<String>,
    pub object_key: Option<String>,
    pub bytes: Option<u64>,
    pub original_sha256: Option<String>,
    pub object_sha256: Option<String>,
    pub archived_at: Option<String>,
    pub announced_at: String,
    pub attempts: u32,
    pub code: Option<String>,
    pub last_error: Option<String>,
    pub next_at: Option<String>,
    pub source_url: String,
    /// The lock that the stored object has.
    pub lock_mode: Option<String>,
    pub lock_until: Option<String>,
    /// `verified` or `mismatch`: what the object was when it was last proved.
    pub integrity: Option<String>,
    pub integrity_at: Option<String>,
    pub manifest_sha256: Option<String>,
}

const RECORDING_COLUMNS: &str = "v.recording, v.pbx, v.call, v.leg, v.part, v.state, \
    v.direction, v.external, v.extension, v.did, v.started_at, v.started_at_local, v.duration_s, \
    v.media_duration_s, v.transfer, v.transferred_to, v.finish, v.flags, v.object_key, v.bytes, \
    v.original_sha256, v.object_sha256, v.archived_at, v.announced_at, v.attempts, v.code, \
    v.last_error, v.next_at, v.source_url, v.lock_mode, v.lock_until, \
    v.integrity, v.integrity_at, v.manifest_sha256";

fn recording(row: &Row) -> rusqlite::Result<RecordingRow> {
    let digest = |text: Option<String>| text.filter(|hex| !hex.is_empty());
    Ok(RecordingRow {
        recording: parsed(row.get(0)?)?,
        pbx: parsed(row.get(1)?)?,
        call: row.get(2)?,
        leg: row.get(3)?,
        part: row.get(4)?,
        state: row.get(5)?,
        direction: row.get(6)?,
        external: row.get(7)?,
        extension: row.get(8)?,
        did: row.get(9)?,
        started_at: row.get(10)?,
        started_at_local: row.get(11)?,
        duration_s: row.get(12)?,
        media_duration_s: row.get(13)?,
        transfer: row.get(14)?,
        transferred_to: row.get(15)?,
        finish: row.get(16)?,
        flags: serde_json::from_str(&row.get::<_, String>(17)?).unwrap_or_default(),
        object_key: row.get(18)?,
        bytes: row.get::<_, Option<i64>>(19)?.map(|bytes| bytes as u64),
        original_sha256: digest(row.get(20)?),
        object_sha256: digest(row.get(21)?),
        archived_at: row.get(22)?,
        announced_at: row.get(23)?,
        attempts: row.get(24)?,
        code: row.get(25)?,
        last_error: row.get(26)?,
        next_at: row.get(27)?,
        source_url: row.get(28)?,
        lock_mode: row.get(29)?,
        lock_until: row.get(30)?,
        integrity: row.get(31)?,
        integrity_at: row.get(32)?,
        manifest_sha256: digest(row.get(33)?),
    })
}

impl RecordingRow {
    /// `compliance until 2033-03-07T14:23:18Z`
    pub fn lock_text(&self) -> Option<String> {
        let (mode, until) = self.lock_mode.as_ref().zip(self.lock_until.as_ref())?;
        Some(format!("{mode} until {until}"))
    }

    /// Where it stands in a listing, newest first.
    pub fn place(&self) -> Place {
        let at = self.started_at.as_ref().unwrap_or(&self.announced_at);
        Place {
            at: at.parse().unwrap_or_default(),
            id: self.recording.to_string(),
        }
    }
}

/// Rows that are read in one statement.
const PIECE: usize = 1_000;

/// Recordings newest first: by the call's start, or the announcement where no call is known.
pub fn recordings(db: &Db, filter: &Filter) -> Result<Vec<RecordingRow>, Error> {
    let Some(listing) = filtered::recordings(db, filter)? else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT {RECORDING_COLUMNS} FROM json_each(?1) found \
         CROSS JOIN recordings_by_row v ON v.row = found.value ORDER BY found.key"
    );
    let mut found = Vec::new();
    for piece in listing.rows(db)?.chunks(PIECE) {
        let rows = serde_json::json!(piece).to_string();
        found.extend(all(db, "read what was found", &sql, [rows], recording)?);
    }
    Ok(found)
}

/// Calls newest first, missed ones too, as far as the filter's scope lets them be seen.
pub fn calls(db: &Db, filter: &Filter) -> Result<Vec<Call>, Error> {
    let Some(listing) = filtered::calls(db, filter)? else {
        return Ok(Vec::new());
    };
    let mut calls = Vec::new();
    for piece in listing.rows(db)?.chunks(PIECE) {
        calls.extend(super::calls::load_all(db, piece)?);
    }
    let narrowed = calls.into_iter().map(|call| call.narrowed(&filter.scope));
    Ok(narrowed.collect())
}

/// How long a recording's leg lasted, where the leg has this one recording only.
pub fn duration_to_expect(db: &Db, id: &RecordingId) -> Result<Option<u32>, Error> {
    let sql = "SELECT l.duration_s FROM recording r \
        JOIN call c ON c.pbx = r.pbx AND c.call = r.call \
        JOIN leg l ON l.call_id = c.id AND l.leg = r.leg \
        WHERE r.pbx = ?1 AND r.recording = ?2 AND NOT EXISTS (SELECT 1 FROM recording other \
            WHERE other.pbx = r.pbx AND other.call = r.call AND other.leg = r.leg \
              AND other.id <> r.id)";
    let key = params![id.pbx.as_str(), id.recording.as_str()];
    Ok(first(db, "read a leg's duration", sql, key, |row| row.get(0))?.flatten())
}

/// One recording, by its whole id.
pub fn one_recording(db: &Db, id: &RecordingId) -> Result<Option<RecordingRow>, Error> {
    let sql = format!("SELECT {RECORDING_COLUMNS} FROM recordings v WHERE v.recording = ?1");
    first(db, "read a recording", &sql, [id.to_string()], recording)
}

/// The PBXs that have a call of this id.
pub fn pbxs_of_call(db: &Db, call: &CallName) -> Result<Vec<PbxName>, Error> {
    let sql = "SELECT pbx FROM calls WHERE call = ?1 ORDER BY pbx";
    all(db, "look for a call", sql, [call.as_str()], |row| {
        parsed(row.get(0)?)
    })
}

/// Whether a call has a leg, or a recording of it. Each has leg 0: what rings before it is answered.
pub fn has_leg(db: &Db, pbx: &PbxName, leg: &LegId) -> Result<bool, Error> {
    let sql = "SELECT ?3 = 0 \
        OR EXISTS (SELECT 1 FROM call c JOIN leg l ON l.call_id = c.id \
            WHERE c.pbx = ?1 AND c.call = ?2 AND l.leg = ?3) \
        OR EXISTS (SELECT 1 FROM recording INDEXED BY recording_by_call \
            WHERE pbx = ?1 AND call = ?2 AND leg = ?3)";
    let key = params![pbx.as_str(), leg.call.as_str(), leg.leg];
    Ok(first(db, "look for a leg", sql, key, |row| row.get(0))?.unwrap_or(false))
}

/// The PBXs that have a recording of this name.
pub fn pbxs_of_recording(db: &Db, recording: &str) -> Result<Vec<PbxName>, Error> {
    let sql = "SELECT pbx FROM recording WHERE recording = ?1 ORDER BY pbx";
    all(db, "look for a recording", sql, [recording], |row| {
        parsed(row.get(0)?)
    })
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AttemptRow {
    pub attempt: u32,
    pub started_at: String,
    pub ended_at: Option<String>,
    pub stage: Option<String>,
    pub code: Option<String>,
    pub error: Option<String>,
}

pub fn attempts(db: &Db, id: &RecordingId) -> Result<Vec<AttemptRow>, Error> {
    let sql = "SELECT attempt, started_at, ended_at, stage, code, error FROM attempts \
        WHERE recording = ?1 ORDER BY attempt";
    all(db, "read attempts", sql, [id.to_string()], |row| {
        Ok(AttemptRow {
            attempt: row.get(0)?,
            started_at: row.get(1)?,
            ended_at: row.get(2)?,
            stage: row.get(3)?,
            code: row.get(4)?,
            error: row.get(5)?,
        })
    })
}
