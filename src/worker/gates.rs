//! Who is away: a PBX, the store, or room on our disk. While somebody is, one recording at a time
//! tries whether they are back, and all others that need them next wait for that; once they are,
//! those that failed meanwhile are tried, however long they were to wait. What lies on its PBX yet is
//! fetched all the same while the store is away, and tries the store once.
//!
//! A PBX that is down for a night would have every recording tried again and again, a line in the
//! log and a commit each, and be noticed an hour after it is back. Never here: what a failure means
//! (`pipeline`'s table says whose it is), or which recording is tried.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Mark;
use crate::model::id::PbxName;
use crate::model::party::Party;
use crate::pipeline::table::Of;
use crate::store::attempts::Failure;
use crate::store::away::Away;
use crate::store::claims::{Claim, Turn};

/// So many failures in a row, without a success, and others wait. A few can be of chance, and
/// nobody should wait for those.
const SPARED: u32 = 8;
/// Who failed, and did not work since, is tried after so long, whatever the recordings' own pauses.
const TRIED_AFTER: Duration = Duration::from_secs(60);
/// What waited is tried again no sooner after it was the last time: where a few recordings fail for
/// reasons of their own, and look as if their PBX did, all of them would be tried for each success.
const RECALLED_EVERY: Duration = Duration::from_secs(300);
/// The pause between two tries is a tenth of the time that they are away by then, within these.
/// Where a PBX asks for a longer one, the recording that it told waits for that.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// How many recordings that need somebody may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    All,
    /// To try whether they are back.
    One,
    None,
}

/// How it stands with somebody who failed, and did not work since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) permit: Permit,
    /// The index says so.
    pub(super) is_away: bool,
    /// It is time to try them.
    pub(super) is_due: bool,
}

/// Somebody who failed, and did not work since.
#[derive(Debug)]
struct Gate {
    failures: u32,
    first: Mark,
    last: Mark,
    /// From the last failure to the next try.
    pause: Duration,
    /// The recording that tries it now, and since when.
    probe: Option<(i64, Mark)>,
    /// There was nothing to try it with.
    idle: bool,
}

impl Gate {
    fn is_shut(&self) -> bool {
        self.failures >= SPARED
    }

    /// How long nothing has worked, as far as that is known.
    fn outage(&self) -> Duration {
        self.first.passed_until(self.last)
    }

    fn is_away(&self) -> bool {
        self.is_shut() || self.outage() >= TRIED_AFTER
    }

    /// None once it may be tried.
    fn rest(&self, now: Mark) -> Option<Duration> {
        let (since, pause) = match self.probe {
            // One with a large body that takes long does not keep all others so long.
            Some((_, since)) => (since, TRIED_AFTER),
            None => (self.last, self.pause),
        };
        let rest = pause.saturating_sub(since.passed_until(now));
        (!rest.is_zero()).then_some(rest)
    }

    fn is_tried_by(&self, row: i64) -> bool {
        self.probe.is_some_and(|(probe, _)| probe == row)
    }

    fn standing(&self, now: Mark) -> Standing {
        let may_be_tried = self.rest(now).is_none();
        Standing {
            permit: match (self.is_shut(), may_be_tried) {
                (false, _) => Permit::All,
                (true, true) => Permit::One,
                (true, false) => Permit::None,
            },
            is_away: self.is_away(),
            is_due: may_be_tried && !self.idle,
        }
    }
}

/// All who failed, and those that came back.
#[derive(Debug)]
pub(super) struct Gates {
    failed: BTreeMap<Party, Gate>,
    /// What waits for them is to be tried again, but not soon after that was done.
    back: BTreeMap<Party, Option<Mark>>,
    /// When it was done the last time after an outage.
    recalled: BTreeMap<Party, Mark>,
    /// When they were seen to be back the last time.
    returned: BTreeMap<Party, Mark>,
    /// Somebody is back, and the index does not know yet.
    is_news: bool,
    /// Whose turn it is to try, of a PBX's recordings, with bodies at hand or without.
    turns: BTreeMap<(PbxName, bool), Turn>,
}

impl Gates {
    /// At start nobody is known to be away, and what waits is tried: settings were corrected, say.
    pub(super) fn new<'a>(pbxs: impl Iterator<Item = &'a PbxName>) -> Gates {
        let pbxs = pbxs.cloned().map(Party::Pbx);
        Gates {
            failed: BTreeMap::new(),
            back: pbxs
                .chain([Party::Store, Party::Room])
                .map(|party| (party, None))
                .collect(),
            recalled: BTreeMap::new(),
            returned: BTreeMap::new(),
            is_news: false,
            turns: BTreeMap::new(),
        }
    }

    pub(super) fn standings(&self, now: Mark) -> BTreeMap<Party, Standing> {
        let failed = self.failed.iter();
        failed
            .map(|(party, gate)| (party.clone(), gate.standing(now)))
            .collect()
    }

    pub(super) fn is_away(&self, party: &Party) -> bool {
        self.failed.get(party).is_some_and(Gate::is_away)
    }

    /// How long until the first of those who failed is to be tried; none where nobody did.
    pub(super) fn rest(&self, now: Mark) -> Option<Duration> {
        let failed = self.failed.values().filter(|gate| !gate.idle);
        failed.map(|gate| gate.rest(now).unwrap_or_default()).min()
    }

    pub(super) fn turns(&self) -> BTreeMap<(PbxName, bool), Turn> {
        self.turns.clone()
    }

    /// Those whose waiting recordings are to be tried now, all of them.
    pub(super) fn back(&self, now: Mark) -> Vec<Party> {
        let back = self.back.iter();
        let back = back.filter(|(_, last)| is_long_ago(**last, now));
        back.map(|(party, _)| party.clone()).collect()
    }

    /// Whether somebody came back since this was asked.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_news)
    }

    /// Nothing waits for them any more.
    pub(super) fn recalled(&mut self, party: &Party, now: Mark) {
        if let Some(Some(_)) = self.back.remove(party) {
            self.recalled.insert(party.clone(), now);
        }
    }

    /// A recording is started. Where somebody whom it needs is to be tried, it does that.
    pub(super) fn started(&mut self, claim: &Claim, now: Mark) {
        let (is_at_hand, mut was_in_turn) = (claim.is_at_hand(), false);
        for party in needed(&claim.id.pbx, is_at_hand) {
            let Some(gate) = self.failed.get_mut(&party) else {
                continue;
            };
            if gate.rest(now).is_none() {
                (gate.probe, gate.idle) = (Some((claim.row, now)), false);
                was_in_turn |= gate.is_shut();
            }
        }
        if was_in_turn {
            let turn = self.turns.entry((claim.id.pbx.clone(), is_at_hand));
            turn.or_default().was_of(claim);
        }
    }

    /// Somebody asks that they are tried at once.
    pub(super) fn asked(&mut self, party: &Party) {
        if let Some(gate) = self.failed.get_mut(party) {
            (gate.pause, gate.probe, gate.idle) = (Duration::ZERO, None, false);
        }
    }

    /// Nothing waits that would try them: the next that falls due will.
    pub(super) fn not_needed(&mut self, party: &Party, now: Mark) {
        if let Some(gate) = self.failed.get_mut(party) {
            // It may have failed anew since that was seen.
            gate.idle |= gate.rest(now).is_none();
        }
    }

    /// A recording's work has ended, whatever came of it: where nothing was learnt of those that it
    /// should try, the next try is after a pause all the same.
    pub(super) fn ended(&mut self, row: i64, now: Mark) {
        for gate in self.failed.values_mut() {
            if gate.is_tried_by(row) {
                (gate.probe, gate.last) = (None, now);
            }
        }
    }

    /// A recording went all its way.
    pub(super) fn archived(&mut self, claim: &Claim, now: Mark) {
        self.spooled(claim, now);
        self.works(&Party::Store, now);
    }

    /// A recording failed: it tells of those whom it needed before that they work, and of who failed
    /// that they don't. Says who is away, where that is news.
    pub(super) fn failed(
        &mut self,
        (claim, claimed): (&Claim, Mark),
        (of, failure): (Of, &Failure),
        now: Mark,
    ) -> Option<Away> {
        match (failure.stage, of) {
            ("download", Of::Recording) => self.answered(claim, now),
            ("download", _) => {}
            (_, Of::Room) => self.answered(claim, now),
            ("upload", Of::Recording) | ("index", _) => self.archived(claim, now),
            _ => self.spooled(claim, now),
        }
        let party = match of {
            Of::Us | Of::Recording => return None,
            Of::Store => Party::Store,
            Of::Room => Party::Room,
            Of::Pbx => Party::Pbx(claim.id.pbx.clone()),
        };
        if claim.is_at_hand() && party != Party::Store {
            // A body that should have been at hand, say: its success would say nothing of them.
            return None;
        }
        if let Some(returned) = self.returned.get(&party)
            && !claimed.passed_until(*returned).is_zero()
        {
            // It failed before they were back, and is heard of only now.
            let last = self.recalled.get(&party).copied();
            self.back.entry(party).or_insert(last);
            return None;
        }
        self.note(party, claim.row, failure, now)
    }

    /// The PBX gave a body, or said why not.
    fn answered(&mut self, claim: &Claim, now: Mark) {
        if !claim.is_at_hand() {
            self.works(&Party::Pbx(claim.id.pbx.clone()), now);
        }
    }

    /// It gave one, and there was room for it.
    fn spooled(&mut self, claim: &Claim, now: Mark) {
        self.answered(claim, now);
        if !claim.is_at_hand() {
            self.works(&Party::Room, now);
        }
    }

    fn works(&mut self, party: &Party, now: Mark) {
        let Some(gate) = self.failed.remove(party) else {
            return;
        };
        if gate.is_away() {
            tracing::info!(%party, "works again: what waited for it is tried");
            self.is_news = true;
            self.returned.insert(party.clone(), now);
            let last = self.recalled.get(party).copied();
            self.back.insert(party.clone(), last);
            if is_long_ago(last, now) {
                self.recalled.insert(party.clone(), now);
            }
        }
    }

    fn note(&mut self, party: Party, row: i64, failure: &Failure, now: Mark) -> Option<Away> {
        let gate = self.failed.entry(party.clone()).or_insert(Gate {
            failures: 0,
            first: now,
            last: now,
            pause: Duration::ZERO,
            probe: None,
            idle: false,
        });
        // Of those that were on their way when it was seen to be away, nothing new is learnt.
        let is_probe = gate.is_tried_by(row);
        if gate.is_shut() && !is_probe && gate.rest(now).is_some() {
            return None;
        }
        gate.probe = gate.probe.filter(|_| !is_probe);
        let was_shut = gate.is_shut();
        gate.failures += 1;
        (gate.last, gate.pause, gate.idle) = (now, TRIED_AFTER, false);
        if !gate.is_away() {
            return None;
        }
        let tenth = gate.outage() / 10;
        gate.pause = tenth.clamp(PAUSE_MIN, PAUSE_MAX);
        if gate.is_shut() && !was_shut {
            let (code, error) = (failure.code, &failure.error);
            tracing::warn!(%party, code, error, "is away: one recording at a time tries it");
        }
        self.back.remove(&party);
        Some(Away {
            party,
            since: gate.first.wall,
            next: now.wall.plus(gate.pause),
            code: failure.code,
            error: failure.error.clone(),
        })
    }
}

fn is_long_ago(last: Option<Mark>, now: Mark) -> bool {
    last.is_none_or(|last| last.passed_until(now) >= RECALLED_EVERY)
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
