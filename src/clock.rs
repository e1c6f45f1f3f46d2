//! The wall clock, asked by work and edges only; everywhere else time is an argument.
//!
//! Never here: time zones, formats, timers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::time::UtcMs;

/// Where "now" comes from: the system, or a hand that turns it, so that days pass in a test.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    pub fn system() -> Clock {
        Clock(None)
    }

    /// Stands still at `start` but for [`Clock::turn`]. Its clones turn with it.
    pub fn by_hand(start: UtcMs) -> Clock {
        Clock(Some(Arc::new(AtomicI64::new(start.0))))
    }

    /// Goes forward; the system's clock does so by itself.
    pub fn turn(&self, by: Duration) {
        if let Some(hand) = &self.0 {
            let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
            hand.fetch_add(ms, Ordering::SeqCst);
        }
    }

    pub fn now(&self) -> UtcMs {
        match &self.0 {
            Some(hand) => UtcMs(hand.load(Ordering::SeqCst)),
            None => system_now(),
        }
    }
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
}
