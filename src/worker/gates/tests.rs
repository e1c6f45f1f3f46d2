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

fn failure_at(stage: &'static str) -> Failure {
    Failure {
        stage,
        code: "pbx_unreachable",
        error: String::new(),
    }
}

struct World {
    gates: Gates,
    clock: Clock,
}

impl World {
    /// A while after a start, whose waiting recordings have been tried.
    fn new() -> World {
        let (gates, clock) = (Gates::new([].iter()), Clock::by_hand(UtcMs(0)));
        let mut world = World { gates, clock };
        world.recalled();
        world
    }

    fn fails_at(&mut self, stage: &'static str, row: i64, of: Of) -> Option<Away> {
        let failure = failure_at(stage);
        let (claim, now) = (claim(row, of == Of::Store), self.clock.mark());
        let failure = (of, &failure);
        let away = self.gates.failed((&claim, now), failure, now);
        self.gates.ended(row, now);
        away
    }

    fn fails(&mut self, row: i64, of: Of) -> Option<Away> {
        self.fails_at("download", row, of)
    }

    /// As often as it takes.
    fn goes_away(&mut self, of: Of) {
        (1..=8).for_each(|row| drop(self.fails(row, of)));
    }

    fn works(&mut self, is_at_hand: bool) {
        let now = self.clock.mark();
        self.gates.archived(&claim(99, is_at_hand), now);
    }

    fn starts(&mut self, row: i64) {
        let now = self.clock.mark();
        self.gates.started(&claim(row, false), now);
    }

    fn standing(&self, party: &Party) -> Option<Standing> {
        let standings = self.gates.standings(self.clock.mark());
        standings.get(party).copied()
    }

    fn permit(&self, party: &Party) -> Permit {
        let standing = self.standing(party);
        standing.map_or(Permit::All, |standing| standing.permit)
    }

    fn rest(&self) -> Option<Duration> {
        self.gates.rest(self.clock.mark())
    }

    fn not_needed(&mut self) {
        let now = self.clock.mark();
        self.gates.not_needed(&hq(), now);
    }

    /// Those whose waiting recordings are to be tried now.
    fn back(&self) -> Vec<Party> {
        self.gates.back(self.clock.mark())
    }

    fn recalled(&mut self) {
        let now = self.clock.mark();
        for party in self.back() {
            self.gates.recalled(&party, now);
        }
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
    let known = (away.party, away.since, away.next);
    assert_eq!(known, (hq(), UtcMs(0), UtcMs(100)));
    assert_eq!(world.permit(&hq()), Permit::None);
    assert_eq!(world.fails(9, REFUSED), None, "it was on its way");
    for (waits_s, is_away_s) in [(1, 1), (1, 2), (98, 100), (10, 110), (9890, 10_000)] {
        world.turn(waits_s);
        assert_eq!(world.permit(&hq()), Permit::One, "away {is_away_s} s");
        world.starts(10);
        assert_eq!(world.permit(&hq()), Permit::None, "one at a time");
        let away = world.fails(10, REFUSED).expect("news");
        let pause_ms = (is_away_s * 100).clamp(100, 300_000);
        let next_ms = is_away_s * 1000 + pause_ms;
        assert_eq!(away.next.0, next_ms, "away {is_away_s} s");
    }
    let branch = Party::Pbx("branch".parse().unwrap());
    for other in [Party::Store, Party::Room, branch] {
        assert_eq!(world.permit(&other), Permit::All);
    }
}

#[test]
fn a_success_between_is_none_of_it() {
    let mut world = World::new();
    for row in 1..100 {
        world.fails(row, REFUSED);
        if row % 7 == 0 {
            world.works(false);
        }
        assert_eq!(world.permit(&hq()), Permit::All);
    }
    assert_eq!(world.back(), [], "nobody was away");
}

#[test]
fn who_has_few_recordings_is_tried_after_a_minute_and_keeps_no_other_waiting() {
    let mut world = World::new();
    assert_eq!(world.fails(1, REFUSED), None);
    world.turn(59);
    assert_eq!(world.rest(), Some(Duration::from_secs(1)));
    world.turn(1);
    assert_eq!(world.rest(), Some(Duration::ZERO));
    assert!(world.standing(&hq()).unwrap().is_due);
    assert_eq!(world.permit(&hq()), Permit::All);
    world.not_needed();
    assert_eq!(world.rest(), None, "nothing to try it with");
    world.starts(1);
    let away = world
        .fails(1, REFUSED)
        .expect("nothing worked for a minute");
    assert_eq!(away.next, UtcMs(66_000));
    assert_eq!(world.permit(&hq()), Permit::All);
    world.works(false);
    assert_eq!(world.back(), [hq()]);
}

#[test]
fn what_waits_is_not_tried_for_each_success() {
    let mut world = World::new();
    world.goes_away(REFUSED);
    world.works(false);
    assert_eq!(world.back(), [hq()]);
    world.recalled();
    world.goes_away(REFUSED);
    world.works(false);
    assert_eq!(world.permit(&hq()), Permit::All);
    world.turn(299);
    assert_eq!(world.back(), []);
    world.turn(1);
    assert_eq!(world.back(), [hq()]);
}

#[test]
fn who_goes_away_again_is_not_recalled() {
    let mut world = World::new();
    world.fails(1, REFUSED);
    world.turn(60);
    world.fails(1, REFUSED);
    world.works(false);
    assert_eq!(world.back(), [hq()]);
    world.goes_away(REFUSED);
    assert_eq!(world.back(), []);
}

#[test]
fn each_failure_tells_who_works() {
    // Of a body that was not at hand: which of PBX, disk and store work, for sure.
    for (stage, of, works) in [
        ("download", Of::Us, [false, false, false]),
        ("download", Of::Recording, [true, false, false]),
        ("verify", Of::Recording, [true, true, false]),
        ("verify", Of::Room, [true, false, false]),
        ("upload", Of::Us, [true, true, false]),
        ("upload", Of::Recording, [true, true, true]),
        ("index", Of::Us, [true, true, true]),
    ] {
        let mut world = World::new();
        for of in [Of::Pbx, Of::Room, Of::Store] {
            world.goes_away(of);
        }
        world.fails_at(stage, 9, of);
        let open = [hq(), Party::Room, Party::Store];
        let open = open.map(|party| world.permit(&party) == Permit::All);
        assert_eq!(open, works, "{stage} {of:?}");
    }
}

#[test]
fn what_was_at_hand_tells_nothing_of_its_pbx() {
    let mut world = World::new();
    world.goes_away(REFUSED);
    world.works(true);
    assert_eq!(world.permit(&hq()), Permit::None);
    world.works(false);
    assert_eq!(world.permit(&hq()), Permit::All);
}

#[test]
fn a_try_that_takes_long_keeps_others_for_a_minute() {
    let mut world = World::new();
    world.goes_away(REFUSED);
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
    world.goes_away(REFUSED);
    world.gates.asked(&hq());
    assert_eq!(world.permit(&hq()), Permit::One);
    world.starts(9);
    assert_eq!(world.permit(&hq()), Permit::None);
    assert!(world.fails(9, REFUSED).is_some(), "away still");
}

#[test]
fn each_try_is_one_turn_however_many_it_tries() {
    let mut world = World::new();
    let mut expected = Turn::default();
    world.fails(1, Of::Room);
    world.goes_away(REFUSED);
    for row in [9, 10, 11] {
        world.turn(60);
        world.starts(row);
        world.fails(row, REFUSED);
        expected.was_of(&claim(row, false));
        let turns = world.gates.turns();
        assert_eq!(turns[&("hq".parse().unwrap(), false)], expected, "{row}");
    }
}

#[test]
fn a_try_of_which_nothing_is_learnt_is_one_all_the_same() {
    let mut world = World::new();
    world.goes_away(REFUSED);
    world.turn(1);
    world.starts(9);
    world.fails(9, Of::Us);
    assert_eq!(world.permit(&hq()), Permit::None);
    world.turn(1);
    assert_eq!(world.permit(&hq()), Permit::One);
}

#[test]
fn a_failure_is_no_reason_to_think_that_nothing_waits() {
    let mut world = World::new();
    world.goes_away(REFUSED);
    world.turn(1);
    world.starts(9);
    world.turn(60);
    world.fails(9, REFUSED);
    world.not_needed();
    assert_eq!(world.rest(), Some(Duration::from_millis(6100)));
}

#[test]
fn who_failed_before_they_were_back_is_tried_again() {
    let mut world = World::new();
    let claimed = world.clock.mark();
    world.goes_away(REFUSED);
    world.turn(10);
    world.works(false);
    world.recalled();
    let failure = failure_at("download");
    let now = world.clock.mark();
    let late = (&claim(7, false), claimed);
    let away = world.gates.failed(late, (REFUSED, &failure), now);
    assert_eq!((away, world.standing(&hq())), (None, None));
    world.turn(300);
    assert_eq!(world.back(), [hq()]);
}

#[test]
fn a_body_that_should_be_at_hand_shuts_no_pbx() {
    let mut world = World::new();
    for row in 1..20 {
        let now = world.clock.mark();
        let failure = failure_at("download");
        let lost = (&claim(row, true), now);
        world.gates.failed(lost, (REFUSED, &failure), now);
    }
    assert_eq!(world.standing(&hq()), None);
}
