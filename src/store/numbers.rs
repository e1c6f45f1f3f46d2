//! External numbers, each once, and which of them match what was typed.
//!
//! Never here: how numbers match. That is `model::number`'s, which has the last word on each.

use rusqlite::params;

use super::{Db, Error, Tx, all, execute, first};
use crate::model::number::{self, Candidates};

/// The row of a number, made where there is none. Numbers stay, also where no call has them any
/// more: they are few beside what they are found for.
pub fn row(tx: &mut Tx, number: &str) -> Result<i64, Error> {
    let sql = "SELECT id FROM number WHERE number = ?1";
    if let Some(row) = first(tx, "find a number", sql, [number], |row| row.get(0))? {
        return Ok(row);
    }
    let sql = "INSERT INTO number (number, tail) VALUES (?1, ?2)";
    let tail = number::tail(number);
    execute(tx, "note a number", sql, params![number, tail])?;
    let row = tx.last_insert_rowid();
    let sql = "INSERT INTO number_runs (rowid, digits) VALUES (?1, ?2)";
    let digits = number::digits(number);
    execute(tx, "note a number's digits", sql, params![row, digits])?;
    Ok(row)
}

/// What a question about numbers comes down to.
pub enum Matching {
    /// Whatever has a number at all.
    Every,
    These(Vec<i64>),
}

/// The numbers that match. A pattern without three digits in a row has every number looked at;
/// else only those are that an index finds.
pub fn matching(db: &Db, asked: &str) -> Result<Matching, Error> {
    let ids = |sql: &str, looked_up: Option<String>| {
        let key = params![asked, looked_up];
        all(db, "match numbers", sql, key, |row| row.get(0))
    };
    let rows = match number::candidates(asked) {
        Candidates::All => return Ok(Matching::Every),
        Candidates::Any => ids(ANY, None)?,
        Candidates::Same { tail } => ids(SAME, tail)?,
        Candidates::Holding(runs) => {
            let runs: Vec<String> = runs.iter().map(|run| format!("\"{run}\"")).collect();
            ids(HOLDING, Some(runs.join(" ")))?
        }
    };
    Ok(Matching::These(rows))
}

pub(super) const ANY: &str =
    "SELECT id FROM number WHERE number_matches(?1, number) AND ?2 IS NULL";
pub(super) const SAME: &str = "SELECT id FROM number WHERE (number = ?1 OR tail = ?2) \
    AND number_matches(?1, number)";
pub(super) const HOLDING: &str = "SELECT n.id FROM number_runs CROSS JOIN number n \
    ON n.id = number_runs.rowid WHERE number_runs MATCH ?2 AND number_matches(?1, n.number)";
