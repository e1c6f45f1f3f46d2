//! Recordings: announced and claimed. The row is the job; there is no other queue.
//!
//! Never here: what becomes of a running job (`transitions`).

use std::collections::{BTreeSet, HashMap};

use jiff::civil::{Date, DateTime};
use rusqlite::{Params, Row, params};

use super::comparison;
use super::custody::{self, Entry};
use super::words::{self, Noted, Word};
use super::{Db, Error, Tx, all, execute, first, parsed, word};
use crate::model::digest::Digest;
use crate::model::doubt::Kept;
use crate::model::event::FetchPath;
use crate::model::id::{CallId, EventSeq, LegId, PbxName, RecordingId};
use crate::model::job::State;
use crate::model::key::ObjectKey;
use crate::model::lock::{Lock, LockMode};
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

/// A recording taken to be worked on, under a lease.
#[derive(Debug, Clone)]
pub struct Claim {
    pub row: i64,
    pub id: RecordingId,
    pub call: Option<CallId>,
    pub leg: Option<u32>,
    pub part: Option<u32>,
    pub attempt: u32,
    pub dated: Date,
    pub announced: UtcMs,
    pub announced_seq: EventSeq,
    /// Giving up is counted from here.
    pub window: UtcMs,
    pub source_url: String,
    pub path: FetchPath,
    /// The body that was downloaded before: what a spool file must hash to.
    pub original: Option<Original>,
    pub media_ms: Option<u64>,
    /// Why that body is not believed yet, and whether it is taken all the same.
    pub kept: Option<Kept>,
    pub take_kept: bool,
    pub frozen: Option<Frozen>,
    /// Committed before the first PUT.
    pub lock: Option<Lock>,
}

/// How a recording of a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub leg: u32,
    pub state: State,
    /// Whether it was what was archived when it was last read; none where it never was read.
    pub sound: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Original {
    pub sha256: Digest,
    pub bytes: u64,
}

/// What is committed before the first PUT, and sent again unchanged by every retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    pub key: ObjectKey,
    pub tag: Vec<u8>,
    pub manifest: Vec<u8>,
    pub object_sha256: Digest,
    pub object_bytes: u64,
    pub media_ms: u64,
    pub flags: Vec<&'static str>,
}

/// What the store holds in the end.
#[derive(Debug, Clone)]
pub struct Proved {
    pub object_sha256: Digest,
    pub object_bytes: u64,
    pub version_id: Option<String>,
    /// Said in custody: how the object was proved.
    pub how: &'static str,
    /// The object stood there already, made by an earlier life of this archive.
    pub adopted: bool,
    pub locked: Option<Locked>,
}

/// What became of the lock that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Locked {
    /// None where the store was seen to keep none.
    pub lock: Option<Lock>,
    /// Said in custody: how that is known.
    pub how: &'static str,
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
    let sql = "INSERT INTO recording (pbx, recording, call, leg, part, dated, \
        announced_ms, source_url, fetch_path, announced_flags, state, due_ms, window_ms, code, \
        last_error, announced_seq, sorted_ms, local_ms, external, extension, did, direction, \
        outcome, duration_s) \
        SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?7, ?13, ?14, ?15, \
            coalesce(c.started_ms, ?7), coalesce(c.local_ms, ?16), c.external, \
            l.extension, c.did, c.direction, c.outcome, l.duration_s \
        FROM (SELECT 1) LEFT JOIN call c ON c.call = ?3 AND c.pbx = ?1 \
            LEFT JOIN leg l ON l.call_id = c.id AND l.leg = ?4 \
        WHERE true ON CONFLICT (recording, pbx) DO NOTHING";
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
    Ok(execute(tx, "enqueue a recording", sql, row)? == 1)
}

/// Has the recordings of a call listed as the call and its legs are now.
pub(super) fn follow(tx: &mut Tx, call_id: i64, id: &CallId) -> Result<(), Error> {
    let (call, pbx) = (id.call.as_str(), id.pbx.as_str());
    let key = params![call_id, call, pbx];
    if execute(tx, "have recordings follow their call", FOLLOW, key)? > 0 {
        let of_call = "INDEXED BY recording_by_call WHERE r.call = ?1 AND r.pbx = ?2";
        note_lengths(tx, of_call, [call, pbx])?;
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

/// Those that are right are left alone, so that an index is written only for what has changed. The
/// index is named: without it SQLite looks at every recording there is.
pub(super) const FOLLOW: &str = "UPDATE recording INDEXED BY recording_by_call \
    SET sorted_ms = n.sorted_ms, local_ms = n.local_ms, external = n.external, \
        extension = n.extension, did = n.did, direction = n.direction, outcome = n.outcome, \
        duration_s = n.duration_s \
    FROM (SELECT r.id, coalesce(c.started_ms, r.announced_ms) AS sorted_ms, \
            coalesce(c.local_ms, r.local_ms) AS local_ms, c.external, \
            l.extension, c.did, c.direction, c.outcome, l.duration_s \
        FROM call c CROSS JOIN recording r ON r.call = c.call AND r.pbx = c.pbx \
        LEFT JOIN leg l ON l.call_id = c.id AND l.leg = r.leg WHERE c.id = ?1) n \
    WHERE recording.call = ?2 AND recording.pbx = ?3 AND recording.id = n.id \
        AND (recording.sorted_ms, recording.local_ms, recording.external, recording.extension, \
            recording.did, recording.direction, recording.outcome, recording.duration_s) \
        IS NOT (n.sorted_ms, n.local_ms, n.external, n.extension, n.did, n.direction, \
            n.outcome, n.duration_s)";

/// Marks what has fallen due of a PBX as ripe, so many at a time that no answer waits long for it.
/// What is of a PBX that the settings do not name waits until they do.
pub fn ripen(tx: &mut Tx, pbx: &PbxName, now: UtcMs) -> Result<(), Error> {
    let key = params![pbx.as_str(), now.0];
    execute(tx, "see what has fallen due", RIPEN, key)?;
    Ok(())
}

/// The index is named, here and below, lest SQLite reads all that is pending at each claim: of the
/// indexes that would do, it has no statistics to choose by.
pub(super) const RIPEN: &str = "UPDATE recording SET ripe = 1 WHERE id IN \
    (SELECT id FROM recording INDEXED BY recording_due \
     WHERE pbx = ?1 AND state = 'pending' AND lease_ms IS NULL AND ripe = 0 AND due_ms <= ?2 \
     ORDER BY due_ms LIMIT 100)";

/// When the next recording of these PBXs falls due; at once where one is ripe.
pub fn next_due(db: &Db, pbxs: &[PbxName], now: UtcMs) -> Result<Option<UtcMs>, Error> {
    let ripe = "SELECT EXISTS (SELECT 1 FROM recording WHERE ripe = 1)";
    let ripe: Option<bool> = first(db, "see whether anything is ripe", ripe, [], |row| {
        row.get(0)
    })?;
    if ripe == Some(true) {
        return Ok(Some(now));
    }
    let mut next: Option<i64> = None;
    for pbx in pbxs {
        let what = "see what falls due next";
        let due: Option<Option<i64>> = first(db, what, NEXT_DUE, [pbx.as_str()], |row| row.get(0))?;
        next = next.into_iter().chain(due.flatten()).min();
    }
    Ok(next.map(UtcMs))
}

pub(super) const NEXT_DUE: &str = "SELECT min(due_ms) FROM recording INDEXED BY recording_due \
    WHERE pbx = ?1 AND state = 'pending' AND lease_ms IS NULL AND ripe = 0";

/// The row of a PBX's oldest ripe recording, and when that was announced: the one that the PBX
/// will delete first. What is on our disk already comes after what is not.
pub fn oldest_ripe(db: &Db, pbx: &PbxName) -> Result<Option<(i64, UtcMs)>, Error> {
    let sql = "SELECT id, announced_ms FROM recording INDEXED BY recording_ripe \
        WHERE ripe = 1 AND pbx = ?1 ORDER BY original_sha256 IS NOT NULL, announced_ms LIMIT 1";
    let found = |row: &Row| Ok((row.get(0)?, UtcMs(row.get(1)?)));
    first(
        db,
        "find the oldest ripe recording",
        sql,
        [pbx.as_str()],
        found,
    )
}

/// Takes a ripe recording to work on it.
pub fn claim(
    tx: &mut Tx,
    row: i64,
    now: UtcMs,
    lease_until: UtcMs,
) -> Result<Option<Claim>, Error> {
    let sql = "UPDATE recording SET lease_ms = ?2, ripe = 0, attempt = attempt + 1 \
        WHERE id = ?1 AND ripe = 1 \
        RETURNING id, pbx, recording, call, leg, part, attempt, dated, announced_ms, window_ms, \
            source_url, fetch_path, original_sha256, original_bytes, object_key, object_sha256, \
            object_bytes, media_ms, media_flags, announced_seq, kept, take_kept, lock_mode, \
            lock_until_ms";
    let key = params![row, lease_until.0];
    let Some(mut claim) = first(tx, "claim a recording", sql, key, claimed)? else {
        return Ok(None);
    };
    if let Some(frozen) = &mut claim.frozen {
        let sql = "SELECT tag, manifest FROM frozen WHERE recording_id = ?1";
        let bytes = first(tx, "read what was frozen", sql, [claim.row], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        (frozen.tag, frozen.manifest) = bytes.ok_or_else(|| Error::Damaged {
            what: "read what was frozen",
            found: format!("no tag for {}", claim.id),
        })?;
    }
    super::attempts::begin(tx, &claim, now)?;
    Ok(Some(claim))
}

fn claimed(row: &Row) -> rusqlite::Result<Claim> {
    let pbx: PbxName = parsed(row.get(1)?)?;
    let call: Option<String> = row.get(3)?;
    let call = match call {
        Some(call) => Some(CallId {
            pbx: pbx.clone(),
            call: parsed(call)?,
        }),
        None => None,
    };
    let original: Option<[u8; 32]> = row.get(12)?;
    let key: Option<String> = row.get(14)?;
    let frozen = match key {
        None => None,
        Some(key) => Some(Frozen {
            key: parsed(key)?,
            tag: Vec::new(),
            manifest: Vec::new(),
            object_sha256: Digest::from_bytes(row.get(15)?),
            object_bytes: row.get::<_, i64>(16)? as u64,
            media_ms: row.get::<_, i64>(17)? as u64,
            flags: Vec::new(),
        }),
    };
    Ok(Claim {
        row: row.get(0)?,
        id: RecordingId {
            recording: parsed(row.get(2)?)?,
            pbx,
        },
        call,
        leg: row.get(4)?,
        part: row.get(5)?,
        attempt: row.get(6)?,
        dated: parsed(row.get(7)?)?,
        announced: UtcMs(row.get(8)?),
        announced_seq: EventSeq(row.get(19)?),
        window: UtcMs(row.get(9)?),
        source_url: row.get(10)?,
        path: FetchPath::checked(row.get(11)?),
        original: match original {
            Some(sha256) => Some(Original {
                sha256: Digest::from_bytes(sha256),
                bytes: row.get::<_, i64>(13)? as u64,
            }),
            None => None,
        },
        media_ms: row.get::<_, Option<i64>>(17)?.map(|ms| ms as u64),
        kept: word(row.get(20)?, Kept::from_word),
        take_kept: row.get(21)?,
        frozen,
        lock: word(row.get(22)?, LockMode::from_word)
            .zip(row.get(23)?)
            .map(|(mode, until)| Lock {
                mode,
                until: UtcMs(until),
            }),
    })
}

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
