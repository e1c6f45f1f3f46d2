//! The wall clock, asked by work and edges only; everywhere else time is an argument.
//!
//! Never here: time zones, formats, timers.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::time::UtcMs;

/// Where "now" comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    pub fn now(&self) -> UtcMs {
        UtcMs(match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_another_clock() {
        let before_ms = jiff::Timestamp::now().as_millisecond();
        let UtcMs(now_ms) = Clock.now();
        let after_ms = jiff::Timestamp::now().as_millisecond();
        assert!((before_ms..=after_ms).contains(&now_ms), "{now_ms}");
    }
}
