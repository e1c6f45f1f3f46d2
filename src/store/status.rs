//! The figures of `status`.

use rusqlite::{Row, params};
use schemars::JsonSchema;
use serde::Serialize;

use super::claims::AT_HAND;
use super::{Db, Error, all, away, first, heartbeat, parsed};
use crate::model::id::{EventSeq, PbxName};
use crate::model::party::Party;
use crate::model::time::UtcMs;

/// Of one PBX: when something last came, and what waits.
#[derive(Debug, Clone, Default)]
pub struct Flow {
    pub last_event: Option<UtcMs>,
    pub last_archived: Option<UtcMs>,
    /// The announcement of the oldest recording that is pending.
    pub oldest_pending: Option<UtcMs>,
    pub failed: u64,
    /// Those of them whose URL was refused, before the moment that was asked about: there is nothing
    /// that a person could do.
    pub refused_before: u64,
    /// Pending recordings by where they are: `new`, `running`, or the stage they failed at.
    pub backlog: Vec<(String, u64)>,
    /// Pending recordings whose last try failed.
    pub held_up: Vec<HeldUp>,
    /// Those that were never tried: how many, and since when the first of them is due.
    pub untried: Option<(u64, UtcMs)>,
}

/// What waits for one reason.
#[derive(Debug, Clone)]
pub struct HeldUp {
    pub code: String,
    pub count: u64,
    /// The oldest of them waits since then; time in which the service did not run left out.
    pub since: UtcMs,
}

pub fn flow(db: &Db, pbx: &PbxName, told_since: UtcMs) -> Result<Flow, Error> {
    let one = |sql: &str| -> Result<Option<i64>, Error> {
        Ok(first(db, "see what came last", sql, [pbx.as_str()], |row| {
            row.get(0)
        })?
        .flatten())
    };
    let last_event = one("SELECT max(received_ms) FROM delivery WHERE pbx = ?1 AND live = 1")?;
    let last_archived =
        one("SELECT max(archived_ms) FROM recording WHERE pbx = ?1 AND archived_ms IS NOT NULL")?;
    // `state <> 'archived'` too, for that is what the index of the few that are not says.
    let open = "FROM recording WHERE pbx = ?1 AND state <> 'archived' AND state =";
    let oldest = one(&format!("SELECT min(announced_ms) {open} 'pending'"))?;
    let failed = one(&format!("SELECT count(*) {open} 'failed'"))?;
    let sql =
        format!("SELECT count(*) {open} 'failed' AND code GLOB 'url_*' AND announced_ms < ?2");
    let key = params![pbx.as_str(), told_since.0];
    let refused = first(db, "count refused URLs", &sql, key, |row| {
        row.get::<_, i64>(0)
    })?;
    let sql = "SELECT CASE WHEN r.lease_ms IS NOT NULL THEN 'running' \
            ELSE coalesce(a.stage, 'new') END AS word, count(*) FROM recording r \
        LEFT JOIN attempt a ON a.recording_id = r.id AND a.attempt = r.attempt \
        WHERE r.pbx = ?1 AND r.state <> 'archived' AND r.state = 'pending' \
        GROUP BY word ORDER BY word";
    let backlog = all(db, "count the backlog", sql, [pbx.as_str()], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)? as u64))
    })?;
    let mut flow = Flow {
        last_event: last_event.map(UtcMs),
        last_archived: last_archived.map(UtcMs),
        oldest_pending: oldest.map(UtcMs),
        failed: failed.unwrap_or(0) as u64,
        refused_before: refused.unwrap_or(0) as u64,
        backlog,
        ..Flow::default()
    };
    see_what_waits(db, pbx, &mut flow)?;
    Ok(flow)
}

/// What waits, by its reason, and what was never tried. What somebody who is away keeps from being
/// tried waits for their reason.
fn see_what_waits(db: &Db, pbx: &PbxName, flow: &mut Flow) -> Result<(), Error> {
    let open = "FROM recording WHERE pbx = ?1 AND state <> 'archived' AND state = 'pending'";
    let sql = format!(
        "SELECT code, count(*), min({}) {open} AND code IS NOT NULL GROUP BY code ORDER BY code",
        heartbeat::window(),
    );
    let held_up = |row: &Row| {
        Ok(HeldUp {
            code: row.get(0)?,
            count: row.get::<_, i64>(1)? as u64,
            since: UtcMs(row.get(2)?),
        })
    };
    flow.held_up = all(db, "see what holds up", &sql, [pbx.as_str()], held_up)?;
    let sql = format!(
        "SELECT {AT_HAND} AS is_at_hand, count(*), min(due_ms) {open} \
            AND code IS NULL AND lease_ms IS NULL GROUP BY is_at_hand"
    );
    let untried = |row: &Row| {
        let count = row.get::<_, i64>(1)? as u64;
        Ok((row.get::<_, bool>(0)?, count, UtcMs(row.get(2)?)))
    };
    let untried = all(
        db,
        "see what was never tried",
        &sql,
        [pbx.as_str()],
        untried,
    )?;
    let away = away::all_seen(db)?;
    for (is_at_hand, count, since) in untried {
        let keeps = |party: &Party| match party {
            Party::Store => is_at_hand,
            Party::Room => !is_at_hand,
            Party::Pbx(away) => !is_at_hand && away == pbx,
        };
        match away.iter().find(|away| keeps(&away.party)) {
            Some(away) => flow.hold_up(&away.code, count, since),
            None => {
                let (more, earlier) = flow.untried.unwrap_or((0, since));
                flow.untried = Some((more + count, earlier.min(since)));
            }
        }
    }
    Ok(())
}

impl Flow {
    fn hold_up(&mut self, code: &str, count: u64, since: UtcMs) {
        match self.held_up.iter_mut().find(|held_up| held_up.code == code) {
            Some(held_up) => {
                held_up.count += count;
                held_up.since = held_up.since.min(since);
            }
            None => self.held_up.push(HeldUp {
                code: code.to_owned(),
                count,
                since,
            }),
        }
    }
}

/// Deliveries that were turned away.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Refused {
    pub reason: String,
    pub peer: String,
    pub count: u64,
    #[schemars(with = "String")]
    pub last_at: UtcMs,
}

pub fn refused(db: &Db) -> Result<Vec<Refused>, Error> {
    let sql = "SELECT reason, peer, count, last_ms FROM refusal ORDER BY last_ms DESC LIMIT 100";
    all(db, "list refused deliveries", sql, [], |row| {
        Ok(Refused {
            reason: row.get(0)?,
            peer: row.get(1)?,
            count: row.get::<_, i64>(2)? as u64,
            last_at: UtcMs(row.get(3)?),
        })
    })
}

/// How many events nobody understood.
pub fn not_understood(db: &Db) -> Result<u64, Error> {
    let sql = "SELECT count(*) FROM reading WHERE kind IN ('unknown', 'unparsed')";
    let count = first(db, "count events not understood", sql, [], |row| {
        row.get::<_, i64>(0)
    })?;
    Ok(count.unwrap_or(0) as u64)
}

/// Of what was not delivered by a PBX as it happened, and logged after that delivery.
pub fn not_understood_after(db: &Db, seq: EventSeq) -> Result<u64, Error> {
    let sql = "SELECT count(*) FROM reading e JOIN delivery d ON d.seq = e.seq \
        WHERE e.kind IN ('unknown', 'unparsed') AND e.seq > ?1 AND d.live = 0";
    let count = first(db, "count events not understood", sql, [seq.0], |row| {
        row.get::<_, i64>(0)
    })?;
    Ok(count.unwrap_or(0) as u64)
}

/// What waits of PBXs that the settings do not name: recordings, and deliveries that were passed
/// over.
pub fn orphaned(db: &Db, known: &[&PbxName]) -> Result<Vec<(PbxName, u64)>, Error> {
    let sql = "SELECT pbx, sum(waiting) FROM ( \
            SELECT pbx, count(*) AS waiting FROM recording INDEXED BY recording_open \
                WHERE state <> 'archived' AND state = 'pending' GROUP BY pbx \
            UNION ALL SELECT pbx, count(*) FROM passed_over GROUP BY pbx) \
        WHERE pbx NOT IN (SELECT value FROM json_each(?1)) GROUP BY pbx";
    let known = serde_json::json!(known).to_string();
    all(db, "see what waits for no PBX", sql, [known], |row| {
        Ok((parsed(row.get(0)?)?, row.get::<_, i64>(1)? as u64))
    })
}

/// Deliveries that are logged and not read yet.
pub fn unread(db: &Db) -> Result<u64, Error> {
    let sql = "SELECT count(*) + (SELECT count(*) FROM passed_over) FROM delivery \
        WHERE seq > (SELECT correlated FROM progress)";
    let count = first(db, "count events not read yet", sql, [], |row| {
        row.get::<_, i64>(0)
    })?;
    Ok(count.unwrap_or(0) as u64)
}

/// Whether the store should hold anything.
pub fn has_archived(db: &Db) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM recording WHERE archived_ms IS NOT NULL)";
    let has = first(db, "see whether anything is archived", sql, [], |row| {
        row.get(0)
    })?;
    Ok(has.unwrap_or(false))
}

/// Bytes of recordings that were announced since then and downloaded.
pub fn downloaded_bytes(db: &Db, since: UtcMs) -> Result<u64, Error> {
    let sql = "SELECT sum(original_bytes) FROM recording WHERE announced_ms >= ?1";
    let sum = first(db, "sum what was downloaded", sql, [since.0], |row| {
        row.get::<_, Option<i64>>(0)
    })?;
    Ok(sum.flatten().unwrap_or(0) as u64)
}

/// A time in which the service did not run.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Gap {
    pub started_at: String,
    pub ended_at: String,
    pub duration_s: f64,
}

pub fn gaps(db: &Db, since: UtcMs) -> Result<Vec<Gap>, Error> {
    let sql = "SELECT started_at, ended_at, duration_s FROM gaps \
        WHERE ended_at >= ?1 ORDER BY ended_at DESC LIMIT ?2";
    all(
        db,
        "list gaps",
        sql,
        params![since.to_string(), 100],
        |row| {
            Ok(Gap {
                started_at: row.get(0)?,
                ended_at: row.get(1)?,
                duration_s: row.get(2)?,
            })
        },
    )
}
