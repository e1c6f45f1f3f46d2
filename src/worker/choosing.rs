//! Which recordings are claimed next: fairly between PBXs, and of each what it will delete first.
//!
//! Never here: what becomes of them.

use std::time::Duration;

use super::{LEASE, Limits};
use crate::model::chain::chain;
use crate::model::id::PbxName;
use crate::model::time::UtcMs;
use crate::pipeline::table::Code;
use crate::store::claims::{self, Claim};
use crate::store::{Error, Tx};

/// What its PBX deletes so soon goes before what was not served for long.
const URGENT: Duration = Duration::from_secs(2 * 24 * 3600);

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

/// Claims in one transaction what may run now, fairly between PBXs, and of each the recording that
/// it will delete first.
pub(super) fn claim(
    tx: &mut Tx,
    now: UtcMs,
    mut places: Places,
    queues: &mut [Queue],
) -> Result<Vec<Claim>, Error> {
    for queue in &*queues {
        claims::ripen(tx, &queue.pbx, now)?;
    }
    let mut claimed = Vec::new();
    let mut nth = queues.iter().map(|queue| queue.last).max().unwrap_or(0);
    while places.free > 0 {
        let without = queues.iter().filter(|queue| queue.running == 0).count();
        let mut next: Option<(_, &mut Queue, i64)> = None;
        for queue in queues
            .iter_mut()
            .filter(|queue| places.are_for(queue, without))
        {
            let Some((row, announced)) = claims::oldest_ripe(tx, &queue.pbx)? else {
                continue;
            };
            let rank = queue.rank(announced, now);
            if next.as_ref().is_none_or(|(best, ..)| rank < *best) {
                next = Some((rank, queue, row));
            }
        }
        let Some((_, queue, row)) = next else { break };
        nth += 1;
        (queue.running, queue.last) = (queue.running + 1, nth);
        places.free -= 1;
        match claims::claim(tx, row, now, now.plus(LEASE)) {
            Ok(claim) => claimed.extend(claim),
            Err(error) if error.is_of_a_row() => set_aside(tx, row, &error)?,
            Err(error) => return Err(error),
        }
    }
    Ok(claimed)
}

fn set_aside(tx: &mut Tx, row: i64, error: &Error) -> Result<(), Error> {
    let why = chain(error);
    tracing::error!(row, error = why, "a recording's row cannot be read");
    claims::set_aside(tx, row, Code::IndexRow.row().code, &why)
}
