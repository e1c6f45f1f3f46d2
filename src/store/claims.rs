//! Claims: which recordings are due, and taking one to work on it. The row is the job; there is no
//! other queue.
//!
//! Never here: what becomes of a running job (`transitions`).

use jiff::civil::Date;
use rusqlite::{Row, params};

use super::{Db, Error, Tx, execute, first, heartbeat, parsed, word};
use crate::model::digest::Digest;
use crate::model::doubt::Kept;
use crate::model::event::FetchPath;
use crate::model::id::{CallId, EventSeq, PbxName, RecordingId};
use crate::model::key::ObjectKey;
use crate::model::lock::{Lock, LockMode};
use crate::model::time::UtcMs;

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

impl Claim {
    /// Its body should lie on our disk, and be believed: only the store is needed. A body in doubt
    /// is there to be compared with another, until there is no hope of another.
    pub fn is_at_hand(&self) -> bool {
        let is_believed = self.kept.is_none() || self.take_kept || self.frozen.is_some();
        self.original.is_some() && is_believed
    }
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
    /// Known once the manifest is there too.
    pub manifest_sha256: Option<Digest>,
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

/// Its body lies on our disk and is believed: it needs its PBX no more ([`Claim::is_at_hand`]).
pub(super) const AT_HAND: &str =
    "(original_sha256 IS NOT NULL AND (kept IS NULL OR take_kept OR object_key IS NOT NULL))";

/// The row of a PBX's oldest ripe recording, and when that was announced: the one that the PBX
/// will delete first. Of those whose body lies on our disk, and of the others.
pub fn oldest_ripe(
    db: &Db,
    pbx: &PbxName,
    is_at_hand: bool,
) -> Result<Option<(i64, UtcMs)>, Error> {
    ripe(db, pbx, is_at_hand, "ORDER BY announced_ms", None)
}

/// Whose turn it is to try somebody who is away: the newest, and then the next one behind the last
/// that was in turn, one time after the other. A few that fail for reasons of their own, and are the
/// oldest, would else be all that is ever tried; and what has just come is the likeliest to work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    behind: Option<(UtcMs, i64)>,
    was_newest: bool,
}

impl Turn {
    pub fn was_of(&mut self, claim: &Claim) {
        if self.was_newest {
            self.behind = Some((claim.announced, claim.row));
        }
        self.was_newest = !self.was_newest;
    }
}

/// As [`oldest_ripe`], but the one whose turn it is.
pub fn ripe_in_turn(
    db: &Db,
    pbx: &PbxName,
    is_at_hand: bool,
    turn: &Turn,
) -> Result<Option<(i64, UtcMs)>, Error> {
    if !turn.was_newest {
        return ripe(
            db,
            pbx,
            is_at_hand,
            "ORDER BY announced_ms DESC, id DESC",
            None,
        );
    }
    let behind = "AND (announced_ms, id) > (?3, ?4) ORDER BY announced_ms, id";
    let next = match turn.behind {
        Some(place) => ripe(db, pbx, is_at_hand, behind, Some(place))?,
        None => None,
    };
    match next {
        Some(next) => Ok(Some(next)),
        None => oldest_ripe(db, pbx, is_at_hand),
    }
}

fn ripe(
    db: &Db,
    pbx: &PbxName,
    is_at_hand: bool,
    which: &str,
    place: Option<(UtcMs, i64)>,
) -> Result<Option<(i64, UtcMs)>, Error> {
    let sql = format!(
        "SELECT id, announced_ms FROM recording INDEXED BY recording_ripe \
         WHERE ripe = 1 AND pbx = ?1 AND {AT_HAND} = ?2 {which} LIMIT 1"
    );
    let what = "find a ripe recording";
    let found = |row: &Row| Ok((row.get(0)?, UtcMs(row.get(1)?)));
    match place {
        None => first(db, what, &sql, params![pbx.as_str(), is_at_hand], found),
        Some((announced, row)) => {
            let key = params![pbx.as_str(), is_at_hand, announced.0, row];
            first(db, what, &sql, key, found)
        }
    }
}

/// Takes a ripe recording to work on it.
pub fn claim(
    tx: &mut Tx,
    row: i64,
    now: UtcMs,
    lease_until: UtcMs,
) -> Result<Option<Claim>, Error> {
    let sql = format!(
        "UPDATE recording SET lease_ms = ?2, ripe = 0, attempt = attempt + 1 \
        WHERE id = ?1 AND ripe = 1 \
        RETURNING id, pbx, recording, call, leg, part, attempt, dated, announced_ms, {}, \
            source_url, fetch_path, original_sha256, original_bytes, object_key, object_sha256, \
            object_bytes, media_ms, media_flags, announced_seq, kept, take_kept, lock_mode, \
            lock_until_ms",
        heartbeat::window(),
    );
    let key = params![row, lease_until.0];
    let Some(mut claim) = first(tx, "claim a recording", &sql, key, claimed)? else {
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

/// A ripe recording whose row cannot be read keeps nobody else from being claimed.
pub fn set_aside(tx: &mut Tx, row: i64, code: &str, why: &str) -> Result<(), Error> {
    let sql = "UPDATE recording SET state = 'failed', due_ms = NULL, lease_ms = NULL, ripe = 0, \
        code = ?2, last_error = ?3 WHERE id = ?1";
    execute(tx, "set a recording aside", sql, params![row, code, why])?;
    Ok(())
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
