//! What waits for a transaction, and how much of it makes one.
//!
//! Never here: running any of it.

use std::time::Duration;

use tokio::sync::mpsc;

use super::Operation;

const BATCH_MAX: usize = 512;
/// Of an operation that can wait, for one that cannot.
const PATIENCE_MAX: Duration = Duration::from_millis(10);
/// Shorter ones cost more than they bring.
const BREATH_MIN: Duration = Duration::from_micros(200);
const BREATH_MAX: Duration = Duration::from_millis(1);

/// What waits for its transaction.
pub(super) struct Queues {
    pub(super) urgent: mpsc::Receiver<Operation>,
    pub(super) patient: mpsc::Receiver<Operation>,
}

/// How the last transaction went.
#[derive(Default)]
pub(super) struct Pace {
    /// Its commit, and so mostly the disk's sync.
    pub(super) took: Duration,
    pub(super) urgent: usize,
}

impl Pace {
    /// Those who were answered together ask again together: a little patience, where a commit takes
    /// long, spares half of them a whole one.
    pub(super) fn breath(&self, waiting: usize) -> Option<Duration> {
        let breath = (self.took / 8).min(BREATH_MAX);
        (breath >= BREATH_MIN && waiting < self.urgent).then_some(breath)
    }
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
    pub(super) urgents: usize,
}

impl Batch<'_> {
    pub(super) fn waiting(&self) -> usize {
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
