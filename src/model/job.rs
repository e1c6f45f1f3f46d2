//! A recording's way through its states, and when it is tried again.
//!
//! Never here: why an attempt failed. `pipeline` decides what a failure means.

use std::time::Duration;

use super::event::words;

/// `pending` (due, running or waiting) → `archived`, or → `failed` with its reason. A failed one
/// becomes pending again only when a person says so, or its PBX announces it anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Pending,
    Archived,
    Failed,
}

words!(State { Pending => "pending", Archived => "archived", Failed => "failed" });

/// The longest pause between two tries of something that will surely come back.
pub const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// The pauses between tries; the last one repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<Duration>);

impl Schedule {
    /// None where there is no pause at all.
    pub fn new(pauses: Vec<Duration>) -> Option<Schedule> {
        (!pauses.is_empty()).then_some(Schedule(pauses))
    }

    /// The pause after the given attempt (the first is 1), spread by up to ±20 % so that what
    /// failed together does not come back together. The spread is drawn from `seed`.
    pub fn pause(&self, attempt: u32, seed: u64) -> Duration {
        let at = (attempt.max(1) as usize - 1).min(self.0.len() - 1);
        let drawn = (mixed(seed) >> 11) as f64 / (1u64 << 53) as f64;
        self.0[at].mul_f64(0.8 + 0.4 * drawn)
    }
}

/// A finaliser that spreads neighbouring seeds evenly (the constants are SplitMix64's).
fn mixed(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_the_last_repeats_within_a_fifth() {
        let seconds = Duration::from_secs;
        let schedule = Schedule::new(vec![seconds(2), seconds(10), seconds(30)]).unwrap();
        for (attempt, pause_s) in [
            (0, 2.0),
            (1, 2.0),
            (2, 10.0),
            (3, 30.0),
            (4, 30.0),
            (900, 30.0),
        ] {
            for seed in 0..200 {
                let pause = schedule.pause(attempt, seed).as_secs_f64();
                assert!(
                    (pause_s * 0.8..=pause_s * 1.2).contains(&pause),
                    "{attempt}: {pause}"
                );
            }
        }
        let spread: Vec<_> = (0..50).map(|seed| schedule.pause(1, seed)).collect();
        assert!(spread.iter().max() > spread.iter().min());
        assert_eq!(Schedule::new(vec![]), None);
    }
}
