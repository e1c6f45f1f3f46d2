//! Who may be connected at a time, and who goes when somebody else comes.
//!
//! The addresses that a PBX calls from have seats of their own, which no stranger can take; where
//! each of these is busy, it sits with the strangers. No other address has more seats. Where no seat is free the one who came first and has
//! delivered nothing yet goes, then the longest idle, never one whose request runs: a flood of
//! half-open connections drives itself out, and a PBX among it, known or not, has its turn. Refusing
//! the newcomer instead would leave the seats to whoever took them first. Nobody goes who came just
//! now: a whole request may lie unread, of a queue that waited for a restart, say.
//!
//! Never here: sockets, or what a good delivery is.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::task::AbortHandle;

/// So long nobody has to go who came and has not been heard yet; newcomers wait that long.
pub(super) const GRACE: Duration = Duration::from_millis(100);
/// Between two log lines about refused connections.
const SAY: Duration = Duration::from_secs(60);

pub(super) struct Room {
    known: Vec<Vec<IpNet>>,
    /// Seats of each PBX; the most that another address gets.
    share: usize,
    /// Seats of all strangers together.
    strangers: usize,
    guests: Mutex<Guests>,
}

/// Whose seats they are. An attacker has a whole /64 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Group {
    Pbx(usize),
    Stranger(IpAddr),
}

/// The least goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// Has delivered nothing yet.
    Unproven,
    Proven,
    /// A request runs, or its answer is on its way.
    Busy,
}

/// Worth, since when in ticks, and who.
type Place = (Worth, u64, u64);

struct Guest {
    group: Group,
    place: Place,
    came: Instant,
    has_asked: bool,
    is_proven: bool,
    connection: Option<AbortHandle>,
}

#[derive(Default)]
struct Guests {
    tick: u64,
    all: HashMap<u64, Guest>,
    groups: HashMap<Group, BTreeSet<Place>>,
    strangers: BTreeSet<Place>,
    turned_away: u64,
    said: Option<Instant>,
}

impl Room {
    /// For so many connections, `share` to each PBX that is known by its addresses.
    pub(super) fn new(connections: usize, share: usize, known: Vec<Vec<IpNet>>) -> Room {
        // Half of all is the strangers' at least: among them may be a PBX.
        let most = connections / 2 / known.len().max(1);
        let share = share.min(most).max(1);
        Room {
            strangers: connections.saturating_sub(share * known.len()).max(1),
            share,
            known,
            guests: Mutex::default(),
        }
    }

    /// How long a newcomer should wait before it enters, lest somebody goes who was not heard yet.
    pub(super) fn patience(&self, address: IpAddr) -> Option<Duration> {
        let guests = self.lock();
        let (worth, _, id) = self.seat(&guests, address).1?;
        let waited = guests.all.get(&id)?.came.elapsed();
        let is_heard = worth != Worth::Unproven;
        GRACE
            .checked_sub(waited)
            .filter(|left| !is_heard && !left.is_zero())
    }

    /// A seat, maybe after somebody had to go; none where all are worth more than a newcomer.
    pub(super) fn enter(self: &Arc<Room>, address: IpAddr) -> Option<Seat> {
        let mut guests = self.lock();
        let (group, goes) = self.seat(&guests, address);
        if let Some((worth, _, id)) = goes {
            guests.turn_away();
            if worth == Worth::Busy {
                return None;
            }
            let connection = guests.leave(id).and_then(|guest| guest.connection);
            if let Some(connection) = connection {
                connection.abort();
            }
        }
        let id = guests.next();
        let place = (Worth::Unproven, id, id);
        let guest = Guest {
            group,
            place,
            came: Instant::now(),
            has_asked: false,
            is_proven: false,
            connection: None,
        };
        guests.sit(place, guest);
        drop(guests);
        Some(Seat {
            room: self.clone(),
            id,
        })
    }

    /// Which task ends when the guest of this seat has to go.
    pub(super) fn ends_with(&self, seat: u64, connection: AbortHandle) {
        if let Some(guest) = self.lock().all.get_mut(&seat) {
            guest.connection = Some(connection);
        }
    }

    /// Ends all that have not asked for anything.
    pub(super) fn dismiss(&self) {
        let guests = self.lock();
        let idle = guests.all.values().filter(|guest| !guest.has_asked);
        for connection in idle.filter_map(|guest| guest.connection.as_ref()) {
            connection.abort();
        }
    }

    /// Whose seat it is that somebody takes, and who goes for it. A PBX whose every seat is busy
    /// takes a stranger's.
    fn seat(&self, guests: &Guests, address: IpAddr) -> (Group, Option<Place>) {
        let least = |group: &Group| {
            let own = guests.groups.get(group);
            own.filter(|own| own.len() >= self.share)
                .and_then(|own| own.first().copied())
        };
        let is_in = |nets: &Vec<IpNet>| nets.iter().any(|net| net.contains(&address));
        if let Some(pbx) = self.known.iter().position(is_in) {
            let group = Group::Pbx(pbx);
            match least(&group) {
                Some((Worth::Busy, ..)) => {}
                goes => return (group, goes),
            }
        }
        let group = stranger(address);
        let goes = least(&group).or_else(|| {
            let is_full = guests.strangers.len() >= self.strangers;
            guests.strangers.first().copied().filter(|_| is_full)
        });
        (group, goes)
    }

    fn lock(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stranger(address: IpAddr) -> Group {
    Group::Stranger(match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(network).into()
        }
    })
}

impl Guests {
    fn next(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    fn sit(&mut self, place: Place, mut guest: Guest) {
        guest.place = place;
        self.groups.entry(guest.group).or_default().insert(place);
        if matches!(guest.group, Group::Stranger(_)) {
            self.strangers.insert(place);
        }
        let (_, _, id) = place;
        self.all.insert(id, guest);
    }

    fn leave(&mut self, id: u64) -> Option<Guest> {
        let guest = self.all.remove(&id)?;
        self.strangers.remove(&guest.place);
        if let Some(own) = self.groups.get_mut(&guest.group) {
            own.remove(&guest.place);
            if own.is_empty() {
                self.groups.remove(&guest.group);
            }
        }
        Some(guest)
    }

    fn turn_away(&mut self) {
        self.turned_away += 1;
        if self.said.is_none_or(|said| said.elapsed() >= SAY) {
            let count = std::mem::take(&mut self.turned_away);
            tracing::warn!(count, "connections turned away: too many at a time");
            self.said = Some(Instant::now());
        }
    }
}

/// A connection's place, free again when dropped.
pub(super) struct Seat {
    room: Arc<Room>,
    pub(super) id: u64,
}

impl Seat {
    /// A request begins: nobody takes this seat while what is answered lives.
    pub(super) fn request(self: &Arc<Seat>) -> Running {
        let mut guests = self.room.lock();
        if let Some(mut guest) = guests.leave(self.id) {
            guest.has_asked = true;
            guests.sit((Worth::Busy, self.id, self.id), guest);
        }
        drop(guests);
        Running {
            seat: self.clone(),
            is_good: false,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.lock().leave(self.id);
    }
}

/// A request that is worked on or answered.
pub(super) struct Running {
    seat: Arc<Seat>,
    /// Whether it was a good one: its sender is then worth more than those who only connect.
    pub(super) is_good: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut guests = self.seat.room.lock();
        let (now, id) = (guests.next(), self.seat.id);
        let Some(mut guest) = guests.leave(id) else {
            return;
        };
        guest.is_proven |= self.is_good;
        // One that asks and asks for nothing gains no time by it.
        let place = match guest.is_proven {
            true => (Worth::Proven, now, id),
            false => (Worth::Unproven, id, id),
        };
        guests.sit(place, guest);
    }
}

#[cfg(test)]
mod tests;
