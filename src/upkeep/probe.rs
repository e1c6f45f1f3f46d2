//! Trying the store: at start, then once a day, and soon again while it cannot be tried.
//!
//! Never here: what is done about a promise that does not hold, but for saying it.

use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{Clock, Mark};
use crate::model::chain::chain;
use crate::model::job::Schedule;
use crate::model::lock::LockMode;
use crate::model::promise::{Fact, Facts, Holds, Promise};
use crate::objects::{self, ObjectStore};
use crate::random;
use crate::store::{Store, probe};

/// Between two tries of a store that answers.
const DAY: Duration = Duration::from_secs(24 * 3600);

pub struct Prober {
    pub store: Store,
    pub clock: Clock,
    pub objects: ObjectStore,
    /// Tried only where it is asked for.
    pub lock: Option<LockMode>,
    /// The pauses while the store cannot be tried.
    pub schedule: Schedule,
    /// Where all that is known is handed on.
    pub learned: watch::Sender<Facts>,
}

impl Prober {
    /// Runs until dropped.
    pub async fn run(self) {
        let mut failed = 0;
        loop {
            let tried = self.clock.mark();
            if self.probe().await {
                failed = 0;
                self.wait_a_day_from(tried).await;
            } else {
                failed += 1;
                let pause = self.schedule.pause(failed, self.clock.now().0 as u64);
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// On a clock that nobody can set, and that goes on while the machine sleeps.
    async fn wait_a_day_from(&self, tried: Mark) {
        while tried.passed_until(self.clock.mark()) < DAY {
            tokio::time::sleep(super::PERIOD).await;
        }
    }

    /// Whether the store could be tried.
    async fn probe(&self) -> bool {
        let now = self.clock.now();
        let token = match random::hex::<8>() {
            Ok(token) => token,
            Err(error) => {
                tracing::warn!(error = chain(&error), "no name for a canary");
                return false;
            }
        };
        let (facts, tried) = match self.objects.probe(&token, self.lock, now).await {
            Ok(probe) => {
                if let Some((key, error)) = probe.stays {
                    tracing::info!(%key, error = chain(&error), "a canary stays in the store");
                }
                // Those whose lock has passed, those of a try that was cut short, and temporaries.
                match self.objects.sweep_old(now).await {
                    Ok(0) => {}
                    Ok(old) => tracing::info!(old, "the store was swept"),
                    Err(error) => {
                        tracing::info!(error = chain(&error), "old canaries were not swept");
                    }
                }
                (probe.facts, true)
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "the store could not be tried");
                (vec![failed(&error)], false)
            }
        };
        facts.iter().for_each(say);
        let noted = self.store.write(move |tx| {
            probe::note(tx, &facts, now)?;
            probe::facts(tx)
        });
        match noted.await {
            Ok(known) => {
                let facts = known.into_iter().map(|probed| probed.fact).collect();
                self.learned.send_replace(Facts(facts));
                tried
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "what the store does was not noted");
                false
            }
        }
    }
}

/// Not even a canary could be written and read back.
fn failed(error: &objects::Error) -> Fact {
    let holds = match error {
        objects::Error::OtherContent { .. } | objects::Error::NotKept { .. } => Holds::No,
        _ => Holds::Unknown,
    };
    Fact::new(Promise::KeepsObjects, holds, chain(error))
}

fn say(fact: &Fact) {
    let (promise, says) = (fact.promise, fact.says());
    match fact.holds {
        Holds::Yes => tracing::info!(%promise, "the store {says}"),
        Holds::No => tracing::warn!(%promise, "the store {says}"),
        Holds::Unknown => tracing::info!(%promise, "the store {says}"),
    }
}
