//! The wall clock, asked by work and edges only; everywhere else time is an argument.
//!
//! Never here: time zones, formats, timers.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::time::UtcMs;

/// Where "now" comes from: the system, or a hand that turns it, so that days pass in a test.
#[derive(Debug, Clone)]
pub struct Clock {
    hand: Option<Arc<Hand>>,
    followed: Arc<Mutex<Mark>>,
}

#[derive(Debug)]
struct Hand {
    wall_ms: AtomicI64,
    steady_ms: AtomicI64,
}

/// A moment on the wall clock and on one that nobody can set.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    pub wall: UtcMs,
    steady_ms: i64,
}

/// Smaller corrections are made all the time, and nothing depends on them.
const SET_MIN_MS: i64 = 500;

impl Mark {
    /// By how many milliseconds the wall clock was set, forward or back, from one mark to a later
    /// one; none if it went as it should.
    pub fn set_until(self, later: Mark) -> Option<i64> {
        let shown_ms = later.wall.0.saturating_sub(self.wall.0);
        let set_ms = shown_ms.saturating_sub(later.steady_ms - self.steady_ms);
        (set_ms.unsigned_abs() >= SET_MIN_MS.unsigned_abs()).then_some(set_ms)
    }

    /// However the wall clock was set meanwhile.
    pub fn passed_until(self, later: Mark) -> Duration {
        let passed_ms = later.steady_ms - self.steady_ms;
        Duration::from_millis(u64::try_from(passed_ms).unwrap_or(0))
    }

    /// What the wall clock would show at a later mark if nobody had set it since this one.
    pub fn carried_to(self, later: Mark) -> UtcMs {
        let passed_ms = later.steady_ms - self.steady_ms;
        UtcMs(self.wall.0.saturating_add(passed_ms))
    }
}

impl Clock {
    pub fn system() -> Clock {
        Clock::new(None)
    }

    fn new(hand: Option<Arc<Hand>>) -> Clock {
        let followed = Arc::new(Mutex::new(mark(hand.as_deref())));
        Clock { hand, followed }
    }

    /// Stands still at `start` but for [`Clock::turn`]. Its clones turn with it.
    pub fn by_hand(start: UtcMs) -> Clock {
        Clock::new(Some(Arc::new(Hand {
            wall_ms: AtomicI64::new(start.0),
            steady_ms: AtomicI64::new(0),
        })))
    }

    /// Time passes; of the system's clock it does so by itself.
    pub fn turn(&self, by: Duration) {
        if let Some(hand) = &self.hand {
            let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            hand.steady_ms.fetch_add(ms, Ordering::SeqCst);
            hand.wall_ms.fetch_add(ms, Ordering::SeqCst);
        }
    }

    /// Somebody sets the wall clock, and no time passes.
    pub fn set_by(&self, ms: i64) {
        if let Some(hand) = &self.hand {
            hand.wall_ms.fetch_add(ms, Ordering::SeqCst);
        }
    }

    pub fn now(&self) -> UtcMs {
        self.mark().wall
    }

    pub fn mark(&self) -> Mark {
        mark(self.hand.as_deref())
    }

    /// The last mark up to which the index knows how the clock was set.
    pub fn followed(&self) -> Mark {
        *self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn follow(&self, mark: Mark) {
        *self.followed.lock().unwrap_or_else(PoisonError::into_inner) = mark;
    }
}

fn mark(hand: Option<&Hand>) -> Mark {
    match hand {
        Some(hand) => Mark {
            wall: UtcMs(hand.wall_ms.load(Ordering::SeqCst)),
            steady_ms: hand.steady_ms.load(Ordering::SeqCst),
        },
        None => Mark {
            wall: system_now(),
            steady_ms: system_steady_ms(),
        },
    }
}

/// Since the machine started, the time it slept included.
fn system_steady_ms() -> i64 {
    let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    since.tv_sec * 1000 + since.tv_nsec / 1_000_000
}

fn system_now() -> UtcMs {
    UtcMs(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_another_clock() {
        let before_ms = jiff::Timestamp::now().as_millisecond();
        let UtcMs(now_ms) = Clock::system().now();
        let after_ms = jiff::Timestamp::now().as_millisecond();
        assert!((before_ms..=after_ms).contains(&now_ms), "{now_ms}");
    }

    #[test]
    fn by_hand_it_stands_until_it_is_turned() {
        let clock = Clock::by_hand(UtcMs(5));
        let clone = clock.clone();
        clock.turn(Duration::from_secs(1));
        assert_eq!((clock.now(), clone.now()), (UtcMs(1005), UtcMs(1005)));
    }

    #[test]
    fn a_clock_that_was_set_is_told_from_time_that_passed() {
        for by_ms in [0, 500, -1000, 3_600_000, -2_145_916_800_000] {
            let clock = Clock::by_hand(UtcMs(5));
            let before = clock.mark();
            clock.turn(Duration::from_secs(60));
            clock.set_by(by_ms);
            let after = clock.mark();
            assert_eq!(before.set_until(after).unwrap_or(0), by_ms);
            assert_eq!(before.carried_to(after), UtcMs(60_005));
            assert_eq!(before.passed_until(after), Duration::from_secs(60));
        }
        let before = Clock::system().mark();
        assert_eq!(before.set_until(Clock::system().mark()), None);
    }
}
