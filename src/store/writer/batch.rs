//! What waits for a transaction, and how much of it makes one.
//!
//! Never here: running any of it.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Operation;

const BATCH_MAX: usize = 512;
/// Of an operation that can wait, for one that cannot.
const PATIENCE_MAX: Duration = Duration::from_millis(10);
/// Shorter ones cost more than they bring.
const BREATH_MIN: Duration = Duration::from_micros(300);
const BREATH_MAX: Duration = Duration::from_millis(2);
const LOOK_AGAIN: Duration = Duration::from_micros(100);

/// What waits for its transaction.
pub(super) struct Queues {
    pub(super) urgent: mpsc::Receiver<Operation>,
    pub(super) patient: mpsc::Receiver<Operation>,
}

/// How the last transaction went.
#[derive(Default)]
pub(super) struct Pace {
    /// Its commit, and so mostly the disk's sync.
    took: Duration,
    /// Those it answered, and those who waited already.
    asking: usize,
}

impl Queues {
    /// Waits until there is something to do; none where nobody can ask any more.
    pub(super) async fn next(&mut self, pace: &Pace) -> Option<Batch<'_>> {
        let (urgent, patient) = tokio::select! {
            biased;
            urgent = self.urgent.recv() => (Some(urgent?), None),
            patient = self.patient.recv() => {
                let patience = (pace.took / 2).min(PATIENCE_MAX);
                let urgent = tokio::time::timeout(patience, self.urgent.recv()).await;
                (urgent.ok().flatten(), Some(patient?))
            }
        };
        let is_patient_due = patient.is_none();
        Some(Batch {
            queues: self,
            urgent,
            patient,
            is_patient_due,
            urgents: 0,
        })
    }
}

/// The operations of one transaction. What comes while it lasts is taken along, and one of those
/// that can wait.
pub(super) struct Batch<'q> {
    queues: &'q mut Queues,
    urgent: Option<Operation>,
    patient: Option<Operation>,
    is_patient_due: bool,
    /// So many were taken.
    urgents: usize,
}

impl Batch<'_> {
    /// Those who were answered together ask again together. Where a commit takes long, a little
    /// patience spares them a whole one: without it they fall into two halves, each of which waits
    /// for the other's.
    pub(super) fn gather(&self, pace: &Pace) {
        let breath = (pace.took / 4).min(BREATH_MAX);
        let until = Instant::now() + breath;
        while breath >= BREATH_MIN && self.waiting() < pace.asking && Instant::now() < until {
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Once it is committed, and before anybody hears of it.
    pub(super) fn pace(&self, took: Duration) -> Pace {
        let asking = (self.urgents + self.waiting()).min(BATCH_MAX);
        Pace { took, asking }
    }

    fn waiting(&self) -> usize {
        usize::from(self.urgent.is_some()) + self.queues.urgent.len()
    }

    fn next_urgent(&mut self) -> Option<Operation> {
        if self.urgents == BATCH_MAX {
            return None;
        }
        let next = self.urgent.take();
        let next = next.or_else(|| self.queues.urgent.try_recv().ok())?;
        self.urgents += 1;
        Some(next)
    }

    fn next_patient(&mut self) -> Option<Operation> {
        let next = self.patient.take();
        next.or_else(|| {
            let is_due = std::mem::take(&mut self.is_patient_due);
            is_due
                .then(|| self.queues.patient.try_recv().ok())
                .flatten()
        })
    }
}

impl Iterator for Batch<'_> {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        self.next_urgent().or_else(|| self.next_patient())
    }
}
