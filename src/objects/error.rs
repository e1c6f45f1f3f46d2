//! What can go wrong at a store, told apart as far as the retry table needs it.
//!
//! Never here: whether to try again.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::{fmt, io};

use crate::model::key::ObjectKey;

pub(super) type Source = Box<dyn StdError + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Put,
    Head,
    Get,
}

/// What was attempted, and on which object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    pub operation: Operation,
    pub key: ObjectKey,
}

impl At {
    pub(super) fn new(operation: Operation, key: &ObjectKey) -> At {
        At {
            operation,
            key: key.clone(),
        }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = match self.operation {
            Operation::Put => "storing",
            Operation::Head => "asking for",
            Operation::Get => "reading",
        };
        write!(f, "{doing} {}", self.key)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("opening the store's directory {}", path.display())]
    OpenDirectory { path: PathBuf, source: io::Error },
    #[error("sweeping the store's directory {}", path.display())]
    Sweep { path: PathBuf, source: io::Error },

    /// No connection, no name, or no answer in time. The store may have done it all the same.
    #[error("{at}: the store cannot be reached")]
    Unreachable { at: At, source: Source },
    /// The request never left: no credentials to be had, or settings that make no request.
    #[error("{at}: the request could not be made")]
    Unsent { at: At, source: Source },
    #[error("{at}: the store refused our credentials or rights")]
    Refused { at: At, source: Answer },
    #[error("{at}: the store finds our clock or its own wrong")]
    ClockSkew { at: At, source: Answer },
    #[error("{at}: there is no such bucket")]
    NoBucket { at: At, source: Answer },
    /// Asked to come back, or lost a race with another conditional write.
    #[error("{at}: the store is busy")]
    Busy { at: At, source: Answer },
    /// Something else arrived than was sent, and was not stored.
    #[error("{at}: the body arrived with another digest")]
    BadDigest { at: At, source: Source },
    #[error("{at}: the store failed")]
    Server { at: At, source: Answer },
    #[error("{at}: an answer that makes no sense here")]
    Unexpected { at: At, source: Answer },

    /// Of the local file that was to be sent, not of the store.
    #[error("reading {}", path.display())]
    Local { path: PathBuf, source: io::Error },
    #[error("{at}: the store has no room")]
    Full { at: At, source: Source },
    #[error("{at}: the store's directory may not be used so, or is read-only")]
    Permission { at: At, source: io::Error },
    #[error("{at}: the store's directory failed")]
    Disk { at: At, source: io::Error },
    /// The object ended before its length, or stopped coming.
    #[error("{at}: cut off after {read_bytes} of {bytes} bytes")]
    Cut {
        at: At,
        read_bytes: u64,
        bytes: u64,
        source: Option<Source>,
    },
}

impl Error {
    /// Stable: the index, status and metrics show it.
    pub fn code(&self) -> &'static str {
        match self {
            Error::OpenDirectory { .. } => "store_open",
            Error::Sweep { .. } => "store_sweep",
            Error::Unreachable { .. } => "store_unreachable",
            Error::Unsent { .. } => "store_unsent",
            Error::Refused { .. } => "store_refused",
            Error::ClockSkew { .. } => "store_clock_skew",
            Error::NoBucket { .. } => "store_no_bucket",
            Error::Busy { .. } => "store_busy",
            Error::BadDigest { .. } => "store_bad_digest",
            Error::Server { .. } => "store_server",
            Error::Unexpected { .. } => "store_unexpected",
            Error::Local { .. } => "spool_unreadable",
            Error::Full { .. } => "store_full",
            Error::Permission { .. } => "store_permission",
            Error::Disk { .. } => "store_disk",
            Error::Cut { .. } => "store_cut",
        }
    }

    /// What a failure of the file system under the store means.
    pub(super) fn disk(at: At, source: io::Error) -> Error {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match source.kind() {
            StorageFull | QuotaExceeded => Error::Full {
                at,
                source: source.into(),
            },
            PermissionDenied | ReadOnlyFilesystem => Error::Permission { at, source },
            _ => Error::Disk { at, source },
        }
    }

    /// What an answer means that is neither success nor "no such object" nor "already there".
    /// The code decides, since stores differ in the status they send it with.
    pub(super) fn answered(at: At, answer: Answer) -> Error {
        let code = answer.code.as_deref().unwrap_or_default();
        match (code, answer.status) {
            ("RequestTimeTooSkewed", _) => Error::ClockSkew { at, source: answer },
            ("NoSuchBucket", _) => Error::NoBucket { at, source: answer },
            ("BadDigest" | "XAmzContentSHA256Mismatch" | "InvalidDigest", _) => Error::BadDigest {
                at,
                source: answer.into(),
            },
            ("QuotaExceeded" | "XMinioStorageFull", _) | (_, 507) => Error::Full {
                at,
                source: answer.into(),
            },
            ("SlowDown" | "RequestTimeout", _) | (_, 409 | 429 | 503) => {
                Error::Busy { at, source: answer }
            }
            ("ExpiredToken" | "InvalidToken", _) | (_, 401 | 403) => {
                Error::Refused { at, source: answer }
            }
            (_, 500 | 502 | 504..=599) => Error::Server { at, source: answer },
            _ => Error::Unexpected { at, source: answer },
        }
    }
}

/// What an S3 store answered instead of doing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub code: Option<String>,
    pub message: Option<String>,
    pub request_id: Option<String>,
}

impl StdError for Answer {}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        if let Some(request_id) = &self.request_id {
            write!(f, " (request {request_id})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let cases = [
            (403, Some("RequestTimeTooSkewed"), "store_clock_skew"),
            (404, Some("NoSuchBucket"), "store_no_bucket"),
            (400, Some("BadDigest"), "store_bad_digest"),
            (400, Some("XAmzContentSHA256Mismatch"), "store_bad_digest"),
            (403, Some("QuotaExceeded"), "store_full"),
            (507, Some("XMinioStorageFull"), "store_full"),
            (503, Some("SlowDown"), "store_busy"),
            (503, None, "store_busy"),
            (429, None, "store_busy"),
            (409, Some("ConditionalRequestConflict"), "store_busy"),
            (400, Some("RequestTimeout"), "store_busy"),
            (401, None, "store_refused"),
            (403, Some("AccessDenied"), "store_refused"),
            (403, Some("InvalidAccessKeyId"), "store_refused"),
            (403, Some("SignatureDoesNotMatch"), "store_refused"),
            (400, Some("ExpiredToken"), "store_refused"),
            (500, Some("InternalError"), "store_server"),
            (502, None, "store_server"),
            (504, None, "store_server"),
            (501, Some("NotImplemented"), "store_unexpected"),
            (301, Some("PermanentRedirect"), "store_unexpected"),
            (404, None, "store_unexpected"),
            (200, None, "store_unexpected"),
        ];
        for (status, code, expected) in cases {
            let key = "hq/a.mp3".parse().unwrap();
            let answer = Answer {
                status,
                code: code.map(str::to_owned),
                message: None,
                request_id: None,
            };
            let error = Error::answered(At::new(Operation::Put, &key), answer);
            assert_eq!(error.code(), expected, "{status} {code:?}");
        }
    }

    #[test]
    fn failures_of_the_file_system_are_told_apart() {
        use rustix::io::Errno;
        let cases = [
            (Errno::NOSPC, "store_full"),
            (Errno::DQUOT, "store_full"),
            (Errno::ROFS, "store_permission"),
            (Errno::ACCESS, "store_permission"),
            (Errno::PERM, "store_permission"),
            (Errno::IO, "store_disk"),
        ];
        for (errno, expected) in cases {
            let key = "hq/a.mp3".parse().unwrap();
            let error = Error::disk(At::new(Operation::Put, &key), errno.into());
            assert_eq!(error.code(), expected, "{errno:?}");
        }
    }
}
