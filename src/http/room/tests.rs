//! Who is let in, and who has to go.

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

/// Its requests wait for a slow disk, say, and more events come.
#[test]
fn a_pbx_that_is_served_on_all_its_seats_takes_a_strangers() {
    let room = room(8, 2, &["10.0.0.0/8"]);
    let enter = || room.enter(address("10.0.0.1")).map(Arc::new);
    let served: Vec<_> = (0..4)
        .map(|_| enter().map(|seat| (seat.request(), seat)).unwrap())
        .collect();
    assert!(served.iter().all(|(_, seat)| is_in(seat)));
    assert!(enter().is_none(), "an address has its share of those");
}

#[test]
fn who_came_just_now_is_waited_for() {
    let room = room(8, 2, &[]);
    let newcomer = address("198.51.100.1");
    let one = Arc::new(room.enter(newcomer).unwrap());
    assert_eq!(room.patience(newcomer), None);
    let _other = room.enter(newcomer).unwrap();
    assert!(room.patience(newcomer).is_some());
    drop(one.request());
    assert!(
        room.patience(newcomer).is_some(),
        "it asked for nothing good"
    );
    one.request().is_good = true;
    let mut guests = room.lock();
    let came = Instant::now() - GRACE;
    guests.all.values_mut().for_each(|guest| guest.came = came);
    drop(guests);
    assert_eq!(room.patience(newcomer), None);
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
