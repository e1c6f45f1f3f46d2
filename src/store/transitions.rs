//! A running job's transitions: downloaded, frozen, archived, or back among those that wait.
//!
//! Each ends `AND state = 'pending' AND attempt = …`: no row changed means that the lease was lost
//! and somebody else has taken over. Never here: which transition is right; `worker` settles that.

use rusqlite::params;

use super::attempts::{self, Failure};
use super::claims::{Claim, Frozen, Locked, Original, Proved};
use super::comparison;
use super::custody::{self, Entry};
use super::recordings;
use super::{Error, Tx, execute};
use crate::model::doubt::Kept;
use crate::model::id::PbxName;
use crate::model::lock::Lock;
use crate::model::time::UtcMs;

/// Notes the body that lies in the spool, and whether it is not believed yet; another one may
/// replace it until something is frozen.
pub fn downloaded(
    tx: &mut Tx,
    claim: &Claim,
    original: Original,
    media_ms: u64,
    kept: Option<Kept>,
    now: UtcMs,
) -> Result<(), Error> {
    let sql = "UPDATE recording SET original_sha256 = ?3, original_bytes = ?4, media_ms = ?5, \
        kept = ?6, take_kept = 0 \
        WHERE id = ?1 AND state = 'pending' AND attempt = ?2 AND object_key IS NULL";
    let (sha256, bytes) = (original.sha256, original.bytes);
    let row = params![
        claim.row,
        claim.attempt,
        sha256.as_bytes(),
        bytes as i64,
        media_ms as i64,
        kept.map(Kept::as_str),
    ];
    held(claim, execute(tx, "note a download", sql, row)?)?;
    recordings::note_lengths(tx, "WHERE r.id = ?1", [claim.row])?;
    let doubt = kept.map(|kept| format!(", {kept}")).unwrap_or_default();
    let from = claim.path.as_str();
    let detail = format!("{bytes} bytes, SHA-256 {sha256}, from {from}{doubt}");
    custody::append(
        tx,
        &Entry::of_service(now, "downloaded", &claim.id).detail(detail),
    )
}

/// Commits key, tag, manifest and digest. From here on every attempt sends these bytes.
pub fn freeze(tx: &mut Tx, claim: &Claim, frozen: &Frozen, now: UtcMs) -> Result<(), Error> {
    let sql = "UPDATE recording SET object_key = ?3, object_sha256 = ?4, object_bytes = ?5, \
        media_ms = ?6, media_flags = ?7 \
        WHERE id = ?1 AND state = 'pending' AND attempt = ?2 AND object_key IS NULL";
    let row = params![
        claim.row,
        claim.attempt,
        frozen.key.as_str(),
        frozen.object_sha256.as_bytes(),
        frozen.object_bytes as i64,
        frozen.media_ms as i64,
        serde_json::json!(frozen.flags).to_string(),
    ];
    held(claim, execute(tx, "freeze an object", sql, row)?)?;
    let sql = "INSERT INTO frozen (recording_id, tag, manifest) VALUES (?1, ?2, ?3)";
    execute(
        tx,
        "keep tag and manifest",
        sql,
        params![claim.row, frozen.tag, frozen.manifest],
    )?;
    let verified = format!("{} ms of audio, flags {:?}", frozen.media_ms, frozen.flags);
    custody::append(
        tx,
        &Entry::of_service(now, "verified", &claim.id).detail(verified),
    )?;
    let tagged = format!("{} as {}", frozen.object_sha256, frozen.key);
    custody::append(
        tx,
        &Entry::of_service(now, "tagged", &claim.id).detail(tagged),
    )
}

/// Commits the lock that the object will be sent with, the same by every retry until it has passed.
pub fn promise_lock(tx: &mut Tx, claim: &Claim, lock: Lock) -> Result<(), Error> {
    let sql = "UPDATE recording SET lock_mode = ?3, lock_until_ms = ?4 \
        WHERE id = ?1 AND state = 'pending' AND attempt = ?2 \
            AND (lock_until_ms IS NULL OR lock_until_ms < ?4)";
    let row = params![claim.row, claim.attempt, lock.mode.as_str(), lock.until.0];
    held(claim, execute(tx, "promise a lock", sql, row)?)
}

/// The end of a recording's way: the store holds it, proved, and the index says so.
pub fn archived(tx: &mut Tx, claim: &Claim, proved: &Proved, now: UtcMs) -> Result<(), Error> {
    let sql = "UPDATE recording SET state = 'archived', due_ms = NULL, lease_ms = NULL, \
        code = NULL, last_error = NULL, archived_ms = ?3, object_sha256 = ?4, object_bytes = ?5, \
        version_id = ?6, lock_mode = ?7, lock_until_ms = ?8, manifest_sha256 = ?9, \
        integrity = 'verified', integrity_ms = ?3 \
        WHERE id = ?1 AND state = 'pending' AND attempt = ?2";
    let lock = proved.locked.and_then(|locked| locked.lock);
    let row = params![
        claim.row,
        claim.attempt,
        now.0,
        proved.object_sha256.as_bytes(),
        proved.object_bytes as i64,
        proved.version_id,
        lock.map(|lock| lock.mode.as_str()),
        lock.map(|lock| lock.until.0),
        proved.manifest_sha256.map(|sha256| *sha256.as_bytes()),
    ];
    held(claim, execute(tx, "index a recording", sql, row)?)?;
    if let Some(call) = &claim.call {
        comparison::found_short(tx, [call.call.as_str(), call.pbx.as_str()])?;
    }
    execute(
        tx,
        "drop what was frozen",
        "DELETE FROM frozen WHERE recording_id = ?1",
        [claim.row],
    )?;
    attempts::succeeded(tx, claim, now)?;
    let uploaded = if proved.adopted {
        "adopted"
    } else {
        "uploaded"
    };
    let version = proved
        .version_id
        .as_deref()
        .map(|id| format!(", version {id}"));
    let locked = proved.locked.map(|Locked { lock, how }| match lock {
        Some(lock) => format!(", locked: {lock}, {how}"),
        None => format!(", not locked: {how}"),
    });
    let detail = format!(
        "SHA-256 {}{}{}",
        proved.object_sha256,
        version.unwrap_or_default(),
        locked.unwrap_or_default(),
    );
    custody::append(
        tx,
        &Entry::of_service(now, uploaded, &claim.id).detail(detail),
    )?;
    custody::append(
        tx,
        &Entry::of_service(now, "proved", &claim.id).detail(proved.how),
    )?;
    custody::append(tx, &Entry::of_service(now, "archived", &claim.id))
}

/// Waits for its next try.
pub fn wait(
    tx: &mut Tx,
    claim: &Claim,
    due: UtcMs,
    failure: &Failure,
    now: UtcMs,
) -> Result<(), Error> {
    let sql = "UPDATE recording SET due_ms = ?3, lease_ms = NULL, code = ?4, last_error = ?5 \
        WHERE id = ?1 AND state = 'pending' AND attempt = ?2";
    let row = params![claim.row, claim.attempt, due.0, failure.code, failure.error];
    held(claim, execute(tx, "let a recording wait", sql, row)?)?;
    attempts::failed(tx, claim, failure, now)
}

/// No better body will come: the one that was kept is taken at once. Where none was, given up.
pub fn take_kept_or_give_up(
    tx: &mut Tx,
    claim: &Claim,
    failure: &Failure,
    now: UtcMs,
) -> Result<(), Error> {
    let sql = "UPDATE recording SET take_kept = 1, due_ms = ?3, lease_ms = NULL, code = ?4, \
        last_error = ?5 WHERE id = ?1 AND state = 'pending' AND attempt = ?2 \
        AND kept IS NOT NULL AND take_kept = 0 AND object_key IS NULL";
    let row = params![claim.row, claim.attempt, now.0, failure.code, failure.error];
    match execute(tx, "take a body in doubt", sql, row)? {
        0 => give_up(tx, claim, failure, now),
        _ => attempts::failed(tx, claim, failure, now),
    }
}

/// Given up, with its reason; only a person makes it pending again.
pub fn give_up(tx: &mut Tx, claim: &Claim, failure: &Failure, now: UtcMs) -> Result<(), Error> {
    let sql = "UPDATE recording SET state = 'failed', due_ms = NULL, lease_ms = NULL, \
        code = ?3, last_error = ?4 WHERE id = ?1 AND state = 'pending' AND attempt = ?2";
    let row = params![claim.row, claim.attempt, failure.code, failure.error];
    held(claim, execute(tx, "give a recording up", sql, row)?)?;
    attempts::failed(tx, claim, failure, now)?;
    let detail = format!("{}: {}", failure.code, failure.error);
    custody::append(
        tx,
        &Entry::of_service(now, "given up", &claim.id).detail(detail),
    )
}

/// Hands an interrupted attempt back: it does not count, and is due at once. One that was settled
/// all the same, as it was interrupted, counts.
pub fn hand_back(tx: &mut Tx, claim: &Claim, now: UtcMs) -> Result<(), Error> {
    attempts::forget(tx, claim)?;
    let sql = "UPDATE recording SET lease_ms = NULL, attempt = attempt - 1, due_ms = ?3 \
        WHERE id = ?1 AND state = 'pending' AND attempt = ?2 AND lease_ms IS NOT NULL";
    held(
        claim,
        execute(
            tx,
            "hand a recording back",
            sql,
            params![claim.row, claim.attempt, now.0],
        )?,
    )
}

/// At start: what is of PBXs that the settings do not name any more says so, and is no worker's.
pub fn set_aside(tx: &mut Tx, pbxs: &[PbxName], failure: &Failure) -> Result<(), Error> {
    let sql = "UPDATE recording SET ripe = 0, code = ?2, last_error = ?3 \
        WHERE state = 'pending' AND pbx NOT IN (SELECT value FROM json_each(?1)) \
          AND (ripe = 1 OR code IS NOT ?2)";
    let pbxs = serde_json::json!(pbxs).to_string();
    let row = params![pbxs, failure.code, failure.error];
    execute(tx, "set aside what is of no PBX", sql, row)?;
    Ok(())
}

/// At start: one process works a directory, so every lease is of a process that is dead. Its
/// attempts are given back.
pub fn release_leases(tx: &mut Tx) -> Result<usize, Error> {
    let sql = "DELETE FROM attempt WHERE ended_ms IS NULL AND recording_id IN \
        (SELECT id FROM recording WHERE lease_ms IS NOT NULL)";
    execute(tx, "forget interrupted attempts", sql, [])?;
    let sql = "UPDATE recording SET lease_ms = NULL, attempt = attempt - 1 \
        WHERE lease_ms IS NOT NULL";
    execute(tx, "release the leases of the dead", sql, [])
}

fn held(claim: &Claim, rows: usize) -> Result<(), Error> {
    match rows {
        1 => Ok(()),
        _ => Err(Error::LeaseLost(claim.id.to_string())),
    }
}
