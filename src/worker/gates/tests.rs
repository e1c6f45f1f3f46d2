//! When somebody is away, who may try them, and what brings them back.

use super::*;
use crate::clock::Clock;
use crate::model::event::FetchPath;
use crate::model::id::EventSeq;
use crate::model::time::UtcMs;
use crate::store::claims::Original;

const REFUSED: Of = Of::Pbx;

fn claim(row: i64, is_at_hand: bool) -> Claim {
    let sha256 = crate::model::digest::Digest::of(b"");
    Claim {
        row,
        id: format!("hq/230307142318_{row}-1-1").parse().unwrap(),
        call: None,
        leg: None,
        part: None,
        attempt: 1,
        dated: jiff::civil::date(2023, 3, 7),
        announced: UtcMs(0),
        announced_seq: EventSeq(1),
        window: UtcMs(0),
        source_url: String::new(),
        path: FetchPath::checked(String::new()),
        original: is_at_hand.then_some(Original { sha256, bytes: 0 }),
        media_ms: None,
        kept: None,
        take_kept: false,
        frozen: None,
        lock: None,
    }
}

struct World {
    gates: Gates,
    clock: Clock,
}

impl World {
    fn new() -> World {
        World {
            gates: Gates::default(),
            clock: Clock::by_hand(UtcMs(0)),
        }
    }

    fn fails(&mut self, row: i64, of: Of) -> Option<Away> {
        let failure = Failure {
            stage: "download",
            code: "pbx_unreachable",
            error: String::new(),
        };
        let (claim, now) = (claim(row, of == Of::Store), self.clock.mark());
        let away = self
            .gates
            .failed(&claim, (of, &failure), Duration::ZERO, now);
        self.gates.ended(row);
        away
    }

    fn starts(&mut self, row: i64) {
        let now = self.clock.mark();
        self.gates.started(&claim(row, false), now);
    }

    fn permit(&self, party: &Party) -> Permit {
        self.gates.permit(party, self.clock.mark())
    }

    fn turn(&self, seconds: u64) {
        self.clock.turn(Duration::from_secs(seconds));
    }
}

fn hq() -> Party {
    Party::Pbx("hq".parse().unwrap())
}

#[test]
fn who_fails_often_is_tried_by_one_at_a_time_and_less_and_less() {
    let mut world = World::new();
    for row in 1..8 {
        assert_eq!(world.fails(row, REFUSED), None);
        assert_eq!(world.permit(&hq()), Permit::All, "after {row}");
    }
    let away = world.fails(8, REFUSED).expect("news");
    assert_eq!(
        (away.party, away.since, away.next),
        (hq(), UtcMs(0), UtcMs(1000))
    );
    assert_eq!(world.permit(&hq()), Permit::None);
    assert_eq!(world.fails(9, REFUSED), None, "it was on its way");
    for (waits_s, is_away_s) in [(1, 1), (1, 2), (98, 100), (10, 110), (9890, 10_000)] {
        world.turn(waits_s);
        assert_eq!(world.permit(&hq()), Permit::One, "away {is_away_s} s");
        world.starts(10);
        assert_eq!(world.permit(&hq()), Permit::None, "one at a time");
        let away = world.fails(10, REFUSED).expect("news");
        let pause_ms = (is_away_s * 100).clamp(1000, 300_000);
        assert_eq!(
            away.next.0,
            is_away_s * 1000 + pause_ms,
            "away {is_away_s} s"
        );
    }
    assert_eq!(world.permit(&Party::Store), Permit::All);
    assert_eq!(
        world.permit(&Party::Pbx("branch".parse().unwrap())),
        Permit::All
    );
}

#[test]
fn a_success_between_is_none_of_it() {
    let mut world = World::new();
    for row in 1..100 {
        world.fails(row, REFUSED);
        if row % 7 == 0 {
            world.gates.archived(&claim(row, false));
        }
        assert_eq!(world.permit(&hq()), Permit::All);
    }
    assert_eq!(world.gates.back(), [], "nobody was away");
}

#[test]
fn who_has_one_recording_only_is_away_after_a_minute() {
    let mut world = World::new();
    world.fails(1, REFUSED);
    world.turn(59);
    assert_eq!(world.permit(&hq()), Permit::All);
    assert_eq!(world.gates.rest(world.clock.mark()), None);
    world.turn(1);
    assert_eq!(world.permit(&hq()), Permit::One);
    assert_eq!(world.gates.rest(world.clock.mark()), Some(Duration::ZERO));
    world.gates.not_needed(&hq());
    assert_eq!(
        world.gates.rest(world.clock.mark()),
        None,
        "nothing to try it with"
    );
    assert_eq!(world.permit(&hq()), Permit::One, "the next may");
}

#[test]
fn an_answer_is_enough_to_be_back() {
    let mut world = World::new();
    (1..=8).for_each(|row| drop(world.fails(row, REFUSED)));
    assert_eq!(world.fails(9, Of::Us), None);
    assert_eq!(world.gates.back(), []);
    assert_eq!(world.fails(10, Of::Recording), None);
    assert_eq!(world.gates.back(), [hq()]);
    assert_eq!(world.permit(&hq()), Permit::All);
    world.gates.recalled(&hq());
    assert_eq!(world.gates.back(), []);
}

#[test]
fn a_store_that_is_away_tells_that_the_pbx_is_not() {
    let mut world = World::new();
    (1..=8).for_each(|row| drop(world.fails(row, Of::Room)));
    assert_eq!(world.permit(&Party::Room), Permit::None);
    (1..=8).for_each(|row| drop(world.fails(row, Of::Store)));
    assert_eq!(
        world.permit(&Party::Room),
        Permit::None,
        "their bodies were at hand"
    );
    world.gates.archived(&claim(9, true));
    assert_eq!(world.gates.back(), [Party::Store]);
    world.gates.archived(&claim(9, false));
    assert_eq!(world.gates.back(), [Party::Store, Party::Room]);
}

#[test]
fn a_try_that_takes_long_keeps_others_for_a_minute() {
    let mut world = World::new();
    (1..=8).for_each(|row| drop(world.fails(row, REFUSED)));
    world.turn(1);
    world.starts(9);
    world.turn(59);
    assert_eq!(world.permit(&hq()), Permit::None);
    world.turn(1);
    assert_eq!(world.permit(&hq()), Permit::One);
}

#[test]
fn who_is_asked_for_by_hand_is_tried_at_once() {
    let mut world = World::new();
    (1..=8).for_each(|row| drop(world.fails(row, REFUSED)));
    world.gates.asked(&hq());
    assert_eq!(world.permit(&hq()), Permit::One);
    world.starts(9);
    assert_eq!(world.permit(&hq()), Permit::None);
    assert!(
        world.fails(9, REFUSED).is_some(),
        "away still, and noted so again"
    );
}
