//! Which recordings are claimed next: fairly between PBXs, and of each what it will delete first.
//!
//! Never here: what becomes of them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::gates::{Permit, needed};
use super::{LEASE, Limits};
use crate::model::chain::chain;
use crate::model::id::PbxName;
use crate::model::party::Party;
use crate::model::time::UtcMs;
use crate::pipeline::table::{Code, Of, codes_of};
use crate::store::away::{self, Seen};
use crate::store::claims::{self, Claim};
use crate::store::{Error, Tx};

/// What its PBX deletes so soon goes before what was not served for long.
const URGENT: Duration = Duration::from_secs(2 * 24 * 3600);
/// What waited for somebody who is back is made ripe so many at a time, as what falls due is.
const RECALLED: usize = 100;

/// One PBX's place among the others.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    pub(super) pbx: PbxName,
    pub(super) running: usize,
    /// Its last claim, of all claims; 0 where it had none.
    pub(super) last: u64,
    pub(super) limits: Limits,
}

impl Queue {
    /// The least comes first: of the PBX with the fewest running, what it will delete soon, then of
    /// the one that was served longest ago.
    fn rank(&self, announced: UtcMs, now: UtcMs) -> (usize, u64, UtcMs) {
        let deleted = announced.plus(self.limits.source_keeps);
        let is_urgent = now <= deleted && deleted < now.plus(URGENT);
        let turn = if is_urgent { 0 } else { self.last + 1 };
        (self.running, turn, deleted)
    }
}

/// How many recordings may run at a time, and how many more now.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) workers: usize,
    pub(super) free: usize,
}

impl Places {
    /// A place is kept for each PBX of which none runs, as far as half of them go: others that
    /// answer a byte a second would hold them all.
    fn are_for(&self, queue: &Queue, without: usize) -> bool {
        let kept = without.min(self.workers / 2);
        queue.running < queue.limits.concurrency && (queue.running == 0 || self.free > kept)
    }
}

/// Whom recordings may need, at this moment.
pub(super) struct Permits {
    pub(super) pbxs: BTreeMap<PbxName, Permit>,
    pub(super) store: Permit,
    pub(super) room: Permit,
    /// What waits for them is to be tried.
    pub(super) back: Vec<Party>,
    /// How long until the first of those who are away may be tried.
    pub(super) rest: Option<Duration>,
}

impl Permits {
    fn of(&self, party: &Party) -> Permit {
        match party {
            Party::Pbx(pbx) => self.pbxs.get(pbx).copied().unwrap_or(Permit::None),
            Party::Store => self.store,
            Party::Room => self.room,
        }
    }

    fn allow(&self, needed: &[Party]) -> bool {
        needed.iter().all(|party| self.of(party) != Permit::None)
    }

    /// The one that tries whether they are back is found.
    fn use_up(&mut self, needed: &[Party]) {
        for party in needed {
            let permit = match party {
                Party::Pbx(pbx) => self.pbxs.get_mut(pbx),
                Party::Store => Some(&mut self.store),
                Party::Room => Some(&mut self.room),
            };
            if let Some(permit @ Permit::One) = permit {
                *permit = Permit::None;
            }
        }
    }

    /// Whoever is away without being noted so: somebody asks that they are tried at once.
    fn ask(&mut self, noted: &[Seen]) -> Vec<Party> {
        let pbxs = self.pbxs.iter_mut();
        let permits = pbxs.map(|(pbx, permit)| (Party::Pbx(pbx.clone()), permit));
        let others = [
            (Party::Store, &mut self.store),
            (Party::Room, &mut self.room),
        ];
        let mut asked = Vec::new();
        for (party, permit) in permits.chain(others) {
            if *permit == Permit::None && noted.iter().all(|seen| seen.party != party) {
                *permit = Permit::One;
                asked.push(party);
            }
        }
        asked
    }

    /// Those who are away and may be tried.
    fn to_try(&self) -> Vec<Party> {
        let all = self.pbxs.keys().cloned().map(Party::Pbx);
        let all = all.chain([Party::Store, Party::Room]);
        all.filter(|party| self.of(party) == Permit::One).collect()
    }
}

/// What may be started, and what was learnt on the way.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) claims: Vec<Claim>,
    /// Somebody asks that they are tried at once.
    pub(super) asked: Vec<Party>,
    /// Nothing waits for them any more.
    pub(super) recalled: Vec<Party>,
    /// They are away, and there is nothing to try them with.
    pub(super) not_needed: Vec<Party>,
}

/// Claims in one transaction what may run now, fairly between PBXs, and of each the recording that
/// it will delete first.
pub(super) fn choose(
    tx: &mut Tx,
    now: UtcMs,
    places: Places,
    mut queues: Vec<Queue>,
    mut permits: Permits,
) -> Result<Chosen, Error> {
    let mut chosen = Chosen::default();
    for party in &permits.back {
        away::forget(tx, party)?;
        if recall(tx, party, &queues, RECALLED, now)? < RECALLED {
            chosen.recalled.push(party.clone());
        }
    }
    for queue in &queues {
        claims::ripen(tx, &queue.pbx, now)?;
    }
    chosen.asked = permits.ask(&away::all_seen(tx)?);
    let free = places.free;
    chosen.claims = claim(tx, now, places, &mut queues, &mut permits)?;
    // Nothing is due that needs those who may be tried: what waits for them is tried before its time.
    let to_try = permits.to_try();
    for party in &to_try {
        recall(tx, party, &queues, 1, now)?;
    }
    if !to_try.is_empty() && chosen.claims.len() < free {
        let places = Places {
            free: free - chosen.claims.len(),
            ..places
        };
        let more = claim(tx, now, places, &mut queues, &mut permits)?;
        chosen.claims.extend(more);
        chosen.not_needed = permits.to_try();
    }
    Ok(chosen)
}

/// Makes ripe what waits for somebody.
fn recall(
    tx: &mut Tx,
    party: &Party,
    queues: &[Queue],
    limit: usize,
    now: UtcMs,
) -> Result<usize, Error> {
    let (of, only) = match party {
        Party::Pbx(pbx) => (Of::Pbx, Some(pbx)),
        Party::Store => (Of::Store, None),
        Party::Room => (Of::Room, None),
    };
    let pbxs = queues.iter().map(|queue| &queue.pbx);
    let pbxs = pbxs.filter(|pbx| only.is_none_or(|only| only == *pbx));
    let pbxs: Vec<PbxName> = pbxs.cloned().collect();
    away::recall(tx, &pbxs, &codes_of(of), limit, now)
}

fn claim(
    tx: &mut Tx,
    now: UtcMs,
    mut places: Places,
    queues: &mut [Queue],
    permits: &mut Permits,
) -> Result<Vec<Claim>, Error> {
    let mut claimed = Vec::new();
    let mut nth = queues.iter().map(|queue| queue.last).max().unwrap_or(0);
    while places.free > 0 {
        let without = queues.iter().filter(|queue| queue.running == 0).count();
        let mut next: Option<(_, &mut Queue, i64, Vec<Party>)> = None;
        for queue in queues
            .iter_mut()
            .filter(|queue| places.are_for(queue, without))
        {
            let Some((row, announced, needed)) = oldest(tx, &queue.pbx, permits)? else {
                continue;
            };
            let rank = queue.rank(announced, now);
            if next.as_ref().is_none_or(|(best, ..)| rank < *best) {
                next = Some((rank, queue, row, needed));
            }
        }
        let Some((_, queue, row, needed)) = next else {
            break;
        };
        nth += 1;
        (queue.running, queue.last) = (queue.running + 1, nth);
        places.free -= 1;
        permits.use_up(&needed);
        match claims::claim(tx, row, now, now.plus(LEASE)) {
            Ok(claim) => claimed.extend(claim),
            Err(error) if error.is_of_a_row() => set_aside(tx, row, &error)?,
            Err(error) => return Err(error),
        }
    }
    Ok(claimed)
}

/// The oldest ripe recording of a PBX that may be started now, and whom it needs. What must come
/// from the PBX goes before what lies on our disk already.
fn oldest(
    tx: &Tx,
    pbx: &PbxName,
    permits: &Permits,
) -> Result<Option<(i64, UtcMs, Vec<Party>)>, Error> {
    for is_at_hand in [false, true] {
        let needed = needed(pbx, is_at_hand);
        if !permits.allow(&needed) {
            continue;
        }
        if let Some((row, announced)) = claims::oldest_ripe(tx, pbx, is_at_hand)? {
            return Ok(Some((row, announced, needed)));
        }
    }
    Ok(None)
}

fn set_aside(tx: &mut Tx, row: i64, error: &Error) -> Result<(), Error> {
    let why = chain(error);
    tracing::error!(row, error = why, "a recording's row cannot be read");
    claims::set_aside(tx, row, Code::IndexRow.row().code, &why)
}
