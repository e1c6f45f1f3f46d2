//! Who did what to which recording: append-only, each entry carrying the SHA-256 of the one before.
//!
//! An entry is written in the transaction of what it records, or neither is.

use rusqlite::params;

use super::{Error, Tx, execute, first};
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
    let sha256 = entry.digest(seq, &previous);
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
