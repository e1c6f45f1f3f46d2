//! Who may be connected at a time, and who goes when somebody else comes.
//!
//! The addresses that a PBX calls from have seats of their own, which no stranger can take; no
//! other address has more seats than a PBX. Where no seat is free the one who came first and has
//! delivered nothing yet goes, then the longest idle, never one whose request runs: a flood of
//! half-open connections drives itself out, and a PBX among it, known or not, has its turn. Refusing
//! the newcomer instead would leave the seats to whoever took them first.
//!
//! Never here: sockets, or what a good delivery is.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::task::AbortHandle;

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

    /// A seat, maybe after somebody had to go; none where all are worth more than a newcomer.
    pub(super) fn enter(self: &Arc<Room>, address: IpAddr) -> Option<Seat> {
        let group = self.group(address);
        let mut guests = self.lock();
        let own = guests.groups.get(&group);
        let goes = match own.filter(|own| own.len() >= self.share) {
            Some(own) => own.first().copied(),
            None if matches!(group, Group::Pbx(_)) => None,
            None if guests.strangers.len() < self.strangers => None,
            None => guests.strangers.first().copied(),
        };
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

    fn group(&self, address: IpAddr) -> Group {
        let is_in = |nets: &Vec<IpNet>| nets.iter().any(|net| net.contains(&address));
        if let Some(pbx) = self.known.iter().position(is_in) {
            return Group::Pbx(pbx);
        }
        Group::Stranger(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64 << 64;
                Ipv6Addr::from_bits(network).into()
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
mod tests {
    use super::*;

    const STRANGER: &str = "198.51.100.";

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn room(connections: usize, share: usize, known: &[&str]) -> Arc<Room> {
        let known = known.iter().map(|net| vec![net.parse().unwrap()]);
        Arc::new(Room::new(connections, share, known.collect()))
    }

    fn is_in(seat: &Seat) -> bool {
        seat.room.lock().all.contains_key(&seat.id)
    }

    #[test]
    fn strangers_never_take_a_pbx_its_seats() {
        let room = room(8, 2, &["10.0.0.0/8", "192.0.2.7/32"]);
        let strangers: Vec<Seat> = (0..20)
            .map(|n| room.enter(address(&format!("{STRANGER}{n}"))).unwrap())
            .collect();
        assert_eq!(strangers.iter().filter(|seat| is_in(seat)).count(), 4);
        let pbxs: Vec<Seat> = ["10.1.1.1", "10.1.1.2", "192.0.2.7", "192.0.2.7"]
            .map(|pbx| room.enter(address(pbx)).unwrap())
            .into();
        assert_eq!(strangers.iter().filter(|seat| is_in(seat)).count(), 4);
        // A PBX that opens more has only itself to drive out.
        let third = room.enter(address("10.1.1.3")).unwrap();
        let left: Vec<bool> = pbxs.iter().map(is_in).collect();
        assert_eq!(left, [false, true, true, true]);
        assert!(is_in(&third));
    }

    #[test]
    fn an_address_has_its_share_and_a_network_of_ipv6_is_one() {
        let room = room(100, 3, &[]);
        for (first, other) in [
            ("198.51.100.1", "198.51.100.2"),
            ("2001:db8::1", "2001:db8:0:1::1"),
        ] {
            let seats: Vec<Seat> = (0..5)
                .map(|_| room.enter(address(first)).unwrap())
                .collect();
            let left: Vec<bool> = seats.iter().map(is_in).collect();
            assert_eq!(left, [false, false, true, true, true], "{first}");
            assert!(is_in(&room.enter(address(other)).unwrap()));
            assert!(seats[2..].iter().all(is_in), "{other} is another");
        }
        let one = room.enter(address("2001:db8:1::1")).unwrap();
        let same = ["2001:db8:1::2", "2001:db8:1:0:ffff::", "2001:db8:1::3"];
        let same = same.map(|text| room.enter(address(text)).unwrap());
        assert!(!is_in(&one) && same.iter().all(is_in));
    }

    #[test]
    fn who_delivered_stays_longer_and_who_is_served_stays() {
        let room = room(8, 4, &[]);
        let enter = || Arc::new(room.enter(address("198.51.100.1")).unwrap());
        let seats = [enter(), enter(), enter(), enter()];
        let [good, busy, asking, fresh] = &seats;
        good.request().is_good = true;
        let running = busy.request();
        drop(asking.request());
        let left = || seats.each_ref().map(|seat| is_in(seat));
        let newcomers = [enter(), enter()];
        assert_eq!(left(), [true, true, false, false]);
        assert!(!is_in(fresh));
        // Newcomers go before who delivered; once all are served nobody else comes in.
        let others = [enter(), enter()];
        assert!(newcomers.iter().all(|seat| !is_in(seat)));
        let served = others.each_ref().map(|seat| seat.request());
        let last = enter();
        assert_eq!(left(), [false, true, false, false]);
        let last = (last.request(), last);
        assert!(room.enter(address("198.51.100.1")).is_none());
        drop((running, served, last.0));
        assert!(room.enter(address("198.51.100.1")).is_some());
    }

    #[test]
    fn nothing_is_left_of_who_went() {
        let room = room(2, 1, &["10.0.0.0/8"]);
        for _ in 0..3 {
            let seat = Arc::new(room.enter(address("198.51.100.1")).unwrap());
            let mut running = seat.request();
            running.is_good = true;
            let known = room.enter(address("10.0.0.1"));
            drop((seat, known));
        }
        let guests = room.lock();
        assert!(guests.all.is_empty() && guests.groups.is_empty() && guests.strangers.is_empty());
    }
}
