//! Periodic care, beside the work.
//!
//! Never here: anything that an event or a recording waits for.

pub mod compare;
pub mod foretell;
pub mod probe;

use std::time::Duration;

use crate::clock::Clock;
use crate::model::chain::chain;
use crate::store::{Store, heartbeat, refusals};

/// How often counts in memory are written down.
pub const PERIOD: Duration = Duration::from_secs(1);

/// Refused deliveries by reason and peer.
pub type Refused = std::collections::BTreeMap<(&'static str, String), u64>;

/// Writes down what was refused since the last time.
pub async fn keep_refusals(store: &Store, clock: &Clock, refused: Refused) {
    if refused.is_empty() {
        return;
    }
    let now = clock.now();
    let kept = store.write(move |tx| {
        for ((reason, peer), count) in &refused {
            refusals::add(tx, reason, peer, *count, now)?;
        }
        Ok(())
    });
    if let Err(error) = kept.await {
        tracing::warn!(error = chain(&error), "refused deliveries were not counted");
    }
}

/// Between two heartbeats.
pub const BEAT: Duration = Duration::from_secs(60);
/// Takes note of a clock that was set since the last time.
pub async fn follow_clock(store: &Store, clock: &Clock) {
    let mark = clock.mark();
    if let Some(by_ms) = clock.followed().set_until(mark) {
        let noted = store.write(move |tx| {
            heartbeat::skip(tx, by_ms)?;
            heartbeat::clock_was_set(tx, by_ms)
        });
        if let Err(error) = noted.await {
            let error = chain(&error);
            tracing::warn!(by_ms, error, "that the clock was set could not be noted");
            return;
        }
        tracing::warn!(by_ms, "the clock was set; what waits goes on as before");
    }
    clock.follow(mark);
}

/// Notes that the service runs.
pub async fn beat(store: &Store, clock: &Clock) {
    let now = clock.now();
    let noted = store.write(move |tx| heartbeat::beat(tx, now, heartbeat::SILENCE_MAX_MS));
    if let Err(error) = noted.await {
        tracing::warn!(error = chain(&error), "a heartbeat was not noted");
    }
}
