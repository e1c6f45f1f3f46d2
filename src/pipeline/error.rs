//! Why a stage failed. What each failure means stands in the table.

use std::time::Duration;

use super::table::Code;
use crate::model::id::PbxName;
use crate::model::key::ObjectKey;
use crate::model::mp3::NotAudio;
use crate::{model, objects, pbx, spool, store};

/// A failed stage; Display never repeats its source.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error("the settings name no PBX {0}")]
    NoPbx(PbxName),
    #[error("download")]
    Download(#[source] pbx::Error),
    #[error("the PBX now gives another body than the one that was tagged")]
    SourceChanged,
    #[error("verify")]
    NotAudio(#[source] NotAudio),
    #[error("the recording may not be whole yet ({}): it is fetched again", flags.join(", "))]
    Doubtful { flags: Vec<&'static str> },
    #[error("tag")]
    Tag(#[source] model::id3::Error),
    #[error("use the spool to {stage}")]
    Spool {
        stage: &'static str,
        #[source]
        source: spool::Error,
    },
    #[error("upload")]
    Store(#[source] objects::Error),
    #[error("the store does not hold {key} as it was sent")]
    NotProved { key: ObjectKey },
    #[error("another recording lies at {key}; it is left as it is, the local copy is kept")]
    Conflict { key: ObjectKey },
    /// `fact` goes after "the store".
    #[error("object_lock = \"compliance\" cannot be kept: the store {fact}")]
    LockNotEnforced { fact: String },
    #[error("whether the store keeps to its object lock is not known yet")]
    LockNotTried,
    #[error("{key} does not have the lock that it was stored with")]
    LockNotKept { key: ObjectKey },
    #[error("use the index to {stage}")]
    Index {
        stage: &'static str,
        #[source]
        source: store::Error,
    },
}

/// What a failure means for the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// An answer about this file: tried by the schedule, given up once the PBX keeps it no longer.
    Retry,
    /// A body was kept that may not be all: fetched again soon, and taken if it is the same twice.
    Recheck,
    /// Nothing about this file: tried by the schedule for ever, and not before the given pause.
    Later(Option<Duration>),
    /// No try will change it; a person must look.
    Permanent,
    /// Not tried at all: handed back, and it does not count.
    Interrupted,
}

impl StageError {
    /// What it means for the recording: the table's word, but for a pause that the PBX asked for.
    pub fn disposition(&self) -> Disposition {
        match self {
            StageError::Download(pbx::Error::Later { after, .. }) => Disposition::Later(*after),
            _ => self.code().row().disposition,
        }
    }

    /// Its row in the table. Exhaustive on purpose: a new failure does not build until it is here.
    pub fn code(&self) -> Code {
        match self {
            StageError::NoPbx(_) => Code::PbxNotConfigured,
            StageError::Download(error) => of_pbx(error),
            StageError::SourceChanged => Code::SourceChanged,
            StageError::NotAudio(NotAudio::Empty) => Code::BodyEmpty,
            StageError::NotAudio(NotAudio::NoFrames { .. }) => Code::NotAudio,
            StageError::Doubtful { .. } => Code::Doubtful,
            StageError::Tag(_) => Code::Tag,
            StageError::Spool { source, .. } => of_spool(source),
            StageError::Store(error) => of_store(error),
            StageError::NotProved { .. } => Code::NotProved,
            StageError::Conflict { .. } => Code::Conflict,
            StageError::LockNotEnforced { .. } => Code::LockNotEnforced,
            StageError::LockNotTried => Code::LockNotTried,
            StageError::LockNotKept { .. } => Code::LockNotKept,
            StageError::Index {
                source: store::Error::LeaseLost(_),
                ..
            } => Code::LeaseLost,
            StageError::Index { .. } => Code::Index,
        }
    }

    /// Where on the way it happened.
    pub fn stage(&self) -> &'static str {
        match self {
            StageError::NoPbx(_) | StageError::Download(_) | StageError::SourceChanged => {
                "download"
            }
            StageError::NotAudio(_) | StageError::Doubtful { .. } => "verify",
            StageError::Tag(_) => "tag",
            StageError::Store(_)
            | StageError::NotProved { .. }
            | StageError::Conflict { .. }
            | StageError::LockNotEnforced { .. }
            | StageError::LockNotTried
            | StageError::LockNotKept { .. } => "upload",
            StageError::Spool { stage, .. } | StageError::Index { stage, .. } => stage,
        }
    }
}

fn of_pbx(error: &pbx::Error) -> Code {
    match error {
        pbx::Error::Unreachable { .. } => Code::PbxUnreachable,
        pbx::Error::Tls { .. } => Code::PbxTls,
        pbx::Error::Login { .. } => Code::PbxLogin,
        pbx::Error::Later { .. } => Code::PbxBusy,
        pbx::Error::NotThere { .. } => Code::NotThere,
        pbx::Error::Redirect { .. } => Code::Redirect,
        pbx::Error::Failed { .. } => Code::PbxFailed,
        pbx::Error::Status { .. } => Code::PbxStatus,
        pbx::Error::Short { .. } => Code::BodyShort,
        pbx::Error::Slow { .. } => Code::BodySlow,
        pbx::Error::Large => Code::BodyLarge,
        pbx::Error::Spool(error) => of_spool(error),
    }
}

fn of_spool(error: &spool::Error) -> Code {
    match error.is_full() {
        true => Code::SpoolFull,
        false => Code::Spool,
    }
}

fn of_store(error: &objects::Error) -> Code {
    use objects::Error;
    match error {
        Error::Sweep { .. } | Error::Disk { .. } => Code::StoreDisk,
        Error::Unreachable { .. } => Code::StoreUnreachable,
        Error::Untrusted { .. } => Code::StoreTls,
        Error::Unsent { .. } => Code::StoreUnsent,
        Error::Refused { .. } => Code::StoreRefused,
        Error::ClockSkew { .. } => Code::StoreClockSkew,
        Error::NoBucket { .. } => Code::StoreNoBucket,
        Error::Busy { .. } => Code::StoreBusy,
        Error::BadDigest { .. } => Code::StoreBadDigest,
        Error::Server { .. } => Code::StoreServer,
        Error::Unexpected { .. } => Code::StoreUnexpected,
        Error::Local { .. } => Code::Spool,
        Error::Full { .. } => Code::StoreFull,
        Error::Permission { .. } => Code::StorePermission,
        Error::OtherContent { .. } | Error::NotKept { .. } => Code::StoreOtherContent,
        Error::Cut { .. } => Code::StoreCut,
    }
}

/// Blocking work on a file, off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    stage: &'static str,
    work: impl FnOnce() -> Result<T, spool::Error> + Send + 'static,
) -> Result<T, StageError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or(Err(spool::Error::Interrupted));
    done.map_err(|source| StageError::Spool { stage, source })
}
