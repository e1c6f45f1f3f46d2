//! The one way in which a test waits.

use std::thread;
use std::time::{Duration, Instant};

const POLL_EVERY: Duration = Duration::from_millis(10);

/// Returns as soon as `is_so`; panics, naming `what`, if that takes longer than `within`.
pub fn wait_for(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        thread::sleep(POLL_EVERY);
    }
}
