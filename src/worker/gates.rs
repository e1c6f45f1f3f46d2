//! Who is away: a PBX, the store, or room on our disk. While somebody is, one recording at a time
//! tries whether they are back, and all others that need them wait for that; once they are, those
//! that failed meanwhile are tried at once, however long they were to wait.
//!
//! A PBX that is down for a night would have every recording tried again and again, a line in the
//! log and a commit each, and be noticed an hour after it is back. Never here: what a failure means
//! (`pipeline`'s table says whose it is), or which recording is tried.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::Mark;
use crate::model::id::PbxName;
use crate::model::party::Party;
use crate::pipeline::table::Of;
use crate::store::attempts::Failure;
use crate::store::away::Away;
use crate::store::claims::Claim;

/// So many failures in a row, without a success, and somebody is away. A few can be of chance, and
/// nobody should wait for those.
const SPARED: u32 = 8;
/// Or nothing worked for so long since a failure.
const AWAY_AFTER: Duration = Duration::from_secs(60);
/// The pause between two tries is a tenth of the time that they are away by then, within these.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// How many recordings that need somebody may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    All,
    /// To try whether they are back.
    One,
    None,
}

/// Somebody who failed, and did not work since.
#[derive(Debug)]
struct Gate {
    failures: u32,
    first: Mark,
    last: Mark,
    /// From the last failure to the next try, once they are away.
    pause: Duration,
    /// The recording that tries it now, and since when.
    probe: Option<(i64, Mark)>,
    /// There was nothing to try it with.
    idle: bool,
}

impl Gate {
    fn is_away(&self, now: Mark) -> bool {
        self.failures >= SPARED || self.first.passed_until(now) >= AWAY_AFTER
    }

    /// None once it may be tried.
    fn rest(&self, now: Mark) -> Option<Duration> {
        let waits = |since: Mark, pause: Duration| {
            let rest = pause.saturating_sub(since.passed_until(now));
            (!rest.is_zero()).then_some(rest)
        };
        match self.probe {
            // One with a large body that takes long does not keep all others so long.
            Some((_, since)) => waits(since, AWAY_AFTER),
            None => waits(self.last, self.pause),
        }
    }
}

/// All who failed, and those that came back.
#[derive(Debug, Default)]
pub(super) struct Gates {
    failed: BTreeMap<Party, Gate>,
    /// What waits for them is to be tried again.
    back: BTreeSet<Party>,
}

impl Gates {
    pub(super) fn permit(&self, party: &Party, now: Mark) -> Permit {
        match self.failed.get(party).filter(|gate| gate.is_away(now)) {
            None => Permit::All,
            Some(gate) if gate.rest(now).is_none() => Permit::One,
            Some(_) => Permit::None,
        }
    }

    /// How long until the first of those who are away is to be tried; none where nobody is.
    pub(super) fn rest(&self, now: Mark) -> Option<Duration> {
        let away = self.failed.values();
        let away = away.filter(|gate| gate.is_away(now) && !gate.idle);
        away.map(|gate| gate.rest(now).unwrap_or_default()).min()
    }

    /// Those whose waiting recordings are to be tried, all of them.
    pub(super) fn back(&self) -> Vec<Party> {
        self.back.iter().cloned().collect()
    }

    /// Nothing waits for them any more.
    pub(super) fn recalled(&mut self, party: &Party) {
        self.back.remove(party);
    }

    /// A recording is started that needs them.
    pub(super) fn started(&mut self, claim: &Claim, now: Mark) {
        for party in needed(&claim.id.pbx, claim.is_at_hand()) {
            if self.permit(&party, now) == Permit::One
                && let Some(gate) = self.failed.get_mut(&party)
            {
                (gate.probe, gate.idle) = (Some((claim.row, now)), false);
            }
        }
    }

    /// Somebody asks that they are tried at once.
    pub(super) fn asked(&mut self, party: &Party) {
        if let Some(gate) = self.failed.get_mut(party) {
            (gate.pause, gate.probe) = (Duration::ZERO, None);
        }
    }

    /// Nothing waits that would try them: the next that falls due will.
    pub(super) fn not_needed(&mut self, party: &Party) {
        if let Some(gate) = self.failed.get_mut(party) {
            gate.idle = true;
        }
    }

    /// A recording's work has ended, whatever came of it.
    pub(super) fn ended(&mut self, row: i64) {
        for gate in self.failed.values_mut() {
            gate.probe = gate.probe.filter(|(probe, _)| *probe != row);
        }
    }

    /// A recording went all its way.
    pub(super) fn archived(&mut self, claim: &Claim) {
        self.spooled(claim);
        self.works(&Party::Store);
    }

    /// A recording failed: it tells of all that it needed before that they work, and of who failed
    /// that they don't. Says who is away, where that is news.
    pub(super) fn failed(
        &mut self,
        claim: &Claim,
        (of, failure): (Of, &Failure),
        asked: Duration,
        now: Mark,
    ) -> Option<Away> {
        let party = match of {
            Of::Us => return None,
            Of::Recording => {
                self.answered(claim);
                return None;
            }
            Of::Store => {
                self.spooled(claim);
                Party::Store
            }
            Of::Room => Party::Room,
            Of::Pbx => Party::Pbx(claim.id.pbx.clone()),
        };
        self.note(party, claim.row, failure, asked, now)
    }

    /// The PBX gave a body, or said why not.
    fn answered(&mut self, claim: &Claim) {
        if !claim.is_at_hand() {
            self.works(&Party::Pbx(claim.id.pbx.clone()));
        }
    }

    /// It gave one, and there was room for it.
    fn spooled(&mut self, claim: &Claim) {
        self.answered(claim);
        if !claim.is_at_hand() {
            self.works(&Party::Room);
        }
    }

    fn works(&mut self, party: &Party) {
        let Some(gate) = self.failed.remove(party) else {
            return;
        };
        if gate.failures >= SPARED || gate.first.passed_until(gate.last) >= AWAY_AFTER {
            tracing::info!(%party, "works again: what waited for it is tried now");
            self.back.insert(party.clone());
        }
    }

    fn note(
        &mut self,
        party: Party,
        row: i64,
        failure: &Failure,
        asked: Duration,
        now: Mark,
    ) -> Option<Away> {
        let gate = self.failed.entry(party.clone()).or_insert(Gate {
            failures: 0,
            first: now,
            last: now,
            pause: AWAY_AFTER,
            probe: None,
            idle: false,
        });
        // Of those that were on their way when it was seen to be away, nothing new is learnt.
        let is_probe = gate.probe.is_some_and(|(probe, _)| probe == row);
        if gate.is_away(now) && !is_probe && gate.rest(now).is_some() {
            return None;
        }
        let was_away = gate.failures > 0 && gate.is_away(now);
        gate.failures += 1;
        (gate.last, gate.idle) = (now, false);
        if !gate.is_away(now) {
            return None;
        }
        if !was_away {
            let (code, error) = (failure.code, &failure.error);
            tracing::warn!(%party, code, error, "is away: one recording at a time tries it");
        }
        let tenth = gate.first.passed_until(now) / 10;
        gate.pause = tenth.clamp(PAUSE_MIN, PAUSE_MAX).max(asked);
        Some(Away {
            party,
            since: gate.first.wall,
            next: now.wall.plus(gate.pause),
            code: failure.code,
            error: failure.error.clone(),
        })
    }
}

/// Whom a recording needs next: its PBX and room for its body, or the store for a body at hand.
pub(super) fn needed(pbx: &PbxName, is_at_hand: bool) -> Vec<Party> {
    match is_at_hand {
        true => vec![Party::Store],
        false => vec![Party::Pbx(pbx.clone()), Party::Room],
    }
}

#[cfg(test)]
mod tests;
