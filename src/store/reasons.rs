//! Why somebody hears the recordings of a call, and until when that reason holds.

use std::time::Duration;

use rusqlite::params;

use super::{Db, Error, Tx, execute, first};
use crate::model::time::UtcMs;

/// A reason holds for so long, for the recordings of its call.
pub const HOLDS: Duration = Duration::from_secs(15 * 60);
pub const MAX_CHARS: usize = 500;

pub struct Reason {
    pub reason: String,
    pub case: Option<String>,
    pub until: UtcMs,
}

/// A new reason takes the place of an earlier one, and what was entered under that is entered again
/// under this; the same one, sent along with every request, is none.
pub fn give(
    tx: &mut Tx,
    actor: &str,
    call: &str,
    reason: &str,
    case: Option<&str>,
    until: UtcMs,
) -> Result<(), Error> {
    let other = "SELECT 1 FROM reason_window WHERE actor = ?1 AND subject = ?2 \
        AND (reason <> ?3 OR case_number IS NOT ?4)";
    let key = params![actor, call, reason, case];
    if first(tx, "look for another reason", other, key, |_| Ok(()))?.is_some() {
        let (pbx, name) = call.split_once('/').unwrap_or((call, ""));
        let sql = "DELETE FROM entered WHERE actor = ?1 AND (subject = ?2 OR subject IN \
            (SELECT pbx || '/' || recording FROM recording WHERE pbx = ?3 AND call = ?4))";
        let key = params![actor, call, pbx, name];
        execute(tx, "begin another reason's window", sql, key)?;
    }
    let sql = "INSERT INTO reason_window (actor, subject, reason, case_number, until_ms) \
        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET reason = excluded.reason, \
        case_number = excluded.case_number, until_ms = excluded.until_ms";
    execute(
        tx,
        "keep a reason",
        sql,
        params![actor, call, reason, case, until.0],
    )?;
    Ok(())
}

pub fn holding(db: &Db, actor: &str, call: &str, now: UtcMs) -> Result<Option<Reason>, Error> {
    let sql = "SELECT reason, case_number, until_ms FROM reason_window \
        WHERE actor = ?1 AND subject = ?2 AND until_ms > ?3";
    first(
        db,
        "look for a reason",
        sql,
        params![actor, call, now.0],
        |row| {
            Ok(Reason {
                reason: row.get(0)?,
                case: row.get(1)?,
                until: UtcMs(row.get(2)?),
            })
        },
    )
}
