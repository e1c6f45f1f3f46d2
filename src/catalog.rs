//! The read side: what people ask of the archive. CLI and HTTP both call here and stay thin.
//!
//! Never here: how an answer is shown, or a write to what is archived.

pub mod fetch;
pub mod listen;
pub mod peaks;
mod report;
pub mod series;
pub mod status;
pub mod story;
pub mod table;
pub mod verify;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::call::Call;
use crate::model::filter::{Filter, Place};
use crate::model::id::{CallId, CallName, PbxName, RecordingId, RecordingName};
use crate::model::vendor::Vendor;
use crate::store::custody::{self, CustodyRow};
use crate::store::events::{self, EventRow};
use crate::store::recordings::Standing;
use crate::store::search::{self, AttemptRow, RecordingRow};
use crate::store::{Db, Error, calls, recordings};

/// What a failure's code means, and what a person can do about it: known to the room where failures
/// happen, and handed up.
pub type Explain = fn(code: &str) -> Option<(&'static str, &'static str)>;

/// What an id on the command line or in a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// And the leg of it, where the id is a leg's.
    Call(CallId, Option<u32>),
    Recording(RecordingId),
    Nothing,
    /// The same id at several PBXs: each whole id it may mean.
    Ambiguous(Vec<String>),
}

/// A call with the events behind it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CallDetail {
    #[serde(flatten)]
    pub call: Call,
    pub events: Vec<EventRow>,
}

/// A recording with what happened to it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecordingDetail {
    #[serde(flatten)]
    pub row: RecordingRow,
    pub history: Vec<AttemptRow>,
    pub custody: Vec<CustodyRow>,
}

pub fn recordings(db: &Db, filter: &Filter) -> Result<Vec<RecordingRow>, Error> {
    search::recordings(db, filter)
}

pub fn calls(db: &Db, filter: &Filter) -> Result<Vec<Call>, Error> {
    search::calls(db, filter)
}

/// Calls as [`calls()`] finds them, each with how its recordings stand, by leg.
pub fn calls_with_standings(db: &Db, filter: &Filter) -> Result<Vec<(Call, Vec<Standing>)>, Error> {
    let calls = calls(db, filter)?;
    let ids: Vec<&CallId> = calls.iter().map(|call| &call.id).collect();
    let mut known = recordings::standings_of_calls(db, &ids)?;
    let with_standings = |call: Call| {
        let known = known.remove(&call.id).unwrap_or_default().into_iter();
        let seen = known.filter(|one| call.leg(one.leg).is_some()).collect();
        (call, seen)
    };
    Ok(calls.into_iter().map(with_standings).collect())
}

/// Rows of a listing in one piece of a whole.
const PIECE: u32 = 1_000;

/// All that `list` finds, in order, a piece at a time: what is long is never held whole.
pub fn in_pieces<T, E: From<Error>>(
    db: &Db,
    filter: &Filter,
    list: fn(&Db, &Filter) -> Result<Vec<T>, Error>,
    place: fn(&T) -> Place,
    mut each: impl FnMut(&[T]) -> Result<(), E>,
) -> Result<(), E> {
    let mut filter = filter.clone();
    let mut left = filter.limit.unwrap_or(u32::MAX);
    while left > 0 {
        let asked = left.min(PIECE);
        filter.limit = Some(asked);
        let rows = list(db, &filter)?;
        each(&rows)?;
        if rows.len() < asked as usize {
            break;
        }
        filter.after = rows.last().map(place);
        left -= asked;
    }
    Ok(())
}

/// Finds what `text` names: a recording, a call, or a call by one of its legs, with or without the
/// PBX before it.
pub fn find(db: &Db, text: &str) -> Result<Found, Error> {
    let (pbx, name) = match text.split_once('/') {
        Some((pbx, name)) => match pbx.parse::<PbxName>() {
            Ok(pbx) => (Some(pbx), name),
            Err(_) => return Ok(Found::Nothing),
        },
        None => (None, text),
    };
    let at = |pbxs: Vec<PbxName>| -> Vec<PbxName> {
        let asked = |known: &PbxName| pbx.as_ref().is_none_or(|pbx| pbx == known);
        pbxs.into_iter().filter(asked).collect()
    };
    if let Ok(recording) = name.parse::<RecordingName>() {
        let found = at(search::pbxs_of_recording(db, name)?);
        let id = |pbx| RecordingId {
            pbx,
            recording: recording.clone(),
        };
        if let Some(found) = one(found, id, Found::Recording) {
            return Ok(found);
        }
    }
    let leg = Vendor::ThreeCx.leg_of(name);
    let of_leg = leg.as_ref().map(|leg| leg.call.clone());
    for call in name.parse::<CallName>().ok().into_iter().chain(of_leg) {
        let mut found = Vec::new();
        for pbx in at(search::pbxs_of_call(db, &call)?) {
            let has_it = match &leg {
                Some(leg) => search::has_leg(db, &pbx, leg)?,
                None => true,
            };
            found.extend(has_it.then_some(pbx));
        }
        let id = |pbx| CallId {
            pbx,
            call: call.clone(),
        };
        // What rings before anybody answers has the call's id with leg 0.
        let number = leg.as_ref().map(|leg| leg.leg).filter(|leg| *leg > 0);
        if let Some(found) = one(found, id, |call| Found::Call(call, number)) {
            return Ok(found);
        }
    }
    Ok(Found::Nothing)
}

fn one<T: ToString>(
    mut pbxs: Vec<PbxName>,
    id: impl Fn(PbxName) -> T,
    found: impl Fn(T) -> Found,
) -> Option<Found> {
    match pbxs.len() {
        0 => None,
        1 => pbxs.pop().map(|pbx| found(id(pbx))),
        _ => {
            let ids = pbxs.into_iter().map(|pbx| id(pbx).to_string());
            Some(Found::Ambiguous(ids.collect()))
        }
    }
}

pub fn call(db: &Db, id: &CallId) -> Result<Option<CallDetail>, Error> {
    let Some((row, call)) = calls::load(db, id)? else {
        return Ok(None);
    };
    let events = events::events_of_call(db, row, &id.call)?;
    Ok(Some(CallDetail { call, events }))
}

pub fn recording(db: &Db, id: &RecordingId) -> Result<Option<RecordingDetail>, Error> {
    let Some(row) = search::one_recording(db, id)? else {
        return Ok(None);
    };
    Ok(Some(RecordingDetail {
        row,
        history: search::attempts(db, id)?,
        custody: custody_of(db, id)?,
    }))
}

/// What happened to a recording, in order.
fn custody_of(db: &Db, id: &RecordingId) -> Result<Vec<CustodyRow>, Error> {
    let filter = custody::Filter {
        subject: Some(id.to_string()),
        ..custody::Filter::default()
    };
    let mut entries = custody::list(db, &filter)?;
    entries.reverse();
    Ok(entries)
}
