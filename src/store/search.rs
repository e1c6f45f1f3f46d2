//! The read side: what searches and looks into single things select, from the public views.

use rusqlite::{Row, ToSql, params};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Db, Error, all, first, parsed};
use crate::model::access::Scope;
use crate::model::call::{Call, Outcome};
use crate::model::filter::{Filter, Place};
use crate::model::id::{CallId, CallName, PbxName, RecordingId};
use crate::model::time::Moment;

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
}

const RECORDING_COLUMNS: &str = "v.recording, v.pbx, v.call, v.leg, v.part, v.state, \
    v.direction, v.external, v.extension, v.did, v.started_at, v.started_at_local, v.duration_s, \
    v.media_duration_s, v.transfer, v.transferred_to, v.finish, v.flags, v.object_key, v.bytes, \
    v.original_sha256, v.object_sha256, v.archived_at, v.announced_at, v.attempts, v.code, \
    v.last_error, v.next_at, v.source_url, v.lock_mode, v.lock_until";

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
    })
}

/// A WHERE clause under construction: every value is bound, none is text of the statement.
#[derive(Default)]
struct Where {
    terms: Vec<String>,
    values: Vec<Box<dyn ToSql>>,
}

impl Where {
    fn add(&mut self, term: &str, value: Option<impl ToSql + 'static>) {
        if let Some(value) = value {
            self.values.push(Box::new(value));
            self.terms
                .push(term.replace('?', &format!("?{}", self.values.len())));
        }
    }

    /// A bare time is the wall clock of the PBX of each call; an exact one is UTC.
    fn moment(&mut self, compare: &str, moment: Option<Moment>, utc: &str, local: &str) {
        match moment {
            Some(Moment::Exact(at)) => {
                self.add(&format!("{utc} {compare} ?"), Some(at.to_seconds()));
            }
            Some(Moment::Local(at)) => {
                self.add(&format!("{local} {compare} ?"), Some(at.to_string()));
            }
            None => {}
        }
    }

    fn sql(&self) -> String {
        match self.terms.is_empty() {
            true => "1".to_owned(),
            false => self.terms.join(" AND "),
        }
    }

    fn params(&self) -> impl rusqlite::Params + '_ {
        rusqlite::params_from_iter(self.values.iter())
    }
}

impl RecordingRow {
    /// `compliance until 2033-03-07T14:23:18Z`
    pub fn lock_text(&self) -> Option<String> {
        let (mode, until) = self.lock_mode.as_ref().zip(self.lock_until.as_ref())?;
        Some(format!("{mode} until {until}"))
    }

    /// Where it stands in a listing, newest first.
    pub fn place(&self) -> Place {
        let announced = || format!("{}Z", self.announced_at.get(..19).unwrap_or_default());
        Place {
            at: self.started_at.clone().unwrap_or_else(announced),
            id: self.recording.to_string(),
        }
    }
}

impl Where {
    fn scope(&mut self, scope: &Scope, pbx: &str, extension: &str) {
        self.add(
            &format!("{pbx} = ?"),
            scope.pbx.as_ref().map(PbxName::to_string),
        );
        if !scope.extensions.is_empty() {
            let extensions = serde_json::json!(scope.extensions).to_string();
            self.add(extension, Some(extensions));
        }
    }

    /// Newest first: after a place is before its moment.
    fn after(&mut self, place: Option<&Place>, at: &str, id: &str) {
        if let Some(Place {
            at: moment,
            id: own,
        }) = place
        {
            self.values.push(Box::new(moment.clone()));
            self.values.push(Box::new(own.clone()));
            let (first, second) = (self.values.len() - 1, self.values.len());
            self.terms
                .push(format!("({at}, {id}) < (?{first}, ?{second})"));
        }
    }
}

/// Recordings newest first: by the call's start, or the announcement where no call is known.
pub fn recordings(db: &Db, filter: &Filter) -> Result<Vec<RecordingRow>, Error> {
    let mut only = Where::default();
    only.add("number_matches(?, v.external)", filter.number.clone());
    only.add("v.extension = ?", filter.extension.clone());
    only.add("v.did = ?", filter.did.clone());
    only.add("v.pbx = ?", filter.pbx.as_ref().map(|pbx| pbx.to_string()));
    only.add(
        "v.direction = ?",
        filter.direction.map(|direction| direction.as_str()),
    );
    only.add("v.state = ?", filter.state.map(|state| state.as_str()));
    only.add("v.call = ?", filter.call.as_ref().map(CallName::to_string));
    let came_out = "EXISTS (SELECT 1 FROM call c \
        WHERE c.pbx = v.pbx AND c.call = v.call AND c.outcome = ?)";
    only.add(came_out, filter.outcome.map(Outcome::as_str));
    let utc = "coalesce(v.started_at, substr(v.announced_at, 1, 19) || 'Z')";
    let local = "coalesce(v.started_at_local, v.day || 'T00:00:00')";
    only.moment(">=", filter.from, utc, local);
    only.moment("<", filter.to, utc, local);
    let mine = "v.extension IN (SELECT value FROM json_each(?))";
    only.scope(&filter.scope, "v.pbx", mine);
    only.after(filter.after.as_ref(), utc, "v.recording");
    let sql = format!(
        "SELECT {RECORDING_COLUMNS} FROM recordings v \
         WHERE {} ORDER BY {utc} DESC, v.recording DESC LIMIT {}",
        only.sql(),
        filter.limit.map_or(-1, i64::from),
    );
    all(db, "search recordings", &sql, only.params(), recording)
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

/// Calls newest first, missed ones too.
pub fn calls(db: &Db, filter: &Filter) -> Result<Vec<Call>, Error> {
    let mut only = Where::default();
    only.add("number_matches(?, c.external)", filter.number.clone());
    // What somebody may not see does not show by what a filter finds either.
    if filter.extension.is_some() && !filter.scope.has_extension(filter.extension.as_deref()) {
        return Ok(Vec::new());
    }
    let has_leg = "EXISTS (SELECT 1 FROM leg l WHERE l.call_id = c.id AND l.extension = ?)";
    only.add(has_leg, filter.extension.clone());
    only.add("c.did = ?", filter.did.clone());
    only.add("c.pbx = ?", filter.pbx.as_ref().map(|pbx| pbx.to_string()));
    only.add(
        "c.direction = ?",
        filter.direction.map(|direction| direction.as_str()),
    );
    only.add("c.outcome = ?", filter.outcome.map(Outcome::as_str));
    let has_state = "EXISTS (SELECT 1 FROM recording r \
        LEFT JOIN leg l ON l.call_id = c.id AND l.leg = r.leg \
        WHERE r.pbx = c.pbx AND r.call = c.call AND r.state = json_extract(?, '$[0]') \
          AND (json_array_length(?, '$[1]') = 0 \
               OR l.extension IN (SELECT value FROM json_each(?, '$[1]'))))";
    let state_in_scope = filter
        .state
        .map(|state| serde_json::json!([state.as_str(), filter.scope.extensions]).to_string());
    only.add(has_state, state_in_scope);
    only.add("c.call = ?", filter.call.as_ref().map(CallName::to_string));
    let utc = "strftime('%Y-%m-%dT%H:%M:%SZ', c.started_ms / 1000, 'unixepoch')";
    only.moment(">=", filter.from, utc, "c.started_local");
    only.moment("<", filter.to, utc, "c.started_local");
    let mine = "EXISTS (SELECT 1 FROM json_each(?) mine WHERE mine.value IN \
        (SELECT l.extension FROM leg l WHERE l.call_id = c.id \
         UNION ALL SELECT value FROM json_each(c.ring_path)))";
    only.scope(&filter.scope, "c.pbx", mine);
    let (at, id) = (format!("coalesce({utc}, '')"), "c.pbx || '/' || c.call");
    only.after(filter.after.as_ref(), &at, id);
    let sql = format!(
        "SELECT c.pbx, c.call FROM call c WHERE c.known = 1 AND {} \
         ORDER BY {at} DESC, {id} DESC LIMIT {}",
        only.sql(),
        filter.limit.map_or(-1, i64::from),
    );
    let ids = all(db, "search calls", &sql, only.params(), |row| {
        Ok(CallId {
            pbx: parsed(row.get(0)?)?,
            call: parsed(row.get(1)?)?,
        })
    })?;
    let mut calls = Vec::with_capacity(ids.len());
    for id in ids {
        let call = super::calls::load(db, &id)?.map(|(_, call)| call);
        calls.extend(call.map(|call| call.narrowed(&filter.scope)));
    }
    Ok(calls)
}

/// The PBXs that have a call of this id.
pub fn pbxs_of_call(db: &Db, call: &CallName) -> Result<Vec<PbxName>, Error> {
    let sql = "SELECT pbx FROM calls WHERE call = ?1 ORDER BY pbx";
    all(db, "look for a call", sql, [call.as_str()], |row| {
        parsed(row.get(0)?)
    })
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
