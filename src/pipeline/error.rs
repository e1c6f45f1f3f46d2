//! Why a stage failed, and the one table that says what each failure means.

use std::time::Duration;

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
    #[error("the store holds {key} with another digest than was sent")]
    NotProved { key: ObjectKey },
    #[error("another recording lies at {key}; it is left as it is, the local copy is kept")]
    Conflict { key: ObjectKey },
    #[error("use the index to {stage}")]
    Index {
        stage: &'static str,
        #[source]
        source: store::Error,
    },
    #[error("interrupted while it was to {stage}")]
    Interrupted { stage: &'static str },
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
    /// The table. Exhaustive on purpose: a new failure does not build until its row is here.
    pub fn disposition(&self) -> Disposition {
        use Disposition::{Interrupted, Later, Permanent, Recheck, Retry};
        match self {
            StageError::NoPbx(_) => Later(None),
            StageError::Download(error) => match error {
                pbx::Error::Unreachable { .. } | pbx::Error::Tls { .. } => Later(None),
                pbx::Error::Login { .. } => Later(None),
                pbx::Error::Later { after, .. } => Later(*after),
                pbx::Error::Spool(_) => Later(None),
                pbx::Error::NotThere { .. }
                | pbx::Error::Redirect { .. }
                | pbx::Error::Failed { .. }
                | pbx::Error::Status { .. }
                | pbx::Error::Short { .. }
                | pbx::Error::Slow { .. }
                | pbx::Error::Large => Retry,
            },
            StageError::SourceChanged => Retry,
            StageError::NotAudio(NotAudio::Empty | NotAudio::NoFrames { .. }) => Retry,
            StageError::Doubtful { .. } => Recheck,
            StageError::Tag(_) => Permanent,
            StageError::Spool { .. } => Later(None),
            StageError::Store(_) | StageError::NotProved { .. } => Later(None),
            StageError::Conflict { .. } => Permanent,
            StageError::Index {
                source: store::Error::LeaseLost(_),
                ..
            } => Interrupted,
            StageError::Index { .. } => Later(None),
            StageError::Interrupted { .. } => Interrupted,
        }
    }

    /// Stable words: the index, `jobs` and metrics show them.
    pub fn code(&self) -> &'static str {
        match self {
            StageError::NoPbx(_) => "pbx_not_configured",
            StageError::Download(error) => match error {
                pbx::Error::Unreachable { .. } => "pbx_unreachable",
                pbx::Error::Tls { .. } => "pbx_tls",
                pbx::Error::Login { .. } => "pbx_login",
                pbx::Error::Later { .. } => "pbx_busy",
                pbx::Error::NotThere { .. } => "not_there",
                pbx::Error::Redirect { .. } => "redirect",
                pbx::Error::Failed { .. } => "pbx_failed",
                pbx::Error::Status { .. } => "pbx_status",
                pbx::Error::Short { .. } => "body_short",
                pbx::Error::Slow { .. } => "body_slow",
                pbx::Error::Large => "body_large",
                pbx::Error::Spool(error) if error.is_full() => "spool_full",
                pbx::Error::Spool(_) => "spool",
            },
            StageError::SourceChanged => "source_changed",
            StageError::NotAudio(NotAudio::Empty) => "body_empty",
            StageError::NotAudio(NotAudio::NoFrames { .. }) => "not_audio",
            StageError::Doubtful { .. } => "doubtful",
            StageError::Tag(_) => "tag",
            StageError::Spool { source, .. } if source.is_full() => "spool_full",
            StageError::Spool { .. } => "spool",
            StageError::Store(error) => error.code(),
            StageError::NotProved { .. } => "not_proved",
            StageError::Conflict { .. } => "conflict",
            StageError::Index { .. } => "index",
            StageError::Interrupted { .. } => "interrupted",
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
            StageError::Store(_) | StageError::NotProved { .. } | StageError::Conflict { .. } => {
                "upload"
            }
            StageError::Spool { stage, .. }
            | StageError::Index { stage, .. }
            | StageError::Interrupted { stage } => stage,
        }
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
