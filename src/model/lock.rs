//! Object lock: until when nobody may delete a stored version, and whether anybody may lift that.
//!
//! Never here: whether a store keeps to it.

use std::fmt;

use super::event::words;
use super::time::UtcMs;

/// The weaker first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// Those with a special right may lift it.
    Governance,
    /// Nobody may, until it has passed.
    Compliance,
}

words!(LockMode { Governance => "governance", Compliance => "compliance" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    pub mode: LockMode,
    pub until: UtcMs,
}

impl Lock {
    /// Until the next whole second: stores keep no part of one, and it must not end too early.
    pub fn new(mode: LockMode, until: UtcMs) -> Lock {
        let until = UtcMs(until.0.saturating_add(999).div_euclid(1000) * 1000);
        Lock { mode, until }
    }

    /// Whether it protects at least as long and as strictly.
    pub fn covers(self, wanted: Lock) -> bool {
        self.mode >= wanted.mode && self.until >= wanted.until
    }

    /// The longer and the stricter of both: a lock is never made less.
    pub fn and(self, other: Lock) -> Lock {
        Lock {
            mode: self.mode.max(other.mode),
            until: self.until.max(other.until),
        }
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} until {}", self.mode, self.until.to_seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::LockMode::{Compliance, Governance};
    use super::*;

    #[test]
    fn a_lock_never_ends_early_and_is_never_made_less() {
        for (until, whole) in [(0, 0), (1, 1000), (999, 1000), (1000, 1000), (1001, 2000)] {
            assert_eq!(Lock::new(Compliance, UtcMs(until)).until, UtcMs(whole));
        }
        let lock = |mode, until| Lock::new(mode, UtcMs(until));
        let wanted = lock(Compliance, 5000);
        for (found, covers) in [
            (lock(Compliance, 5000), true),
            (lock(Compliance, 6000), true),
            (lock(Compliance, 4000), false),
            (lock(Governance, 6000), false),
        ] {
            assert_eq!(found.covers(wanted), covers, "{found}");
            let both = found.and(wanted);
            assert!(both.covers(found) && both.covers(wanted), "{both}");
        }
    }
}
