//! Events as people see them: a call's history, and the log with its text.

use rusqlite::params;
use schemars::JsonSchema;
use serde::Serialize;

use super::log::BEHIND_CALL;
use super::{Db, Error, all, parsed};
use crate::model::id::{CallName, EventSeq, PbxName};

/// In place of a kind, of what nobody could read.
pub const UNPARSED: &str = "unparsed";

/// An event as a call's history shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EventRow {
    #[schemars(with = "i64")]
    pub seq: EventSeq,
    pub received_at: String,
    pub kind: Option<String>,
    pub repaired: bool,
    #[schemars(with = "Option<i64>")]
    pub duplicate_of: Option<EventSeq>,
    /// Whose it is; not shown, for it decides who sees the event.
    #[serde(skip)]
    pub leg: Option<u32>,
}

/// The events behind a call, in the order of arrival. Of a delivery that holds several: its own, and
/// announcements of several calls' files; of one that holds one, whatever it names.
pub fn events_of_call(db: &Db, call_id: i64, call: &CallName) -> Result<Vec<EventRow>, Error> {
    let sql = format!(
        "SELECT e.seq, e.received_at, e.kind, e.repaired, e.duplicate_of, e.leg FROM events e \
         WHERE e.seq IN {BEHIND_CALL} AND (e.call = ?2 OR e.call IS NULL AND e.kind = 'recording' \
             OR NOT EXISTS (SELECT 1 FROM reading o WHERE o.seq = e.seq AND o.item <> e.item)) \
         ORDER BY e.seq, e.item"
    );
    all(
        db,
        "read a call's events",
        &sql,
        params![call_id, call.as_str()],
        |row| {
            Ok(EventRow {
                seq: EventSeq(row.get(0)?),
                received_at: row.get(1)?,
                kind: row.get(2)?,
                repaired: row.get(3)?,
                duplicate_of: row.get::<_, Option<i64>>(4)?.map(EventSeq),
                leg: row.get(5)?,
            })
        },
    )
}

/// An event with its text, as those who audit see it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RawEventRow {
    #[schemars(with = "i64")]
    pub seq: EventSeq,
    pub item: u32,
    pub received_at: String,
    #[schemars(with = "String")]
    pub pbx: PbxName,
    pub method: String,
    pub content_type: Option<String>,
    pub kind: Option<String>,
    pub call: Option<String>,
    pub leg: Option<u32>,
    pub repaired: bool,
    #[schemars(with = "Option<i64>")]
    pub duplicate_of: Option<EventSeq>,
    /// What is no UTF-8 in it is replaced; the index has the bytes.
    pub raw: String,
}

/// Deliveries newest first, the events of each in their order; after one of them.
pub fn events(
    db: &Db,
    pbx: Option<&PbxName>,
    kind: Option<&str>,
    after: Option<(i64, u32)>,
    most: u32,
) -> Result<Vec<RawEventRow>, Error> {
    // The few that nobody understood go by their index; of all others there are many.
    let of_kind = match kind {
        Some("unknown" | "unparsed") => "kind IN ('unknown', 'unparsed') AND kind = ?2",
        Some(_) => "kind IS ?2",
        None => "?2 IS NULL",
    };
    let sql = format!(
        "SELECT seq, item, received_at, pbx, method, content_type, kind, call, leg, \
        repaired, duplicate_of, raw FROM events \
        WHERE (?1 IS NULL OR pbx = ?1) AND {of_kind} \
          AND (?3 IS NULL OR seq <= ?3) AND (?3 IS NULL OR seq < ?3 OR item > ?4) \
        ORDER BY seq DESC, item LIMIT ?5"
    );
    let (seq, item) = after.unzip();
    let key = params![pbx.map(PbxName::as_str), kind, seq, item, most];
    all(db, "list events", &sql, key, |row| {
        Ok(RawEventRow {
            seq: EventSeq(row.get(0)?),
            item: row.get(1)?,
            received_at: row.get(2)?,
            pbx: parsed(row.get(3)?)?,
            method: row.get(4)?,
            content_type: row.get(5)?,
            kind: row.get(6)?,
            call: row.get(7)?,
            leg: row.get(8)?,
            repaired: row.get(9)?,
            duplicate_of: row.get::<_, Option<i64>>(10)?.map(EventSeq),
            raw: String::from_utf8_lossy(&row.get::<_, Vec<u8>>(11)?).into_owned(),
        })
    })
}
