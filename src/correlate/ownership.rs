//! Damaged ids: decided again whenever a leg appears or changes that might be theirs.
//!
//! The one decision that takes more than a call's own events, hence a file of its own. The rule is
//! `model::damaged`'s.

use std::collections::{BTreeMap, BTreeSet};

use super::Pbx;
use crate::model::call::Call;
use crate::model::damaged;
use crate::model::id::{CallId, LegId, PbxName};
use crate::store::damaged::{self as ends, Waiting};
use crate::store::words::Noted;
use crate::store::{Error, Tx, calls, foretold, log};

/// Settles what the changed calls, or newly damaged ids at `damaged_at`, may have decided.
pub fn settle(
    tx: &mut Tx,
    changed: &[Call],
    damaged_at: &BTreeSet<PbxName>,
    pbxs: &BTreeMap<PbxName, Pbx>,
    noted: &mut Noted,
) -> Result<(), Error> {
    let touched = changed.iter().map(|call| &call.id.pbx);
    let touched: BTreeSet<&PbxName> = touched.chain(damaged_at).collect();
    for pbx in touched {
        for waiting in ends::of_pbx(tx, pbx)? {
            let affected = waiting.owner.is_none() && damaged_at.contains(pbx)
                || changed
                    .iter()
                    .any(|call| call.id.pbx == *pbx && concerns(&waiting, call));
            if affected {
                decide(tx, pbx, &waiting, pbxs, noted)?;
            }
        }
    }
    Ok(())
}

fn concerns(waiting: &Waiting, call: &Call) -> bool {
    call.legs.iter().any(|leg| {
        let name = LegId {
            call: call.id.call.clone(),
            leg: leg.leg,
        };
        name.to_string().ends_with(&waiting.damaged.id_rest)
    })
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
