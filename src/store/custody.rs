//! Who did what to which recording: append-only, each entry carrying the SHA-256 of the one before.
//!
//! An entry is written in the transaction of what it records, or neither is.

use rusqlite::params;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Db, Error, Tx, all, each, execute, first};
use crate::model::digest::Digest;
use crate::model::time::UtcMs;

/// What is recorded. `address`, `reason`, `case` and `detail` may be unknown.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    pub at: UtcMs,
    pub actor: String,
    pub address: Option<String>,
    pub act: &'static str,
    pub subject: String,
    pub reason: Option<String>,
    pub case: Option<String>,
    pub detail: Option<String>,
}

impl Entry {
    /// An act of the service itself.
    pub fn of_service(at: UtcMs, act: &'static str, subject: &impl ToString) -> Entry {
        Entry {
            at,
            actor: "callvault".to_owned(),
            act,
            subject: subject.to_string(),
            ..Entry::default()
        }
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Entry {
        self.detail = Some(detail.into());
        self
    }

    fn stored(&self) -> Stored {
        Stored {
            at: self.at,
            actor: self.actor.clone(),
            address: self.address.clone(),
            act: self.act.to_owned(),
            subject: self.subject.clone(),
            reason: self.reason.clone(),
            case: self.case.clone(),
            detail: self.detail.clone(),
        }
    }
}

/// An entry as it lies in the index, where its act is any text.
struct Stored {
    at: UtcMs,
    actor: String,
    address: Option<String>,
    act: String,
    subject: String,
    reason: Option<String>,
    case: Option<String>,
    detail: Option<String>,
}

impl Stored {
    /// What is hashed: a JSON array of the view's columns in their order, without spaces, up to
    /// and with the previous entry's digest.
    fn digest(&self, seq: i64, previous: &Digest) -> Digest {
        let canonical = serde_json::json!([
            seq,
            self.at,
            self.actor,
            self.address,
            self.act,
            self.subject,
            self.reason,
            self.case,
            self.detail,
            previous,
        ]);
        Digest::of(canonical.to_string().as_bytes())
    }
}

/// What a listing of entries asks for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// A person also without the token's name behind it.
    pub actor: Option<String>,
    pub subject: Option<String>,
    pub act: Option<String>,
    /// Inclusive, and exclusive.
    pub from: Option<UtcMs>,
    pub to: Option<UtcMs>,
    /// Only entries before this one, newest first: the next page of a listing.
    pub before: Option<i64>,
    pub limit: Option<u32>,
}

/// An entry as every output shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CustodyRow {
    pub seq: i64,
    pub at: String,
    pub actor: String,
    pub address: Option<String>,
    pub act: String,
    pub subject: String,
    pub reason: Option<String>,
    pub case: Option<String>,
    pub detail: Option<String>,
    pub previous_sha256: String,
    pub sha256: String,
}

/// Entries newest first.
pub fn list(db: &Db, filter: &Filter) -> Result<Vec<CustodyRow>, Error> {
    // Only of what is asked for: beside `?1 IS NULL OR` no index is used.
    let conditions = [
        (filter.subject.is_some(), "subject = ?2"),
        (filter.act.is_some(), "act = ?3"),
        (filter.from.is_some(), "at >= ?4"),
        (filter.to.is_some(), "at < ?5"),
        (filter.before.is_some(), "seq < ?6"),
    ];
    let asked = conditions.iter().filter(|(is_asked, _)| *is_asked);
    let asked: String = asked.map(|(_, sql)| format!(" AND {sql}")).collect();
    let select = r#"SELECT seq, at, actor, address, act, subject, reason, "case", detail,
        previous_sha256, sha256 FROM custody"#;
    let entries = match filter.actor {
        None => format!("{select} WHERE true{asked}"),
        // Each in its own order: most are of the service itself, too many to be sorted.
        Some(_) => format!(
            "{select} WHERE actor = ?1{asked} \
             UNION ALL {select} WHERE actor > ?1 || ' (' AND actor < ?1 || ' )'{asked}"
        ),
    };
    let sql = format!("{entries} ORDER BY seq DESC LIMIT ?7");
    let row = params![
        filter.actor,
        filter.subject,
        filter.act,
        filter.from.map(|at| at.to_string()),
        filter.to.map(|at| at.to_string()),
        filter.before,
        filter.limit.map_or(-1, i64::from),
    ];
    all(db, "list custody entries", &sql, row, |row| {
        Ok(CustodyRow {
            seq: row.get(0)?,
            at: row.get(1)?,
            actor: row.get(2)?,
            address: row.get(3)?,
            act: row.get(4)?,
            subject: row.get(5)?,
            reason: row.get(6)?,
            case: row.get(7)?,
            detail: row.get(8)?,
            previous_sha256: row.get(9)?,
            sha256: row.get(10)?,
        })
    })
}

/// Where the chain of entries is broken first, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    Missing { seq: i64 },
    NotAfter { seq: i64 },
    Changed { seq: i64 },
}

/// Walks the whole chain; how many entries there are, or where it breaks.
pub fn verify(db: &Db) -> Result<Result<u64, Broken>, Error> {
    let sql = "SELECT seq, at_ms, actor, address, act, subject, reason, case_number, detail, \
        previous_sha256, sha256 FROM custody_entry ORDER BY seq";
    let (mut expected, mut previous) = (1i64, Digest::from_bytes([0; 32]));
    let mut broken = None;
    each(db, "walk the custody entries", sql, [], |row| {
        let seq: i64 = row.get(0)?;
        let entry = Stored {
            at: UtcMs(row.get(1)?),
            actor: row.get(2)?,
            address: row.get(3)?,
            act: row.get(4)?,
            subject: row.get(5)?,
            reason: row.get(6)?,
            case: row.get(7)?,
            detail: row.get(8)?,
        };
        let (before, own) = (
            Digest::from_bytes(row.get(9)?),
            Digest::from_bytes(row.get(10)?),
        );
        broken = if seq != expected {
            Some(Broken::Missing { seq: expected })
        } else if before != previous {
            Some(Broken::NotAfter { seq })
        } else if entry.digest(seq, &previous) != own {
            Some(Broken::Changed { seq })
        } else {
            None
        };
        (expected, previous) = (seq + 1, own);
        Ok(broken.is_none())
    })?;
    Ok(broken.map_or(Ok((expected - 1) as u64), Err))
}

/// Lets an act on a subject be entered once in so long: whether it is to be entered now.
pub fn is_first(
    tx: &mut Tx,
    actor: &str,
    subject: &str,
    act: &str,
    now: UtcMs,
    until: UtcMs,
) -> Result<bool, Error> {
    let sql = "INSERT INTO entered (actor, subject, act, until_ms) VALUES (?1, ?2, ?3, ?5) \
        ON CONFLICT DO UPDATE SET until_ms = excluded.until_ms WHERE until_ms <= ?4";
    let row = params![actor, subject, act, now.0, until.0];
    Ok(execute(tx, "note that an act was entered", sql, row)? == 1)
}

pub fn append(tx: &mut Tx, entry: &Entry) -> Result<(), Error> {
    let last = "SELECT seq, sha256 FROM custody_entry ORDER BY seq DESC LIMIT 1";
    let (last, previous) = first(tx, "read the last custody entry", last, [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?))
    })?
    .unwrap_or((0, [0; 32]));
    let (seq, previous) = (last + 1, Digest::from_bytes(previous));
    let sql = "INSERT INTO custody_entry (seq, at_ms, actor, address, act, subject, reason, \
        case_number, detail, previous_sha256, sha256) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let sha256 = entry.stored().digest(seq, &previous);
    let row = params![
        seq,
        entry.at.0,
        entry.actor,
        entry.address,
        entry.act,
        entry.subject,
        entry.reason,
        entry.case,
        entry.detail,
        previous.as_bytes(),
        sha256.as_bytes(),
    ];
    execute(tx, "append a custody entry", sql, row)?;
    Ok(())
}
