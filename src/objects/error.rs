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
    Remove,
    List,
    ReadLock,
    SetLock,
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
            Operation::Remove => "removing",
            Operation::List => "listing objects like",
            Operation::ReadLock => "reading the lock of",
            Operation::SetLock => "setting the lock of",
        };
        write!(f, "{doing} {}", self.key)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("sweeping the store's directory {}", path.display())]
    Sweep { path: PathBuf, source: io::Error },

    /// No connection, no name, or no answer in time. The store may have done it all the same.
    #[error("{at}: the store cannot be reached")]
    Unreachable { at: At, source: Source },
    #[error("{at}: the store's certificate is not trusted")]
    Untrusted { at: At, source: Source },
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
    /// What was written a moment ago reads otherwise.
    #[error("{key}: the store gives back something else than was stored")]
    OtherContent { key: ObjectKey },
    #[error("{key}: the store acknowledged it and does not have it")]
    NotKept { key: ObjectKey },
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
    /// What was attempted, where it was an operation on an object.
    pub fn operation(&self) -> Option<Operation> {
        match self {
            Error::Unreachable { at, .. }
            | Error::Untrusted { at, .. }
            | Error::Unsent { at, .. }
            | Error::Refused { at, .. }
            | Error::ClockSkew { at, .. }
            | Error::NoBucket { at, .. }
            | Error::Busy { at, .. }
            | Error::BadDigest { at, .. }
            | Error::Server { at, .. }
            | Error::Unexpected { at, .. }
            | Error::Full { at, .. }
            | Error::Permission { at, .. }
            | Error::Disk { at, .. }
            | Error::Cut { at, .. } => Some(at.operation),
            Error::Sweep { .. }
            | Error::Local { .. }
            | Error::OtherContent { .. }
            | Error::NotKept { .. } => None,
        }
    }

    /// The store heard of it and would not do it: no failure, and nothing on the way.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Error::Refused { .. } | Error::BadDigest { .. } => true,
            Error::Unexpected { source, .. } => (400..500).contains(&source.status),
            _ => false,
        }
    }

    /// The store knows no such request, or not with such a header.
    pub(super) fn is_not_implemented(&self) -> bool {
        matches!(self, Error::Unexpected { source, .. } if source.status == 501)
    }

    /// What a store may say that takes nothing which is sent with a lock.
    pub fn may_be_for_the_lock(&self) -> bool {
        self.is_refusal() || self.is_not_implemented()
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

    fn variant(error: &Error) -> String {
        let debug = format!("{error:?}");
        debug.split(' ').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn answers_are_told_apart() {
        let cases = [
            (403, Some("RequestTimeTooSkewed"), "ClockSkew"),
            (404, Some("NoSuchBucket"), "NoBucket"),
            (400, Some("BadDigest"), "BadDigest"),
            (400, Some("XAmzContentSHA256Mismatch"), "BadDigest"),
            (403, Some("QuotaExceeded"), "Full"),
            (507, Some("XMinioStorageFull"), "Full"),
            (503, Some("SlowDown"), "Busy"),
            (503, None, "Busy"),
            (429, None, "Busy"),
            (409, Some("ConditionalRequestConflict"), "Busy"),
            (400, Some("RequestTimeout"), "Busy"),
            (401, None, "Refused"),
            (403, Some("AccessDenied"), "Refused"),
            (403, Some("InvalidAccessKeyId"), "Refused"),
            (403, Some("SignatureDoesNotMatch"), "Refused"),
            (400, Some("ExpiredToken"), "Refused"),
            (500, Some("InternalError"), "Server"),
            (502, None, "Server"),
            (504, None, "Server"),
            (501, Some("NotImplemented"), "Unexpected"),
            (301, Some("PermanentRedirect"), "Unexpected"),
            (404, None, "Unexpected"),
            (200, None, "Unexpected"),
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
            assert_eq!(variant(&error), expected, "{status} {code:?}");
        }
    }

    #[test]
    fn failures_of_the_file_system_are_told_apart() {
        use rustix::io::Errno;
        let cases = [
            (Errno::NOSPC, "Full"),
            (Errno::DQUOT, "Full"),
            (Errno::ROFS, "Permission"),
            (Errno::ACCESS, "Permission"),
            (Errno::PERM, "Permission"),
            (Errno::IO, "Disk"),
        ];
        for (errno, expected) in cases {
            let key = "hq/a.mp3".parse().unwrap();
            let error = Error::disk(At::new(Operation::Put, &key), errno.into());
            assert_eq!(variant(&error), expected, "{errno:?}");
        }
    }
}
