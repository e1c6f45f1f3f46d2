//! Folding events into a call.
//!
//! The fold is the same for any order and any duplication of the events, save arrival times and
//! the order of the ring path, for which arrival is the only order there is. Never here: gluing
//! calls together by number and time; what the PBX reports as fragments stays fragments.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::access::Scope;
use super::event::{Direction, Event, Finish, Kind, Logged, Transfer};
use super::filter::Place;
use super::id::{CallId, EventSeq, LegId, RecordingName};
use super::time::{Started, UtcMs, resolve};

/// A call as far as its events tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub id: CallId,
    pub direction: Option<Direction>,
    pub external: Option<String>,
    pub did: Option<String>,
    pub started: Option<Started>,
    pub outcome: Option<Outcome>,
    /// By number.
    pub legs: Vec<Leg>,
    /// Each user that rang, once, in the order of arrival.
    pub ring_path: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    Missed,
}

super::event::words!(Outcome { Answered => "answered", Missed => "missed" });

/// One conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leg {
    pub leg: u32,
    pub extension: Option<String>,
    /// When the first event that says so arrived; so with `ended`.
    pub answered: Option<UtcMs>,
    pub ended: Option<UtcMs>,
    pub duration_s: Option<u32>,
    /// How the leg *ended*, if it was handed on.
    pub transfer: Option<Transfer>,
    pub transferred_to: Option<String>,
    pub finish: Option<Finish>,
    /// An end event came with its id whole.
    pub end_is_certain: bool,
    pub recordings: Vec<RecordingName>,
}

/// A value and how much it weighs: contradictions go to the heavier kind of event, then to the
/// smaller value, so that order never decides.
#[derive(Clone)]
struct Pick<T>(Option<(u8, T)>);

impl<T> Default for Pick<T> {
    fn default() -> Self {
        Pick(None)
    }
}

impl<T: Ord + Clone> Pick<T> {
    fn offer(&mut self, kind: Kind, value: Option<&T>) {
        let weight = match kind {
            Kind::Ended => 4,
            Kind::Answered => 3,
            Kind::Ringing | Kind::Dialing => 2,
            Kind::Recording => 1,
            Kind::Unknown => return,
        };
        let Some(value) = value else { return };
        let better = match &self.0 {
            None => true,
            Some((w, v)) => weight > *w || (weight == *w && value < v),
        };
        if better {
            self.0 = Some((weight, value.clone()));
        }
    }

    fn value(self) -> Option<T> {
        self.0.map(|(_, value)| value)
    }
}

#[derive(Default)]
struct LegFold {
    exists: bool,
    extension: Pick<String>,
    answered: Option<UtcMs>,
    ended: Option<UtcMs>,
    duration_s: Pick<u32>,
    handed_on: Pick<Transfer>,
    transferred: Pick<bool>,
    finish: Pick<Finish>,
    end_is_certain: bool,
    recordings: std::collections::BTreeSet<RecordingName>,
}

struct Fold<'a> {
    id: &'a CallId,
    direction: Pick<Direction>,
    external: Pick<String>,
    did: Pick<String>,
    started_local: Option<jiff::civil::DateTime>,
    started_exact: Option<UtcMs>,
    first_live: Option<UtcMs>,
    missed: bool,
    legs: BTreeMap<u32, LegFold>,
    /// First arrival of each user that rang.
    rang: BTreeMap<String, (EventSeq, usize)>,
}

impl Call {
    /// Everything the events say about this call; events of other calls are passed over.
    pub fn fold(id: CallId, zone: &TimeZone, events: &[Logged]) -> Call {
        let mut fold = Fold {
            id: &id,
            direction: Pick::default(),
            external: Pick::default(),
            did: Pick::default(),
            started_local: None,
            started_exact: None,
            first_live: None,
            missed: false,
            legs: BTreeMap::new(),
            rang: BTreeMap::new(),
        };
        for logged in events {
            for (item, reading) in logged.readings.iter().enumerate() {
                if let Some(event) = reading.event() {
                    fold.event(logged, item, event);
                }
            }
        }
        let (first_live, exact) = (fold.first_live, fold.started_exact);
        let started = fold
            .started_local
            .map(|local| resolve(local, zone, exact, first_live));
        let legs = legs(fold.legs);
        let outcome = match (legs.is_empty(), fold.missed) {
            (false, _) => Some(Outcome::Answered),
            (true, true) => Some(Outcome::Missed),
            (true, false) => None,
        };
        let mut rang: Vec<_> = fold.rang.into_iter().collect();
        rang.sort_by_key(|(_, arrival)| *arrival);
        Call {
            direction: fold.direction.value(),
            external: fold.external.value(),
            did: fold.did.value(),
            started,
            outcome,
            legs,
            ring_path: rang.into_iter().map(|(user, _)| user).collect(),
            id,
        }
    }

    /// Where it stands in a listing, newest first.
    pub fn place(&self) -> Place {
        Place {
            at: self.started.map_or(UtcMs(0), |started| started.utc),
            id: self.id.to_string(),
        }
    }

    /// The call as far as somebody may see it: others' legs and rings are not there.
    pub fn narrowed(mut self, scope: &Scope) -> Call {
        self.legs
            .retain(|leg| scope.has_extension(leg.extension.as_deref()));
        self.ring_path
            .retain(|user| scope.has_extension(Some(user)));
        self
    }

    pub fn leg(&self, leg: u32) -> Option<&Leg> {
        self.legs.iter().find(|known| known.leg == leg)
    }
}

/// The fields in which a call stands in every output and in manifests.
impl Serialize for Call {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("call", &self.id.call)?;
        map.serialize_entry("pbx", &self.id.pbx)?;
        map.serialize_entry("direction", &self.direction)?;
        map.serialize_entry("external", &self.external)?;
        map.serialize_entry("did", &self.did)?;
        let started = self.started.as_ref();
        map.serialize_entry("started_at", &started.map(|s| s.utc.to_seconds()))?;
        map.serialize_entry("started_at_local", &started.map(Started::local_text))?;
        map.serialize_entry("outcome", &self.outcome)?;
        let legs: Vec<_> = self
            .legs
            .iter()
            .map(|leg| LegReport(&self.id, leg))
            .collect();
        map.serialize_entry("legs", &legs)?;
        map.serialize_entry("ring_path", &self.ring_path)?;
        map.end()
    }
}

struct LegReport<'a>(&'a CallId, &'a Leg);

impl Serialize for LegReport<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let LegReport(id, leg) = self;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("leg", &leg.leg)?;
        map.serialize_entry("extension", &leg.extension)?;
        map.serialize_entry("answered_at", &leg.answered)?;
        map.serialize_entry("ended_at", &leg.ended)?;
        map.serialize_entry("duration_s", &leg.duration_s)?;
        map.serialize_entry("transfer", &leg.transfer)?;
        map.serialize_entry("transferred_to", &leg.transferred_to)?;
        map.serialize_entry("finish", &leg.finish)?;
        let recordings = leg
            .recordings
            .iter()
            .map(|name| format!("{}/{name}", id.pbx));
        map.serialize_entry("recordings", &recordings.collect::<Vec<_>>())?;
        map.end()
    }
}

impl Fold<'_> {
    fn event(&mut self, logged: &Logged, item: usize, event: &Event) {
        let own = event.leg.as_ref().filter(|leg| leg.call == self.id.call);
        let named: Vec<_> = event
            .files
            .iter()
            .filter_map(|file| file.of.as_ref().map(|of| (file, of)))
            .filter(|(_, of)| of.leg.call == self.id.call)
            .collect();
        for (file, of) in &named {
            let leg = self.legs.entry(of.leg.leg).or_default();
            leg.exists = true;
            leg.recordings.insert(file.recording.clone());
            self.started_local = Some(of.started_local);
        }
        let found = |(at, leg): &&(u32, LegId)| *at as usize == item && leg.call == self.id.call;
        if let Some((_, leg)) = logged.attached.iter().find(found) {
            return self.repaired_end(leg.leg, logged, event);
        }
        // An event without an id of its own that names several legs of this call is of the call;
        // one whose id was damaged waits for its leg, and must not tell what it is matched by.
        let without_id = event.leg.is_none() && event.damaged_id.is_none();
        if own.is_some() || (without_id && !named.is_empty()) {
            self.call_fields(logged, item, event);
        }
        if let Some(own) = own {
            self.started_local = event.started_local.or(self.started_local);
            self.leg_fields(own.leg, logged, event);
        }
    }

    fn call_fields(&mut self, logged: &Logged, item: usize, event: &Event) {
        let kind = event.kind;
        self.direction.offer(kind, event.direction.as_ref());
        self.external.offer(kind, event.external.as_ref());
        self.did.offer(kind, event.did.as_ref());
        self.started_exact = least(self.started_exact, event.started_exact);
        if logged.live {
            self.first_live = least(self.first_live, Some(logged.received));
        }
        if kind == Kind::Ringing
            && let Some(user) = &event.user
        {
            let arrival = (logged.seq, item);
            let first = self.rang.entry(user.clone()).or_insert(arrival);
            *first = arrival.min(*first);
        }
        self.missed |= kind == Kind::Ended && event.finish == Some(Finish::Missed);
    }

    fn leg_fields(&mut self, number: u32, logged: &Logged, event: &Event) {
        let kind = event.kind;
        if matches!(kind, Kind::Ringing | Kind::Dialing | Kind::Unknown) {
            return;
        }
        let leg = self.legs.entry(number).or_default();
        leg.exists |= kind == Kind::Answered
            || (kind == Kind::Ended && event.finish == Some(Finish::Ok))
            || (kind == Kind::Recording && number > 0);
        leg.extension.offer(kind, event.user.as_ref());
        if kind == Kind::Answered {
            leg.answered = least(leg.answered, Some(logged.received));
            leg.handed_on.offer(kind, event.handed_on.as_ref());
        }
        if kind == Kind::Ended {
            leg.end_is_certain = true;
            leg.end(logged, event);
        }
    }

    /// An end event whose id was damaged tells only how the leg ended; what it was matched by
    /// (user and number) must not come from itself.
    fn repaired_end(&mut self, number: u32, logged: &Logged, event: &Event) {
        self.direction.offer(event.kind, event.direction.as_ref());
        self.did.offer(event.kind, event.did.as_ref());
        self.legs.entry(number).or_default().end(logged, event);
    }
}

impl LegFold {
    fn end(&mut self, logged: &Logged, event: &Event) {
        self.ended = least(self.ended, Some(logged.received));
        self.duration_s.offer(event.kind, event.duration_s.as_ref());
        self.transferred
            .offer(event.kind, event.transferred.as_ref());
        self.finish.offer(event.kind, event.finish.as_ref());
    }
}

fn legs(folds: BTreeMap<u32, LegFold>) -> Vec<Leg> {
    let mut legs: Vec<Leg> = Vec::new();
    let existing = folds.into_iter().filter(|(_, fold)| fold.exists);
    for (number, fold) in existing {
        let handed_on = fold.handed_on.value();
        if let Some(before) = legs.last_mut().filter(|leg| leg.leg + 1 == number) {
            let extension = fold.extension.0.as_ref().map(|(_, user)| user.clone());
            // The next leg's own word for how it came about beats everything else.
            before.transfer = handed_on.or(before.transfer);
            before.transferred_to = before.transfer.and(extension);
        }
        legs.push(Leg {
            leg: number,
            extension: fold.extension.value(),
            answered: fold.answered,
            ended: fold.ended,
            duration_s: fold.duration_s.value(),
            transfer: (fold.transferred.value() == Some(true)).then_some(Transfer::Unknown),
            transferred_to: None,
            finish: fold.finish.value(),
            end_is_certain: fold.end_is_certain,
            recordings: fold.recordings.into_iter().collect(),
        });
    }
    legs
}

fn least(a: Option<UtcMs>, b: Option<UtcMs>) -> Option<UtcMs> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
