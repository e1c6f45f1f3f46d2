//! Who is away, as the service last saw it, for those who only read the index; and what waits for
//! somebody who came back.
//!
//! Never here: how one sees that somebody is away (`worker`).

use rusqlite::{Row, params};

use super::claims::AT_HAND;
use super::{Db, Error, Tx, all, execute, parsed};
use crate::model::id::PbxName;
use crate::model::party::Party;
use crate::model::time::UtcMs;

/// Somebody whom recordings wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    pub party: Party,
    /// The first failure since it last worked.
    pub since: UtcMs,
    /// Not tried before.
    pub next: UtcMs,
    /// The last failure, as a code of the table and in words.
    pub code: &'static str,
    pub error: String,
}

/// As a reader finds it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub party: Party,
    pub since: UtcMs,
    pub next: UtcMs,
    pub code: String,
    pub error: String,
}

fn key(party: &Party) -> (&'static str, &str) {
    match party {
        Party::Pbx(pbx) => ("pbx", pbx.as_str()),
        Party::Store => ("store", ""),
        Party::Room => ("room", ""),
    }
}

pub fn note(tx: &mut Tx, away: &Away) -> Result<(), Error> {
    let (party, pbx) = key(&away.party);
    let sql = "INSERT INTO away (party, pbx, since_ms, next_ms, code, error) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET since_ms = excluded.since_ms, \
        next_ms = excluded.next_ms, code = excluded.code, error = excluded.error";
    let (since, next) = (away.since.0, away.next.0);
    let row = params![party, pbx, since, next, away.code, away.error];
    execute(tx, "note who is away", sql, row)?;
    Ok(())
}

pub fn forget(tx: &mut Tx, party: &Party) -> Result<(), Error> {
    let (party, pbx) = key(party);
    let sql = "DELETE FROM away WHERE party = ?1 AND pbx = ?2";
    execute(tx, "note who is back", sql, [party, pbx])?;
    Ok(())
}

/// Somebody wants another try of a PBX's recording: whoever it needs is to be tried at once.
pub fn wish(tx: &mut Tx, pbx: &PbxName) -> Result<(), Error> {
    let sql = "UPDATE away SET wished = 1 WHERE party <> 'pbx' OR pbx = ?1";
    execute(tx, "have the absent tried", sql, [pbx.as_str()])?;
    Ok(())
}

/// Who is to be tried at once; from here on that is done.
pub fn take_wishes(tx: &mut Tx, now: UtcMs) -> Result<Vec<Party>, Error> {
    let sql = "SELECT party, pbx FROM away WHERE wished = 1";
    let wished = all(tx, "see who is to be tried", sql, [], party)?;
    if !wished.is_empty() {
        let sql = "UPDATE away SET wished = 0, next_ms = ?1 WHERE wished = 1";
        execute(tx, "have the absent tried", sql, [now.0])?;
    }
    Ok(wished)
}

/// At start nobody is known to be away.
pub fn forget_all(tx: &mut Tx) -> Result<(), Error> {
    execute(tx, "forget who was away", "DELETE FROM away", [])?;
    Ok(())
}

pub fn all_seen(db: &Db) -> Result<Vec<Seen>, Error> {
    let sql = "SELECT party, pbx, since_ms, next_ms, code, error FROM away ORDER BY party, pbx";
    all(db, "see who is away", sql, [], seen)
}

fn party(row: &Row) -> rusqlite::Result<Party> {
    Ok(match row.get::<_, String>(0)?.as_str() {
        "store" => Party::Store,
        "room" => Party::Room,
        _ => Party::Pbx(parsed(row.get(1)?)?),
    })
}

fn seen(row: &Row) -> rusqlite::Result<Seen> {
    Ok(Seen {
        party: party(row)?,
        since: UtcMs(row.get(2)?),
        next: UtcMs(row.get(3)?),
        code: row.get(4)?,
        error: row.get(5)?,
    })
}

/// What keeps recording `t.row`, which was never tried, from being tried: a code, or words; NULL
/// where nobody does. The words about store and disk name the recording that was tried, which is not
/// for everybody's eyes; a PBX's do not.
pub(super) fn of_untried(column: &str) -> String {
    let only = match column {
        "error" => "AND a.party = 'pbx'",
        _ => "",
    };
    format!(
        "(SELECT a.{column} FROM recording r JOIN away a ON \
            CASE WHEN {AT_HAND} THEN a.party = 'store' ELSE a.party = 'room' OR a.pbx = r.pbx END \
          WHERE r.id = t.row AND r.state = 'pending' AND r.code IS NULL AND r.lease_ms IS NULL {only} \
          ORDER BY a.party LIMIT 1)"
    )
}

/// Makes ripe what waits for these reasons, however long it was to wait: so many at most, of each
/// PBX and reason what would be tried soonest; only those whose bodies are at hand, or not, where that
/// is said. Returns how many those were.
pub fn recall(
    tx: &mut Tx,
    pbxs: &[PbxName],
    (codes, are_at_hand): (&[&str], Option<bool>),
    limit: usize,
    now: UtcMs,
) -> Result<usize, Error> {
    let mut recalled = 0;
    for pbx in pbxs {
        for code in codes {
            let left = limit - recalled;
            let key = params![code, pbx.as_str(), now.0, left as i64, are_at_hand];
            recalled += execute(tx, "try again what waited", &recall_sql(), key)?;
        }
    }
    Ok(recalled)
}

pub(super) fn recall_sql() -> String {
    format!(
        "UPDATE recording SET ripe = 1, due_ms = ?3 WHERE id IN \
            (SELECT id FROM recording INDEXED BY recording_waiting \
             WHERE code = ?1 AND pbx = ?2 AND state = 'pending' AND lease_ms IS NULL AND ripe = 0 \
                AND (?5 IS NULL OR {AT_HAND} = ?5) \
             ORDER BY due_ms LIMIT ?4)"
    )
}
