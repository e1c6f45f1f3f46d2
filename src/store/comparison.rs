//! Recordings that were announced again, or turned out short: whether the PBX still has the file
//! that is archived.
//!
//! A PBX whose counter began anew gives old names to new calls, and nothing else would tell. Never
//! here: fetching, or what counts as audio.

use std::time::Duration;

use rusqlite::params;

use super::claims::Original;
use super::custody::{self, Entry};
use super::heartbeat::{self, SKIPPED};
use super::recordings::{self, Announced};
use super::{Db, Error, Tx, all, execute, first, parsed};
use crate::model::digest::Digest;
use crate::model::doubt;
use crate::model::event::FetchPath;
use crate::model::id::{PbxName, RecordingId};
use crate::model::time::UtcMs;

/// Before that it is the same announcement, sent twice.
const REPEATED_AFTER_MS: i64 = 3_600_000;
/// Between two comparisons of one recording.
const DAILY_MS: i64 = 24 * 3_600_000;
/// Until a PBX that gave no file is asked again, and how often at most.
const PAUSE_MS: i64 = 3_600_000;
/// Behind its leg's end a PBX has written a recording.
const WRITTEN_AFTER: Duration = Duration::from_secs(10 * 60);
const TRIES_MAX: u32 = 24;

/// A recording to be fetched once more.
#[derive(Debug, Clone)]
pub struct Due {
    row: i64,
    pub id: RecordingId,
    pub path: FetchPath,
    pub original: Digest,
    /// How long its leg lasted, where it was found short, and is.
    pub short_of_s: Option<u32>,
    /// It was found short, and is not any more: another part of its leg has come.
    pub is_moot: bool,
    tries: u32,
}

/// It was announced before. One that is archived is to be compared; one that was given up gets
/// another chance.
pub fn announced_again(tx: &mut Tx, one: &Announced, due_after_ms: i64) -> Result<(), Error> {
    let (pbx, recording) = (one.id.pbx.as_str(), one.id.recording.as_str());
    let sql = "INSERT INTO comparison (recording_id, due_ms, tries) \
        SELECT id, ?3, 0 FROM recording WHERE pbx = ?1 AND recording = ?2 \
          AND state = 'archived' AND fetch_path IS NOT NULL AND announced_ms + ?4 < ?3 \
        ON CONFLICT DO UPDATE SET tries = 0, is_short = 0, \
          due_ms = max(excluded.due_ms, coalesce(compared_ms + ?5, 0)) WHERE due_ms IS NULL";
    let row = params![pbx, recording, one.at.0, REPEATED_AFTER_MS, DAILY_MS];
    execute(tx, "plan a comparison", sql, row)?;
    let sql = format!(
        "UPDATE recording SET state = 'pending', due_ms = ?3 + ?6, window_ms = ?3, \
            skipped_ms = {SKIPPED}, ripe = 0, take_kept = 0 \
        WHERE pbx = ?1 AND recording = ?2 AND state = 'failed' AND lease_ms IS NULL \
          AND fetch_path IS NOT NULL AND announced_ms + ?4 < ?3 \
          AND (window_ms = announced_ms OR {} + ?5 < ?3)",
        heartbeat::window(),
    );
    let row = params![
        pbx,
        recording,
        one.at.0,
        REPEATED_AFTER_MS,
        DAILY_MS,
        due_after_ms
    ];
    if execute(tx, "try what was given up", &sql, row)? > 0 {
        custody::append(tx, &Entry::of_service(one.at, "announced again", &one.id))?;
    }
    Ok(())
}

/// How long a leg lasted may come to light after its recording was taken. What the PBX has by then
/// is looked at once it had the time to write all of it, and to announce what there is more of the
/// leg.
pub fn found_short(tx: &mut Tx, call_of_pbx: [&str; 2]) -> Result<(), Error> {
    let sql = "SELECT r.id, r.media_ms, r.duration_s, l.ended_ms FROM recording r \
        INDEXED BY recording_by_call JOIN call c ON c.pbx = r.pbx AND c.call = r.call \
        JOIN leg l ON l.call_id = c.id AND l.leg = r.leg \
        WHERE r.call = ?1 AND r.pbx = ?2 AND r.state = 'archived' AND r.media_ms IS NOT NULL \
          AND r.duration_s IS NOT NULL AND l.ended_ms IS NOT NULL AND r.fetch_path IS NOT NULL \
          AND r.media_flags NOT LIKE '%short%' AND r.recording NOT LIKE '%~%'";
    let what = "see whether what is archived is short";
    let found = all(tx, what, sql, call_of_pbx, |row| {
        let (media_ms, leg_s) = (row.get::<_, i64>(1)? as u64, row.get(2)?);
        let is_short = doubt::is_short(media_ms, leg_s);
        let due = UtcMs(row.get(3)?).plus(WRITTEN_AFTER);
        Ok((row.get::<_, i64>(0)?, due, is_short))
    })?;
    for (row, due, _) in found.into_iter().filter(|(.., is_short)| *is_short) {
        let sql = "INSERT INTO comparison (recording_id, due_ms, tries, is_short) \
            VALUES (?1, ?2, 0, 1) \
            ON CONFLICT DO UPDATE SET tries = 0, due_ms = excluded.due_ms, is_short = 1 \
            WHERE due_ms IS NULL";
        let row = params![row, due.0];
        execute(tx, "plan to compare what is short", sql, row)?;
    }
    Ok(())
}

/// Says in the index that a recording is shorter than its leg; what is archived stays as it is.
fn flag_short(tx: &mut Tx, due: &Due) -> Result<(), Error> {
    if due.short_of_s.is_none() {
        return Ok(());
    }
    let sql = "UPDATE recording SET media_flags = json_insert(media_flags, '$[#]', 'short') \
        WHERE id = ?1 AND media_flags NOT LIKE '%short%'";
    execute(tx, "flag what is short", sql, [due.row])?;
    Ok(())
}

pub fn due(db: &Db, pbx: &PbxName, now: UtcMs, most: u32) -> Result<Vec<Due>, Error> {
    let sql = "SELECT r.id, r.pbx || '/' || r.recording, r.fetch_path, r.original_sha256, c.tries, \
            r.duration_s, r.media_ms, c.is_short, \
            EXISTS (SELECT 1 FROM recording o INDEXED BY recording_by_call \
                WHERE o.call = r.call AND o.pbx = r.pbx AND o.leg = r.leg AND o.id <> r.id) \
        FROM comparison c JOIN recording r ON r.id = c.recording_id \
        WHERE c.due_ms <= ?1 AND r.pbx = ?3 ORDER BY c.due_ms LIMIT ?2";
    all(
        db,
        "see what is to be compared",
        sql,
        params![now.0, most, pbx.as_str()],
        |row| {
            let media_ms = row.get::<_, Option<i64>>(6)?.unwrap_or_default() as u64;
            // Of a leg in several parts none is all of it.
            let (was_short, is_alone) = (row.get(7)?, !row.get::<_, bool>(8)?);
            let is_short = |leg_s: &u32| was_short && is_alone && doubt::is_short(media_ms, *leg_s);
            let short_of_s = row.get::<_, Option<u32>>(5)?.filter(is_short);
            Ok(Due {
                row: row.get(0)?,
                id: parsed(row.get(1)?)?,
                path: FetchPath::checked(row.get(2)?),
                original: Digest::from_bytes(row.get(3)?),
                tries: row.get(4)?,
                is_moot: was_short && short_of_s.is_none(),
                short_of_s,
            })
        },
    )
}

/// What was found beside an archived recording since then, newest first.
pub fn conflicts(db: &Db, since: UtcMs) -> Result<Vec<String>, Error> {
    let sql = "SELECT pbx || '/' || recording FROM recording \
        WHERE announced_flags LIKE '%conflict%' AND announced_ms >= ?1 ORDER BY announced_ms DESC";
    all(db, "list conflicts", sql, [since.0], |row| row.get(0))
}

/// There is nothing to compare for any more.
pub fn moot(tx: &mut Tx, due: &Due, now: UtcMs) -> Result<(), Error> {
    done(tx, due, now)
}

/// The PBX has what is archived.
pub fn same(tx: &mut Tx, due: &Due, now: UtcMs) -> Result<(), Error> {
    flag_short(tx, due)?;
    let entry = Entry::of_service(now, "compared", &due.id);
    custody::append(tx, &entry.detail("the PBX still has the same".to_owned()))?;
    done(tx, due, now)
}

/// The PBX has another file under this name, which lies in the spool as `beside`: it becomes a
/// recording of its own. False where it is one since an earlier time, and archived.
pub fn other(
    tx: &mut Tx,
    due: &Due,
    beside: &RecordingId,
    original: Original,
    media_ms: u64,
    now: UtcMs,
) -> Result<bool, Error> {
    let sql = format!(
        "INSERT INTO recording (pbx, recording, call, leg, part, dated, announced_ms, \
            announced_seq, source_url, fetch_path, announced_flags, state, due_ms, window_ms, \
            skipped_ms, original_sha256, original_bytes, media_ms, {listed}) \
        SELECT pbx, ?2, call, leg, part, dated, ?3, announced_seq, source_url, fetch_path, \
            json_array(?7), 'pending', ?3, ?3, {SKIPPED}, ?4, ?5, ?6, {listed} \
        FROM recording WHERE id = ?1 \
        ON CONFLICT (recording, pbx) DO NOTHING",
        listed = *recordings::LISTED,
    );
    let row = params![
        due.row,
        beside.recording.as_str(),
        now.0,
        original.sha256.as_bytes(),
        original.bytes as i64,
        media_ms as i64,
        due.short_of_s.map_or("conflict", |_| "fetched_later"),
    ];
    flag_short(tx, due)?;
    let is_new = execute(tx, "keep another content beside", &sql, row)? == 1;
    let name = [beside.recording.as_str(), beside.pbx.as_str()];
    recordings::note_lengths(tx, "WHERE r.recording = ?1 AND r.pbx = ?2", name)?;
    let entry = Entry::of_service(now, "compared", &due.id);
    let detail = format!("the PBX has other content by now, kept as {beside}");
    custody::append(tx, &entry.detail(detail))?;
    if is_new {
        let entry = Entry::of_service(now, "announced", beside);
        let detail = format!("other content under the name of {}", due.id);
        custody::append(tx, &entry.detail(detail))?;
    }
    done(tx, due, now)?;
    let sql = "SELECT state <> 'archived' FROM recording WHERE recording = ?1 AND pbx = ?2";
    let waits = first(tx, "see whether it is archived", sql, name, |row| {
        row.get(0)
    })?;
    Ok(waits.unwrap_or(true))
}

/// There is no file to compare with, for the reason given: it is asked for again, or this was the
/// last time.
pub fn missed(tx: &mut Tx, due: &Due, why: &str, now: UtcMs) -> Result<(), Error> {
    flag_short(tx, due)?;
    if due.tries + 1 >= TRIES_MAX {
        let entry = Entry::of_service(now, "not compared", &due.id);
        custody::append(tx, &entry.detail(why.to_owned()))?;
        return done(tx, due, now);
    }
    let sql = "UPDATE comparison SET due_ms = ?2, tries = tries + 1 WHERE recording_id = ?1";
    let next = now.0.saturating_add(PAUSE_MS);
    execute(tx, "put off a comparison", sql, params![due.row, next])?;
    Ok(())
}

fn done(tx: &mut Tx, due: &Due, now: UtcMs) -> Result<(), Error> {
    let sql = "UPDATE comparison SET due_ms = NULL, compared_ms = ?2 WHERE recording_id = ?1";
    execute(tx, "note a comparison", sql, params![due.row, now.0])?;
    Ok(())
}
