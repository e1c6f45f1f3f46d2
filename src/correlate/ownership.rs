//! Damaged ids: decided again whenever a leg appears or changes that might be theirs.
//!
//! The one decision that takes more than a call's own events, hence a file of its own. The rule is
//! `model::damaged`'s.

use std::collections::{BTreeMap, BTreeSet};

use super::Pbx;
use crate::model::call::Call;
use crate::model::damaged;
use crate::model::id::{CallId, EventSeq, LegId, PbxName};
use crate::store::damaged::{self as ends, Waiting};
use crate::store::words::Noted;
use crate::store::{Error, Tx, calls, foretold, log};

/// Settles what the changed calls may have decided, and newly damaged ids.
pub fn settle(
    tx: &mut Tx,
    changed: &[Call],
    newly_damaged: &[(&PbxName, EventSeq, u32)],
    pbxs: &BTreeMap<PbxName, Pbx>,
    noted: &mut Noted,
) -> Result<(), Error> {
    let mut legs: BTreeMap<&PbxName, BTreeSet<LegId>> = BTreeMap::new();
    for call in changed {
        let named = call.legs.iter().map(|leg| LegId {
            call: call.id.call.clone(),
            leg: leg.leg,
        });
        legs.entry(&call.id.pbx).or_default().extend(named);
    }
    for (pbx, legs) in legs {
        for waiting in ends::of_legs(tx, pbx, &legs)? {
            decide(tx, pbx, &waiting, pbxs, noted)?;
        }
    }
    for (pbx, seq, item) in newly_damaged {
        if let Some(waiting) = ends::at(tx, *seq, *item)? {
            decide(tx, pbx, &waiting, pbxs, noted)?;
        }
    }
    Ok(())
}

fn decide(
    tx: &mut Tx,
    pbx: &PbxName,
    waiting: &Waiting,
    pbxs: &BTreeMap<PbxName, Pbx>,
    noted: &mut Noted,
) -> Result<(), Error> {
    let candidates = ends::candidates(tx, pbx, &waiting.damaged.id_rest)?;
    let owner = damaged::owner(&waiting.damaged, &candidates);
    if owner == waiting.owner {
        return Ok(());
    }
    ends::set_owner(tx, waiting.seq, waiting.item, owner.as_ref())?;
    for leg in waiting.owner.iter().chain(&owner) {
        let id = CallId {
            pbx: pbx.clone(),
            call: leg.call.clone(),
        };
        let row = calls::row(tx, &id)?;
        refold(tx, row, id, pbxs, noted)?;
    }
    Ok(())
}

fn refold(
    tx: &mut Tx,
    row: i64,
    id: CallId,
    pbxs: &BTreeMap<PbxName, Pbx>,
    noted: &mut Noted,
) -> Result<(), Error> {
    let vendor = |name: &PbxName| pbxs.get(name).map(|pbx| pbx.vendor);
    let events = log::of_call(tx, row, &vendor)?;
    let Some(pbx) = pbxs.get(&id.pbx) else {
        return Ok(());
    };
    let call = Call::fold(id, &pbx.zone, &events);
    calls::save(tx, row, &call, noted)?;
    // The end that was found may be the only one there is.
    foretold::expect(tx, row, &call)
}
