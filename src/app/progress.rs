//! Whether the pipeline gets on: what systemd's watchdog is fed by.
//!
//! A part that gets an error and goes on gets on: a store or PBX that is away, a full disk or an
//! index that another process locks are no better after a restart. One that says nothing more does
//! not. Never here: systemd's socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use super::apart;
use crate::store::Store;

/// Turns of the loops, counted by themselves.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    pub(super) worker: Arc<AtomicU64>,
    pub(super) correlator: Arc<AtomicU64>,
}

/// What was seen at one moment.
#[derive(Debug, Clone, Copy)]
struct Seen {
    worker: u64,
    correlator: u64,
    writer_answers: bool,
    hook_answers: bool,
}

impl Progress {
    async fn look(&self, store: &Store, hook: &Handle, patience: Duration) -> Seen {
        // It changes nothing, so nothing of it is written.
        let asked = store.write(|_| Ok(()));
        let writer = tokio::time::timeout(patience, asked);
        let (writer, hook_answers) = tokio::join!(writer, apart::answers(hook, patience));
        Seen {
            worker: self.worker.load(Ordering::Relaxed),
            correlator: self.correlator.load(Ordering::Relaxed),
            writer_answers: writer.is_ok(),
            hook_answers,
        }
    }
}

/// What does not get on, of these.
fn hung(before: Seen, now: Seen) -> Vec<&'static str> {
    // The worker begins once the store has answered, and a store may be away for long.
    let waits_for_store = now.worker == 0;
    let parts = [
        ("the index's writer", now.writer_answers),
        ("the hook", now.hook_answers),
        ("the worker", now.worker != before.worker || waits_for_store),
        ("the reader of the log", now.correlator != before.correlator),
    ];
    let hung = parts.into_iter().filter(|(_, gets_on)| !gets_on);
    hung.map(|(part, _)| part).collect()
}

/// Feeds for as long as all parts get on, at least once an interval. Runs until dropped.
pub(super) async fn feed(
    progress: Progress,
    store: Store,
    hook: Handle,
    interval: Duration,
    feed: impl Fn() + Send,
) {
    // A look takes as long as the pause before it at most.
    let pause = interval / 4;
    let mut before = progress.look(&store, &hook, pause).await;
    loop {
        tokio::time::sleep(pause).await;
        let now = progress.look(&store, &hook, pause).await;
        let hung = hung(before, now);
        if hung.is_empty() {
            feed();
        } else {
            let hung = hung.join(", ");
            tracing::error!(hung, "no progress: the watchdog is not fed");
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_does_not_get_on_is_named() {
        let seen = |(worker, correlator, writer_answers, hook_answers)| Seen {
            worker,
            correlator,
            writer_answers,
            hook_answers,
        };
        for (before, now, expected) in [
            ((1, 1, true, true), (2, 2, true, true), &[][..]),
            ((0, 1, true, true), (0, 2, true, true), &[]),
            ((1, 1, false, true), (2, 2, true, true), &[]),
            ((1, 1, true, false), (2, 2, true, true), &[]),
            ((1, 1, true, true), (2, 2, true, false), &["the hook"]),
            ((1, 1, true, true), (1, 2, true, true), &["the worker"]),
            (
                (1, 1, true, true),
                (2, 1, true, true),
                &["the reader of the log"],
            ),
            (
                (0, 0, true, true),
                (0, 0, true, true),
                &["the reader of the log"],
            ),
            (
                (7, 7, true, true),
                (7, 8, false, true),
                &["the index's writer", "the worker"],
            ),
        ] {
            assert_eq!(
                hung(seen(before), seen(now)),
                expected,
                "{before:?} {now:?}"
            );
        }
    }
}
