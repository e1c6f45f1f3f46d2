//! One row an attempt: when it began, where it ended, and why.

use rusqlite::params;

use super::claims::Claim;
use super::{Error, Tx, execute};
use crate::model::time::UtcMs;

/// Why an attempt failed, in words for people and a code for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub stage: &'static str,
    pub code: &'static str,
    pub error: String,
}

pub(super) fn begin(tx: &mut Tx, claim: &Claim, now: UtcMs) -> Result<(), Error> {
    let sql = "INSERT INTO attempt (recording_id, attempt, started_ms) VALUES (?1, ?2, ?3)";
    execute(
        tx,
        "begin an attempt",
        sql,
        params![claim.row, claim.attempt, now.0],
    )?;
    Ok(())
}

pub(super) fn succeeded(tx: &mut Tx, claim: &Claim, now: UtcMs) -> Result<(), Error> {
    end(tx, claim, now, ("index", None, None))
}

pub(super) fn failed(
    tx: &mut Tx,
    claim: &Claim,
    failure: &Failure,
    now: UtcMs,
) -> Result<(), Error> {
    let (code, error) = (Some(failure.code), Some(failure.error.as_str()));
    end(tx, claim, now, (failure.stage, code, error))
}

fn end(
    tx: &mut Tx,
    claim: &Claim,
    now: UtcMs,
    (stage, code, error): (&str, Option<&str>, Option<&str>),
) -> Result<(), Error> {
    let sql = "UPDATE attempt SET ended_ms = ?3, stage = ?4, code = ?5, error = ?6 \
        WHERE recording_id = ?1 AND attempt = ?2";
    let row = params![claim.row, claim.attempt, now.0, stage, code, error];
    execute(tx, "end an attempt", sql, row)?;
    Ok(())
}

/// An interrupted attempt was none.
pub(super) fn forget(tx: &mut Tx, claim: &Claim) -> Result<(), Error> {
    let sql = "DELETE FROM attempt WHERE recording_id = ?1 AND attempt = ?2";
    execute(
        tx,
        "forget an attempt",
        sql,
        params![claim.row, claim.attempt],
    )?;
    Ok(())
}
