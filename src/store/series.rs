//! What happened along time, in buckets `(start, end]`: how much came, was archived and gave up.
//!
//! Never here: how long a window is, or a percentile.

use rusqlite::params;

use super::{Db, Error, all, first};
use crate::model::access::Scope;
use crate::model::id::PbxName;
use crate::model::time::UtcMs;

/// Of one PBX, as far as somebody may see it.
pub struct Span<'a> {
    pub pbx: &'a PbxName,
    pub scope: &'a Scope,
    /// Nothing at it is in the span, what is at its end is.
    pub from: UtcMs,
    pub to: UtcMs,
    pub bucket_ms: i64,
}

/// How much fell into a bucket, of those into which anything fell.
pub type Count = (usize, u64);

/// Whose leg it is; looked at only for those who see a part.
const OF_EXTENSION: &str = "(?5 = '[]' OR EXISTS (SELECT 1 FROM call c \
    JOIN leg l ON l.call_id = c.id AND l.leg = x.leg \
    WHERE c.pbx = ?1 AND c.call = x.call AND l.extension IN (SELECT value FROM json_each(?5))))";

fn counted(db: &Db, what: &'static str, sql: &str, of: &Span) -> Result<Vec<Count>, Error> {
    let extensions = serde_json::json!(of.scope.extensions).to_string();
    let key = params![
        of.pbx.as_str(),
        of.from.0,
        of.to.0,
        of.bucket_ms,
        extensions
    ];
    all(db, what, sql, key, |row| {
        Ok((row.get::<_, i64>(0)? as usize, row.get::<_, i64>(1)? as u64))
    })
}

/// Events as they came; not what was read from a log.
pub fn events(db: &Db, of: &Span) -> Result<Vec<Count>, Error> {
    // A reading has the leg, or was found to be of one. Only an array has several, and is one
    // delivery all the same.
    let mine = OF_EXTENSION
        .replace("x.leg", "coalesce(m.leg, e.leg)")
        .replace("x.call", "coalesce(m.call, e.call)");
    let sql = format!(
        "SELECT (d.received_ms - ?2 - 1) / ?4 AS bucket, count(*) FROM delivery d \
         WHERE d.pbx = ?1 AND d.live = 1 AND d.received_ms > ?2 AND d.received_ms <= ?3 \
         AND (?5 = '[]' OR EXISTS (SELECT 1 FROM reading e \
         LEFT JOIN damaged m ON m.seq = e.seq AND m.item = e.item \
         WHERE e.seq = d.seq AND {mine})) \
         GROUP BY bucket"
    );
    counted(db, "count events along time", &sql, of)
}

pub fn announced(db: &Db, of: &Span) -> Result<Vec<Count>, Error> {
    // `+`: by the time, of which there is less than of a PBX.
    let sql = format!(
        "SELECT (x.announced_ms - ?2 - 1) / ?4 AS bucket, count(*) FROM recording x \
         WHERE +x.pbx = ?1 AND x.announced_ms > ?2 AND x.announced_ms <= ?3 AND {OF_EXTENSION} \
         GROUP BY bucket"
    );
    counted(db, "count announcements along time", &sql, of)
}

/// Those that have given up and still stand so, by when they did.
pub fn failed(db: &Db, of: &Span) -> Result<Vec<Count>, Error> {
    let sql = format!(
        "SELECT (coalesce(a.ended_ms, x.announced_ms) - ?2 - 1) / ?4 AS bucket, count(*) \
         FROM recording x LEFT JOIN attempt a ON a.recording_id = x.id AND a.attempt = x.attempt \
         WHERE x.pbx = ?1 AND x.state <> 'archived' AND x.state = 'failed' \
         AND coalesce(a.ended_ms, x.announced_ms) > ?2 \
         AND coalesce(a.ended_ms, x.announced_ms) <= ?3 AND {OF_EXTENSION} GROUP BY bucket"
    );
    counted(db, "count failures along time", &sql, of)
}

/// For each that was archived the bucket, and how long that took from its announcement.
pub fn delays_ms(db: &Db, of: &Span) -> Result<Vec<Count>, Error> {
    let sql = format!(
        "SELECT (x.archived_ms - ?2 - 1) / ?4, max(x.archived_ms - x.announced_ms, 0) \
         FROM recording x WHERE x.pbx = ?1 AND x.archived_ms > ?2 AND x.archived_ms <= ?3 \
         AND {OF_EXTENSION} ORDER BY 2"
    );
    counted(db, "read archive delays", &sql, of)
}

/// How many are pending now.
pub fn pending(db: &Db, of: &Span) -> Result<u64, Error> {
    let sql = format!(
        "SELECT 0 * (?2 + ?4), count(*) FROM recording x WHERE x.pbx = ?1 \
         AND x.state <> 'archived' AND x.state = 'pending' AND x.announced_ms <= ?3 \
         AND {OF_EXTENSION}"
    );
    let counts = counted(db, "count what is pending", &sql, of)?;
    Ok(counts.first().map_or(0, |(_, count)| *count))
}

/// What came since then, and what happened in calls that began since then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Since {
    pub events: u64,
    pub calls: u64,
    pub recordings: u64,
}

pub fn since(db: &Db, pbx: &PbxName, since: UtcMs) -> Result<Since, Error> {
    let sql = "SELECT \
        (SELECT count(*) FROM delivery WHERE pbx = ?1 AND live = 1 AND received_ms >= ?2), \
        (SELECT count(*) FROM call WHERE +pbx = ?1 AND known = 1 AND sorted_ms >= ?2), \
        (SELECT count(*) FROM recording WHERE +pbx = ?1 AND announced_ms >= ?2)";
    let key = params![pbx.as_str(), since.0];
    let found = first(db, "count what came since", sql, key, |row| {
        let count = |at: usize| row.get::<_, i64>(at).map(|count| count as u64);
        Ok(Since {
            events: count(0)?,
            calls: count(1)?,
            recordings: count(2)?,
        })
    })?;
    Ok(found.unwrap_or_default())
}
