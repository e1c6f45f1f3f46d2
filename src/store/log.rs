//! The event log: what came, and how far it has been read.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rusqlite::{Params, Row, params};

use super::{Db, Error, One, Tx, all, each, execute, first, parsed};
use crate::model::digest::Digest;
use crate::model::event::{Kind, Logged, Reading};
use crate::model::id::{CallName, EventSeq, LegId, PbxName};
use crate::model::manifest::RawEvent;
use crate::model::time::UtcMs;
use crate::model::vendor::Vendor;

/// One delivery as it came in, not yet logged.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub pbx: PbxName,
    pub received: UtcMs,
    /// From the PBX as it happened; false for backfill, and for what says nothing.
    pub live: bool,
    pub method: String,
    pub content_type: Option<String>,
    /// The request target, its secret taken out.
    pub target: Option<Vec<u8>>,
    pub peer: Option<String>,
    /// The body, or where that is empty the query string.
    pub raw: Vec<u8>,
}

/// The method of a delivery that nobody sent: the service found a file that was not announced.
pub const FORETOLD: &str = "FORETOLD";

/// How a vendor is found for a PBX's name; a PBX that the settings no longer name has none.
pub type VendorOf<'a> = &'a dyn Fn(&PbxName) -> Option<Vendor>;

pub fn append(one: One, delivery: &Delivery) -> Result<EventSeq, Error> {
    let sql = "INSERT INTO delivery \
        (pbx, received_ms, live, method, content_type, target, peer, raw, raw_key) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let row = params![
        delivery.pbx.as_str(),
        delivery.received.0,
        delivery.live,
        delivery.method,
        delivery.content_type,
        delivery.target,
        delivery.peer,
        delivery.raw,
        raw_key(&delivery.raw),
    ];
    one.insert("log a delivery", sql, row).map(EventSeq)
}

/// Writes as an event does, down to the disk; another value each time, for SQLite leaves alone what
/// is there already.
pub fn rehearse(tx: &mut Tx) -> Result<(), Error> {
    let sql = "UPDATE progress SET rehearsed = 1 - rehearsed";
    execute(tx, "rehearse logging an event", sql, [])?;
    Ok(())
}

/// Where equal deliveries lie in their index: equal bytes have equal keys, others seldom. What is of
/// one minute lies together where a call's stamp can be seen in it, and there what is of one call, so
/// that the index is written at its end and not all over.
fn raw_key(raw: &[u8]) -> i64 {
    const BELOW_MINUTE_BITS: u32 = 29;
    const BELOW_CALL_BITS: u32 = 12;
    let hash = Digest::of(raw).as_bytes()[..4]
        .iter()
        .fold(0, |hash, byte| hash << 8 | i64::from(*byte));
    let within = |bits: u32| (1 << bits) - 1;
    let stamped = raw
        .windows(14)
        .position(|text| text[12] == b'_' && text[..12].iter().all(u8::is_ascii_digit));
    let Some(at) = stamped else {
        return hash & within(BELOW_MINUTE_BITS);
    };
    let number = |digits: &[u8]| {
        let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0i64, |number, digit| {
            number
                .wrapping_mul(10)
                .wrapping_add(i64::from(digit - b'0'))
        })
    };
    let (minute, call) = (number(&raw[at..at + 10]), number(&raw[at + 13..]));
    let call = call << BELOW_CALL_BITS & within(BELOW_MINUTE_BITS);
    minute << BELOW_MINUTE_BITS | call | hash & within(BELOW_CALL_BITS)
}

/// Logs deliveries of which fewer copies are in the log than is said beside each; returns how many
/// were missing.
pub fn append_missing(tx: &mut Tx, deliveries: &[(Delivery, u64)]) -> Result<u64, Error> {
    let sql = "SELECT count(*) FROM delivery WHERE raw_key = ?1 AND pbx = ?2 AND raw = ?3";
    let mut logged = 0;
    for (delivery, copies) in deliveries {
        let key = params![raw_key(&delivery.raw), delivery.pbx.as_str(), delivery.raw];
        let there: Option<i64> = first(tx, "count equal deliveries", sql, key, |row| row.get(0))?;
        if (there.unwrap_or(0) as u64) < *copies {
            append(tx.one(), delivery)?;
            logged += 1;
        }
    }
    Ok(logged)
}

/// The sequence number of the newest delivery.
pub fn last(db: &Db) -> Result<EventSeq, Error> {
    let sql = "SELECT max(seq) FROM delivery";
    let last = first(db, "see where the log ends", sql, [], |row| row.get(0))?;
    Ok(EventSeq(last.flatten().unwrap_or(0)))
}

/// The sequence number up to which the log has been read.
pub fn correlated(db: &Db) -> Result<EventSeq, Error> {
    let sql = "SELECT correlated FROM progress";
    let at = first(db, "see how far the log was read", sql, [], |row| {
        row.get(0)
    })?;
    Ok(EventSeq(at.unwrap_or(0)))
}

/// Moves the mark, unless another process moved it meanwhile; false then, and nothing may be kept.
pub fn move_correlated(tx: &mut Tx, from: EventSeq, to: EventSeq) -> Result<bool, Error> {
    let sql = "UPDATE progress SET correlated = ?2 WHERE correlated = ?1";
    let moved = execute(
        tx,
        "note how far the log was read",
        sql,
        params![from.0, to.0],
    )?;
    Ok(moved == 1)
}

const LOGGED: &str =
    "SELECT d.seq, d.pbx, d.received_ms, d.live, d.raw, d.method, d.target FROM delivery d";
/// The same body beside another query may be another event.
const UNREAD: &str = "SELECT d.seq, d.pbx, d.received_ms, d.live, d.raw, d.method, d.target, \
    (SELECT min(o.seq) FROM delivery o WHERE o.raw_key = d.raw_key AND o.pbx = d.pbx \
        AND o.raw = d.raw AND o.seq < d.seq \
        AND (d.target IS NULL OR instr(d.target, x'3f') = 0 \
            OR substr(d.target, instr(d.target, x'3f') + 1) = d.raw \
            OR o.target IS NULL OR o.target = d.target)) \
    FROM delivery d";

/// A delivery to be read.
pub struct Unread {
    pub seq: EventSeq,
    pub pbx: PbxName,
    /// None without a vendor: it is passed over, and stays visible as not read yet.
    pub logged: Option<Logged>,
    /// The first delivery of the same PBX with the same bytes, if this one is not it.
    pub duplicate_of: Option<EventSeq>,
}

/// Not many bytes at once.
fn to_be_read(
    db: &Db,
    sql: &str,
    key: impl Params,
    vendor: VendorOf,
) -> Result<Vec<Unread>, Error> {
    const BYTES_MAX: usize = 16 * 1024 * 1024;
    let (mut unread, mut bytes) = (Vec::new(), 0);
    each(db, "read the event log", sql, key, |row| {
        unread.push(Unread {
            seq: EventSeq(row.get(0)?),
            pbx: parsed(row.get(1)?)?,
            logged: logged(row, vendor)?,
            duplicate_of: row.get::<_, Option<i64>>(7)?.map(EventSeq),
        });
        bytes += row.get_ref(4)?.as_blob()?.len();
        Ok(bytes < BYTES_MAX)
    })?;
    Ok(unread)
}

/// The next deliveries that nobody has read yet, oldest first.
pub fn unread(db: &Db, after: EventSeq, most: u32, vendor: VendorOf) -> Result<Vec<Unread>, Error> {
    let sql = format!("{UNREAD} WHERE d.seq > ?1 ORDER BY d.seq LIMIT ?2");
    to_be_read(db, &sql, params![after.0, most], vendor)
}

/// Deliveries that were passed over, of PBXs that are known now.
pub fn passed_over(
    db: &Db,
    pbxs: &[&PbxName],
    most: u32,
    vendor: VendorOf,
) -> Result<Vec<Unread>, Error> {
    let sql = format!(
        "{UNREAD} JOIN passed_over p ON p.seq = d.seq \
         WHERE p.pbx IN (SELECT value FROM json_each(?1)) ORDER BY d.seq LIMIT ?2"
    );
    let pbxs = serde_json::json!(pbxs).to_string();
    to_be_read(db, &sql, params![pbxs, most], vendor)
}

pub fn pass_over(tx: &mut Tx, seq: EventSeq, pbx: &PbxName) -> Result<(), Error> {
    let sql = "INSERT OR IGNORE INTO passed_over (seq, pbx) VALUES (?1, ?2)";
    execute(
        tx,
        "pass a delivery over",
        sql,
        params![seq.0, pbx.as_str()],
    )?;
    Ok(())
}

/// Takes a delivery from those passed over; false where somebody else did.
pub fn take_up(tx: &mut Tx, seq: EventSeq) -> Result<bool, Error> {
    let sql = "DELETE FROM passed_over WHERE seq = ?1";
    Ok(execute(tx, "take a delivery up again", sql, [seq.0])? == 1)
}

/// The deliveries behind a call: those that name it, and those whose damaged id was found to.
pub(super) const BEHIND_CALL: &str = "(SELECT seq FROM call_delivery WHERE call_id = ?1 \
    UNION SELECT m.seq FROM damaged m JOIN call c ON c.pbx = m.pbx AND c.call = m.call \
    WHERE c.id = ?1)";

/// All that was ever delivered about a call, with the legs found for damaged ids.
pub fn of_call(db: &Db, call_id: i64, vendor: VendorOf) -> Result<Vec<Logged>, Error> {
    let sql = format!("{LOGGED} WHERE d.seq IN {BEHIND_CALL} ORDER BY d.seq");
    let what = "read the events of a call";
    let rows = all(db, what, &sql, [call_id], |row| logged(row, vendor))?;
    let mut events: Vec<Logged> = rows.into_iter().flatten().collect();
    for (seq, item, leg) in attached(db, call_id)? {
        let events = events.iter_mut().filter(|event| event.seq == seq);
        events.for_each(|event| event.attached.push((item, leg.clone())));
    }
    Ok(events)
}

/// The deliveries behind a call as they came, for its manifest.
pub fn history_of_call(db: &Db, call_id: i64) -> Result<Vec<RawEvent>, Error> {
    let sql = format!("{HISTORY} WHERE seq IN {BEHIND_CALL} ORDER BY seq");
    all(
        db,
        "read the deliveries of a call",
        &sql,
        [call_id],
        raw_event,
    )
}

pub fn history_of_delivery(db: &Db, seq: EventSeq) -> Result<Vec<RawEvent>, Error> {
    let sql = format!("{HISTORY} WHERE seq = ?1");
    all(db, "read a delivery", &sql, [seq.0], raw_event)
}

const HISTORY: &str = "SELECT seq, received_ms, method, content_type, raw, target FROM delivery";

fn raw_event(row: &Row) -> rusqlite::Result<RawEvent> {
    let raw: Vec<u8> = row.get(4)?;
    let query = query_beside(&raw, row.get_ref(5)?.as_blob_or_null()?);
    Ok(RawEvent::new(
        EventSeq(row.get(0)?),
        UtcMs(row.get(1)?),
        row.get(2)?,
        row.get(3)?,
        raw,
        query,
    ))
}

/// The query of a delivery that has a body as well.
fn query_beside<'t>(raw: &[u8], target: Option<&'t [u8]>) -> Option<&'t [u8]> {
    let target = target?;
    let at = target.iter().position(|byte| *byte == b'?')?;
    Some(&target[at + 1..]).filter(|query| !query.is_empty() && *query != raw)
}

fn logged(row: &Row, vendor: VendorOf) -> rusqlite::Result<Option<Logged>> {
    let pbx: PbxName = parsed(row.get(1)?)?;
    let Some(vendor) = vendor(&pbx) else {
        return Ok(None);
    };
    let seq = EventSeq(row.get(0)?);
    Ok(Some(Logged {
        seq,
        pbx,
        received: UtcMs(row.get(2)?),
        live: row.get(3)?,
        readings: readings(
            seq,
            vendor,
            row.get_ref(4)?.as_blob()?,
            row.get_ref(6)?.as_blob_or_null()?,
        ),
        foretold: row.get::<_, String>(5)? == FORETOLD,
        attached: Vec::new(),
    }))
}

/// What a delivery says: by its body, or where that tells of no event, by the query beside it.
fn readings(seq: EventSeq, vendor: Vendor, raw: &[u8], target: Option<&[u8]>) -> Arc<[Reading]> {
    let found = read(seq, vendor, raw);
    let query = query_beside(raw, target).filter(|_| !tells(&found));
    let other = query.map(|query| read(seq, vendor, query));
    other.filter(|other| tells(other)).unwrap_or(found)
}

fn tells(readings: &[Reading]) -> bool {
    let mut events = readings.iter().filter_map(Reading::event);
    events.any(|event| event.kind != Kind::Unknown)
}

/// A panic on one delivery marks that one, and stops nothing.
fn read(seq: EventSeq, vendor: Vendor, raw: &[u8]) -> Arc<[Reading]> {
    let read = catch_unwind(AssertUnwindSafe(|| vendor.read(raw)));
    let read = read.unwrap_or_else(|_| {
        tracing::error!(%seq, "reading an event panicked");
        vec![Reading::NotUnderstood]
    });
    read.into()
}

/// The legs of a call that were found for damaged ids.
fn attached(db: &Db, call_id: i64) -> Result<Vec<(EventSeq, u32, LegId)>, Error> {
    let sql = "SELECT m.seq, m.item, m.call, m.leg FROM call c \
        CROSS JOIN damaged m ON m.pbx = c.pbx AND m.call = c.call WHERE c.id = ?1";
    all(
        db,
        "read what a damaged id belongs to",
        sql,
        [call_id],
        |row| {
            let call: CallName = parsed(row.get(2)?)?;
            let leg = row.get(3)?;
            Ok((EventSeq(row.get(0)?), row.get(1)?, LegId { call, leg }))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::raw_key;
    use crate::store::Store;

    /// An index is written at its end where what comes next lies next to what came last.
    #[test]
    fn equal_bytes_have_one_key_and_what_is_of_one_call_lies_together() {
        let said = |event: &str, call: &str| format!(r#"{{"Event":"{event}","Id":"{call}-1"}}"#);
        let key = |event, call| raw_key(said(event, call).as_bytes());
        assert_eq!(
            key("ringing", "230307142318_40"),
            key("ringing", "230307142318_40")
        );
        assert_ne!(
            key("ringing", "230307142318_40"),
            key("incoming", "230307142318_40")
        );
        let calls = [
            "230307142318_40",
            "230307142318_41",
            "230307142318_110",
            "230307142400_7",
        ];
        let ordered: Vec<i64> = calls
            .into_iter()
            .flat_map(|call| {
                [
                    key("ringing", call).min(key("incoming", call)),
                    key("ringing", call).max(key("incoming", call)),
                ]
            })
            .collect();
        assert!(ordered.is_sorted(), "{ordered:?}");
        for odd in ["", "230307142318_", "999999999999_9223372036854775809"] {
            assert!(raw_key(odd.as_bytes()) >= 0, "{odd}");
        }
    }

    /// SQLite writes nothing where nothing changes, and would be well on a disk that is not.
    #[tokio::test]
    async fn a_rehearsal_goes_to_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.sqlite");
        let store = Store::open(&path).unwrap();
        let wal_bytes = || {
            std::fs::metadata(path.with_extension("sqlite-wal"))
                .unwrap()
                .len()
        };
        for _ in 0..3 {
            let before = wal_bytes();
            store.rehearse().await.unwrap();
            assert!(wal_bytes() > before);
        }
    }
}
