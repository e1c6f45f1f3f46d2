//! Recordings: announced, once each, and listed as their calls are.
//!
//! Never here: taking one to work on it (`claims`), or what becomes of it then (`transitions`).

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use jiff::civil::DateTime;
use rusqlite::{Params, params};

use super::comparison;
use super::custody::{self, Entry};
use super::heartbeat::SKIPPED;
use super::words::{self, Noted, Word};
use super::{Db, Error, Tx, all, execute, parsed, word};
use crate::model::event::FetchPath;
use crate::model::id::{CallId, EventSeq, LegId, RecordingId};
use crate::model::job::State;
use crate::model::time::{Moment, UtcMs};

/// A recording that an event announced.
#[derive(Debug, Clone)]
pub struct Announced {
    pub id: RecordingId,
    /// The leg and part in its file name; none where that is no id.
    pub of: Option<(LegId, u32)>,
    /// The PBX's wall clock at the start that its file name tells; else when it was announced.
    pub local: DateTime,
    pub at: UtcMs,
    pub seq: EventSeq,
    pub source_url: String,
    /// What to ask the PBX for, or the code and reason why it is never asked.
    pub path: Result<FetchPath, (&'static str, String)>,
    /// `id_mismatch`: the event named another leg than the file. `unannounced`: nobody announced it.
    pub flags: Vec<&'static str>,
}

/// How a recording of a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub leg: u32,
    pub state: State,
    /// Whether it was what was archived when it was last read; none where it never was read.
    pub sound: Option<bool>,
}

/// Makes a job of each announcement, once: announced again, it may be compared.
pub fn enqueue(tx: &mut Tx, announced: &[Announced], due_after_ms: i64) -> Result<(), Error> {
    for one in announced {
        if insert(tx, one, due_after_ms)? {
            let entry = Entry::of_service(one.at, "announced", &one.id);
            custody::append(tx, &entry.detail(one.source_url.clone()))?;
            continue;
        }
        comparison::announced_again(tx, one, due_after_ms)?;
        if one.flags.contains(&"id_mismatch") {
            let sql = r#"UPDATE recording SET announced_flags = '["id_mismatch"]'
                WHERE pbx = ?1 AND recording = ?2"#;
            let key = params![one.id.pbx.as_str(), one.id.recording.as_str()];
            execute(tx, "flag a recording", sql, key)?;
        }
    }
    Ok(())
}

/// How the recordings of each call stand, each with its leg.
pub fn standings_of_calls(
    db: &Db,
    calls: &[&CallId],
) -> Result<HashMap<CallId, Vec<Standing>>, Error> {
    let sql = "SELECT r.pbx, r.call, r.leg, r.state, r.integrity = 'verified' \
        FROM json_each(?1) asked \
        CROSS JOIN recording r ON r.call = asked.value ->> 1 AND r.pbx = asked.value ->> 0 \
        ORDER BY asked.key, r.leg";
    let asked = calls.iter().map(|id| [id.pbx.as_str(), id.call.as_str()]);
    let asked = serde_json::json!(asked.collect::<Vec<_>>()).to_string();
    let rows = all(db, "see how recordings stand", sql, [asked], |row| {
        let id = CallId {
            pbx: parsed(row.get(0)?)?,
            call: parsed(row.get(1)?)?,
        };
        let (leg, sound) = (row.get(2)?, row.get(4)?);
        let state = word(row.get(3)?, State::from_word);
        Ok((id, state.map(|state| Standing { leg, state, sound })))
    })?;
    let mut standings: HashMap<CallId, Vec<Standing>> = HashMap::new();
    for (id, standing) in rows {
        standings.entry(id).or_default().extend(standing);
    }
    Ok(standings)
}

fn insert(tx: &mut Tx, one: &Announced, due_after_ms: i64) -> Result<bool, Error> {
    let (leg, part) = one.of.as_ref().map(|(leg, part)| (leg, part)).unzip();
    let refused = one.path.as_ref().err();
    let row = params![
        one.id.pbx.as_str(),
        one.id.recording.as_str(),
        leg.map(|leg| leg.call.as_str()),
        leg.map(|leg| leg.leg),
        part,
        one.local.date().to_string(),
        one.at.0,
        one.source_url,
        one.path.as_ref().ok().map(FetchPath::as_str),
        serde_json::json!(one.flags).to_string(),
        if refused.is_some() {
            "failed"
        } else {
            "pending"
        },
        refused
            .is_none()
            .then(|| one.at.0.saturating_add(due_after_ms)),
        refused.map(|(code, _)| code),
        refused.map(|(_, reason)| reason.as_str()),
        one.seq.0,
        Moment::Local(one.local).as_utc().0,
    ];
    Ok(execute(tx, "enqueue a recording", &INSERT, row)? == 1)
}

/// Has the recordings of a call listed as the call and its legs are now.
pub(super) fn follow(tx: &mut Tx, call_id: i64, id: &CallId) -> Result<(), Error> {
    let (call, pbx) = (id.call.as_str(), id.pbx.as_str());
    let key = params![call_id, call, pbx];
    if execute(tx, "have recordings follow their call", &FOLLOW, key)? > 0 {
        let of_call = "INDEXED BY recording_by_call WHERE r.call = ?1 AND r.pbx = ?2";
        note_lengths(tx, of_call, [call, pbx])?;
        comparison::found_short(tx, [call, pbx])?;
    }
    Ok(())
}

/// Has recordings found by the length of their audio where nothing tells how long the leg lasted.
pub(super) fn note_lengths(tx: &mut Tx, which: &str, key: impl Params) -> Result<(), Error> {
    let sql = format!(
        "SELECT r.sorted_ms, r.media_ms / 1000 FROM recording r \
         {which} AND r.duration_s IS NULL AND r.media_ms IS NOT NULL"
    );
    let lengths = all(tx, "see how long audio is", &sql, key, |row| {
        Ok((UtcMs(row.get(0)?), row.get::<_, u32>(1)?))
    })?;
    let mut noted = Noted::default();
    for (began, seconds) in lengths {
        let word = Word::Lasted(words::lasted(seconds)).to_string();
        noted.extend(began, BTreeSet::from([word]));
    }
    noted.write(tx)
}

/// What a listing goes by and shows of a recording's call and leg: the column, and what it is of a
/// recording `r`, its call `c` and its leg `l`.
const OF_CALL: [(&str, &str); 13] = [
    ("sorted_ms", "coalesce(c.started_ms, r.announced_ms)"),
    ("local_ms", "coalesce(c.local_ms, r.local_ms)"),
    ("started_local", "c.started_local"),
    ("ambiguous_hour", "coalesce(c.ambiguous_hour, 0)"),
    ("external", "c.external"),
    ("extension", "l.extension"),
    ("did", "c.did"),
    ("direction", "c.direction"),
    ("outcome", "c.outcome"),
    ("duration_s", "l.duration_s"),
    ("transfer", "l.transfer"),
    ("transferred_to", "l.transferred_to"),
    ("finish", "l.finish"),
];

fn of_call(each: impl Fn((&str, &str)) -> String) -> String {
    OF_CALL.map(each).join(", ")
}

pub(super) static LISTED: LazyLock<String> =
    LazyLock::new(|| of_call(|(column, _)| column.to_owned()));

static INSERT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO recording (pbx, recording, call, leg, part, dated, announced_ms, source_url, \
            fetch_path, announced_flags, state, due_ms, window_ms, skipped_ms, code, last_error, \
            announced_seq, {}) \
        SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?7, {SKIPPED}, ?13, ?14, ?15, {} \
        FROM (SELECT ?7 AS announced_ms, ?16 AS local_ms) r \
            LEFT JOIN call c ON c.call = ?3 AND c.pbx = ?1 \
            LEFT JOIN leg l ON l.call_id = c.id AND l.leg = ?4 \
        WHERE true ON CONFLICT (recording, pbx) DO NOTHING",
        *LISTED,
        of_call(|(_, value)| value.to_owned()),
    )
});

/// Those that are right are left alone, so that an index is written only for what has changed. The
/// index is named: without it SQLite looks at every recording there is.
pub(super) static FOLLOW: LazyLock<String> = LazyLock::new(|| {
    let is = of_call(|(column, _)| format!("recording.{column}"));
    let now = of_call(|(column, _)| format!("n.{column}"));
    format!(
        "UPDATE recording INDEXED BY recording_by_call SET ({}) = ({now}) \
        FROM (SELECT r.id, {} FROM call c \
            CROSS JOIN recording r ON r.call = c.call AND r.pbx = c.pbx \
            LEFT JOIN leg l ON l.call_id = c.id AND l.leg = r.leg WHERE c.id = ?1) n \
        WHERE recording.call = ?2 AND recording.pbx = ?3 AND recording.id = n.id \
            AND ({is}) IS NOT ({now})",
        *LISTED,
        of_call(|(column, value)| format!("{value} AS {column}")),
    )
});

/// The recordings whose local copy may still be needed: those not archived that were downloaded.
pub fn spooled(db: &Db) -> Result<BTreeSet<RecordingId>, Error> {
    let sql = "SELECT pbx, recording FROM recording \
        WHERE state <> 'archived' AND original_sha256 IS NOT NULL";
    let ids = all(db, "see what the spool is for", sql, [], |row| {
        Ok(RecordingId {
            pbx: parsed(row.get(0)?)?,
            recording: parsed(row.get(1)?)?,
        })
    })?;
    Ok(ids.into_iter().collect())
}
