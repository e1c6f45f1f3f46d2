//! What trying the store has shown, a row a promise.
//!
//! Never here: what an earlier life of the service saw. The settings, or the store, may have
//! become another since.

use rusqlite::params;

use super::{Db, Error, Tx, all, execute, word};
use crate::model::promise::{Fact, Holds, Promise};
use crate::model::time::UtcMs;

/// A fact and when it was seen.
#[derive(Debug, Clone)]
pub struct Probed {
    pub fact: Fact,
    pub at: UtcMs,
}

pub fn forget(tx: &mut Tx) -> Result<(), Error> {
    execute(tx, "forget what the store was", "DELETE FROM probe", [])?;
    Ok(())
}

/// Notes facts. What could not be asked this time does not undo an answer.
pub fn note(tx: &mut Tx, facts: &[Fact], at: UtcMs) -> Result<(), Error> {
    let sql = "INSERT INTO probe (promise, holds, detail, at_ms) VALUES (?1, ?2, ?3, ?4) \
        ON CONFLICT DO UPDATE SET holds = excluded.holds, detail = excluded.detail, \
            at_ms = excluded.at_ms \
        WHERE excluded.holds <> 'unknown' OR holds = 'unknown'";
    for fact in facts {
        let row = params![
            fact.promise.as_str(),
            fact.holds.as_str(),
            fact.detail,
            at.0
        ];
        execute(tx, "note what the store does", sql, row)?;
    }
    Ok(())
}

/// In the promises' own order.
pub fn facts(db: &Db) -> Result<Vec<Probed>, Error> {
    let sql = "SELECT promise, holds, detail, at_ms FROM probe";
    let rows = all(db, "read what the store does", sql, [], |row| {
        let promise = word(row.get(0)?, Promise::from_word);
        let holds = word(row.get(1)?, Holds::from_word);
        let (detail, at) = (row.get(2)?, UtcMs(row.get(3)?));
        Ok(promise.zip(holds).map(|(promise, holds)| Probed {
            fact: Fact {
                promise,
                holds,
                detail,
            },
            at,
        }))
    })?;
    let mut known: Vec<Probed> = rows.into_iter().flatten().collect();
    known.sort_by_key(|probed| probed.fact.promise);
    Ok(known)
}
