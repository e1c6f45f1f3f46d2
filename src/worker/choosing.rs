//! Which recordings are claimed next: fairly between PBXs, and of each what it will delete first.
//!
//! Never here: what becomes of them.

use std::collections::BTreeMap;
use std::slice;
use std::time::Duration;

use super::gates::{Gates, Permit, Standing, needed};
use super::{LEASE, Limits};
use crate::clock::Mark;
use crate::model::chain::chain;
use crate::model::id::PbxName;
use crate::model::party::Party;
use crate::model::time::UtcMs;
use crate::pipeline::table::{Code, Of, codes_of};
use crate::store::away;
use crate::store::claims::{self, Claim, Turn};
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

/// Who failed and did not work since, and what is to be done about it.
pub(super) struct Permits {
    standings: BTreeMap<Party, Standing>,
    /// What waits for them is to be tried.
    back: Vec<Party>,
    /// Which recording tries somebody who is away.
    turns: BTreeMap<(PbxName, bool), Turn>,
}

impl Permits {
    pub(super) fn at(gates: &Gates, now: Mark) -> Permits {
        Permits {
            standings: gates.standings(now),
            back: gates.back(now),
            turns: gates.turns(),
        }
    }

    fn of(&self, party: &Party) -> Permit {
        let standing = self.standings.get(party);
        standing.map_or(Permit::All, |standing| standing.permit)
    }

    fn allow(&self, needed: &[Party]) -> bool {
        needed.iter().all(|party| self.of(party) != Permit::None)
    }

    /// The one that tries them is found.
    fn use_up(&mut self, needed: &[Party]) {
        for party in needed {
            if let Some(standing) = self.standings.get_mut(party) {
                standing.is_due = false;
                if standing.permit == Permit::One {
                    standing.permit = Permit::None;
                }
            }
        }
    }

    /// Somebody asks that they are tried at once.
    fn ask(&mut self, asked: &[Party]) {
        for party in asked {
            if let Some(standing) = self.standings.get_mut(party) {
                standing.is_due = true;
                if standing.permit == Permit::None {
                    standing.permit = Permit::One;
                }
            }
        }
    }

    /// Those that it is time to try.
    fn due(&self) -> Vec<Party> {
        let due = self
            .standings
            .iter()
            .filter(|(_, standing)| standing.is_due);
        due.map(|(party, _)| party.clone()).collect()
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
    /// There is nothing to try them with.
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
    for seen in away::all_seen(tx)? {
        let standing = permits.standings.get(&seen.party);
        if standing.is_none_or(|standing| !standing.is_away) {
            away::forget(tx, &seen.party)?;
        }
    }
    chosen.asked = away::take_wishes(tx, now)?;
    permits.ask(&chosen.asked);
    let pbxs: Vec<PbxName> = queues.iter().map(|queue| queue.pbx.clone()).collect();
    for party in &permits.back {
        if recall(tx, party, (&pbxs, None), RECALLED, now)? < RECALLED {
            chosen.recalled.push(party.clone());
        }
    }
    for pbx in &pbxs {
        if [false, true]
            .iter()
            .any(|at_hand| permits.allow(&needed(pbx, *at_hand)))
        {
            claims::ripen(tx, pbx, now)?;
        }
    }
    let free = places.free;
    chosen.claims = claim(tx, now, places, &mut queues, &mut permits)?;
    let free = free - chosen.claims.len();
    let due = permits.due();
    if free > 0 && !due.is_empty() {
        // Nothing is due that would try them: something is tried before its time.
        for party in &due {
            let is_at_hand = *party == Party::Store;
            let may = |pbx: &&PbxName| permits.allow(&needed(pbx, is_at_hand));
            let pbxs: Vec<PbxName> = pbxs.iter().filter(may).cloned().collect();
            recall(tx, party, (&pbxs, Some(is_at_hand)), 1, now)?;
        }
        let places = Places { free, ..places };
        let more = claim(tx, now, places, &mut queues, &mut permits)?;
        chosen.claims.extend(more);
        chosen.not_needed = permits.due();
    }
    Ok(chosen)
}

/// Makes ripe what waits for somebody.
fn recall(
    tx: &mut Tx,
    party: &Party,
    (pbxs, are_at_hand): (&[PbxName], Option<bool>),
    limit: usize,
    now: UtcMs,
) -> Result<usize, Error> {
    let (of, pbxs) = match party {
        Party::Pbx(pbx) if !pbxs.contains(pbx) => return Ok(0),
        Party::Pbx(pbx) => (Of::Pbx, slice::from_ref(pbx)),
        Party::Store => (Of::Store, pbxs),
        Party::Room => (Of::Room, pbxs),
    };
    away::recall(tx, pbxs, (&codes_of(of), are_at_hand), limit, now)
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

/// The oldest ripe recording of a PBX that may be started now, and whom it needs; or, where it tries
/// somebody, the one whose turn it is. What must come from the PBX goes before what lies on our disk
/// already.
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
        let found = match needed.iter().any(|party| permits.of(party) == Permit::One) {
            true => {
                let turn = permits.turns.get(&(pbx.clone(), is_at_hand));
                claims::ripe_in_turn(tx, pbx, is_at_hand, &turn.copied().unwrap_or_default())?
            }
            false => claims::oldest_ripe(tx, pbx, is_at_hand)?,
        };
        if let Some((row, announced)) = found {
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
