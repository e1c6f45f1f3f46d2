//! Periodic care, beside the work.
//!
//! Never here: anything that an event or a recording waits for.

pub mod foretell;

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
/// A silence longer than this within a life was a gap too: the machine slept.
const SILENCE_MAX_MS: i64 = 150_000;

/// Notes that the service runs. The first beat of a life makes a gap of all the time since the
/// last one of the life before.
pub async fn beat(store: &Store, clock: &Clock, is_first: bool) {
    let now = clock.now();
    let silence_max_ms = if is_first { 0 } else { SILENCE_MAX_MS };
    let noted = store.write(move |tx| heartbeat::beat(tx, now, silence_max_ms));
    if let Err(error) = noted.await {
        tracing::warn!(error = chain(&error), "a heartbeat was not noted");
    }
}
