//! End events whose id was damaged, and the leg that was found for each.
//!
//! Never here: which leg that is (`model::damaged`, `correlate`).

use std::collections::BTreeSet;

use rusqlite::{Row, params};

use super::{Db, Error, Tx, all, execute, first, parsed};
use crate::model::damaged::{Candidate, Damaged};
use crate::model::event::Event;
use crate::model::id::{EventSeq, LegId, PbxName};

/// An end event that waits for its leg, and the leg it has, if any.
pub struct Waiting {
    pub seq: EventSeq,
    pub item: u32,
    pub damaged: Damaged,
    pub owner: Option<LegId>,
}

/// Keeps an end event whose id was damaged.
pub fn save(
    tx: &mut Tx,
    seq: EventSeq,
    item: u32,
    pbx: &PbxName,
    event: &Event,
    id_rest: &str,
) -> Result<(), Error> {
    let sql = "INSERT INTO damaged (seq, item, pbx, id_rest, user, external) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let row = params![
        seq.0,
        item,
        pbx.as_str(),
        id_rest,
        event.user,
        event.external
    ];
    execute(tx, "keep a damaged id", sql, row)?;
    Ok(())
}

const WAITING: &str = "SELECT seq, item, id_rest, user, external, call, leg FROM damaged d";

/// What may be of one of these legs: the ends of their ids go by an index, as in [`candidates`].
pub fn of_legs(db: &Db, pbx: &PbxName, legs: &BTreeSet<LegId>) -> Result<Vec<Waiting>, Error> {
    let sql = format!(
        "{WAITING} WHERE pbx = ?1 AND substr(id_rest, -6) IN (SELECT value FROM json_each(?2)) \
         UNION ALL {WAITING} WHERE pbx = ?1 AND length(id_rest) < 6"
    );
    let names: Vec<String> = legs.iter().map(LegId::to_string).collect();
    let ends: BTreeSet<&str> = names
        .iter()
        .map(|name| &name[name.len().saturating_sub(6)..])
        .collect();
    let key = params![pbx.as_str(), serde_json::json!(ends).to_string()];
    let mut found = all(db, "read damaged ids", &sql, key, waiting)?;
    let ends_a_name = |rest: &str| names.iter().any(|name| name.ends_with(rest));
    found.retain(|waiting| ends_a_name(&waiting.damaged.id_rest));
    Ok(found)
}

pub fn at(db: &Db, seq: EventSeq, item: u32) -> Result<Option<Waiting>, Error> {
    let sql = format!("{WAITING} WHERE seq = ?1 AND item = ?2");
    first(db, "read a damaged id", &sql, params![seq.0, item], waiting)
}

fn waiting(row: &Row) -> rusqlite::Result<Waiting> {
    let call: Option<String> = row.get(5)?;
    let owner = match call {
        Some(call) => Some(LegId {
            call: parsed(call)?,
            leg: row.get(6)?,
        }),
        None => None,
    };
    Ok(Waiting {
        seq: EventSeq(row.get(0)?),
        item: row.get(1)?,
        damaged: Damaged {
            id_rest: row.get(2)?,
            user: row.get(3)?,
            external: row.get(4)?,
        },
        owner,
    })
}

pub fn set_owner(
    tx: &mut Tx,
    seq: EventSeq,
    item: u32,
    owner: Option<&LegId>,
) -> Result<(), Error> {
    let sql = "UPDATE damaged SET call = ?3, leg = ?4 WHERE seq = ?1 AND item = ?2";
    let (call, leg) = (owner.map(|leg| leg.call.as_str()), owner.map(|leg| leg.leg));
    execute(
        tx,
        "settle a damaged id",
        sql,
        params![seq.0, item, call, leg],
    )?;
    Ok(())
}

/// Legs without a certain end whose id ends in the text. Six characters (`_31-1` and a digit) go by
/// the index; with fewer the rest of a damaged id shows no more than its counter, and every leg is
/// looked at.
pub fn candidates(db: &Db, pbx: &PbxName, id_rest: &str) -> Result<Vec<Candidate>, Error> {
    let select = "SELECT c.call, l.leg, l.extension, c.external, l.end_is_certain \
        FROM leg l JOIN call c ON c.id = l.call_id \
        WHERE substr(l.name, -length(?2)) = ?2 AND c.pbx = ?1 AND l.end_is_certain = 0";
    let sql = match id_rest.len() {
        0..6 => select.to_owned(),
        _ => format!("{select} AND substr(l.name, -6) = substr(?2, -6)"),
    };
    let key = params![pbx.as_str(), id_rest];
    all(db, "look for the leg of a damaged id", &sql, key, candidate)
}

fn candidate(row: &Row) -> rusqlite::Result<Candidate> {
    Ok(Candidate {
        leg: LegId {
            call: parsed(row.get(0)?)?,
            leg: row.get(1)?,
        },
        extension: row.get(2)?,
        external: row.get(3)?,
        end_is_certain: row.get(4)?,
    })
}
