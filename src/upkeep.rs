//! Periodic care, beside the work.
//!
//! Never here: anything that an event or a recording waits for.

use std::time::Duration;

use crate::clock::Clock;
use crate::model::chain::chain;
use crate::store::{Store, refusals};

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
