//! What a store promises by its protocol, and what trying it has shown of each promise.
//!
//! Never here: how a promise is tried. What is not known is taken for broken where it matters.

use super::event::words;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    KeepsObjects,
    RefusesWrongSha256,
    ReturnsSha256,
    LetsOneWriterWin,
    KeepsVersions,
    LockRefusesDeletion,
    LockRefusesShortening,
    LockRefusesModeChange,
}

words!(Promise {
    KeepsObjects => "keeps_objects",
    RefusesWrongSha256 => "refuses_wrong_sha256",
    ReturnsSha256 => "returns_sha256",
    LetsOneWriterWin => "lets_one_writer_win",
    KeepsVersions => "keeps_versions",
    LockRefusesDeletion => "lock_refuses_deletion",
    LockRefusesShortening => "lock_refuses_shortening",
    LockRefusesModeChange => "lock_refuses_mode_change",
});

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    Yes,
    No,
    /// It could not be asked, or was not yet.
    Unknown,
}

words!(Holds { Yes => "yes", No => "no", Unknown => "unknown" });

/// What came of trying one promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub promise: Promise,
    pub holds: Holds,
    /// What was seen; none where it is as promised.
    pub detail: Option<String>,
}

impl Promise {
    /// Of the locks: they are tried where one is asked for.
    pub const OF_LOCKS: [Promise; 3] = [
        Promise::LockRefusesDeletion,
        Promise::LockRefusesShortening,
        Promise::LockRefusesModeChange,
    ];

    /// Goes after "the store".
    fn kept(self) -> &'static str {
        match self {
            Promise::KeepsObjects => "keeps what it acknowledges",
            Promise::RefusesWrongSha256 => "refuses a wrong SHA-256",
            Promise::ReturnsSha256 => "returns an object's SHA-256",
            Promise::LetsOneWriterWin => "lets one of several writers of a key win",
            Promise::KeepsVersions => "keeps versions",
            Promise::LockRefusesDeletion => "refuses to delete what is locked",
            Promise::LockRefusesShortening => "refuses to shorten a lock",
            Promise::LockRefusesModeChange => "refuses to turn compliance into governance",
        }
    }

    /// The same, with what is done about it.
    fn broken(self) -> &'static str {
        match self {
            Promise::KeepsObjects => "does not keep what it acknowledges: do not trust it",
            Promise::RefusesWrongSha256 => {
                "takes a body with a wrong SHA-256: every object is read back and hashed"
            }
            Promise::ReturnsSha256 => {
                "returns no SHA-256 to trust: every object is read back and hashed"
            }
            Promise::LetsOneWriterWin => {
                "heeds no If-None-Match: it is asked before each upload whether something lies there"
            }
            Promise::KeepsVersions => {
                "keeps no versions: what others overwrite or delete there is gone"
            }
            Promise::LockRefusesDeletion => "deletes what is locked: its object lock is none",
            Promise::LockRefusesShortening => "lets a lock be shortened: its object lock is none",
            Promise::LockRefusesModeChange => {
                "lets compliance be turned into governance: its object lock is none"
            }
        }
    }
}

impl Fact {
    pub fn new(promise: Promise, holds: Holds, detail: impl Into<String>) -> Fact {
        let detail = Some(detail.into());
        Fact {
            promise,
            holds,
            detail,
        }
    }

    pub fn kept(promise: Promise) -> Fact {
        Fact {
            promise,
            holds: Holds::Yes,
            detail: None,
        }
    }

    /// In words that go after "the store".
    pub fn says(&self) -> String {
        let kept = self.promise.kept();
        let says = match self.holds {
            Holds::Yes => kept.to_owned(),
            Holds::No => self.promise.broken().to_owned(),
            Holds::Unknown => format!("may be one that {kept}, which is not known"),
        };
        match &self.detail {
            Some(detail) => format!("{says} ({detail})"),
            None => says,
        }
    }
}

/// All that is known of a store; nothing before it was tried.
#[derive(Debug, Clone, Default)]
pub struct Facts(pub Vec<Fact>);

impl Facts {
    fn keeps(&self, promise: Promise) -> bool {
        self.holds(promise) == Holds::Yes
    }

    pub fn holds(&self, promise: Promise) -> Holds {
        let found = self.0.iter().find(|fact| fact.promise == promise);
        found.map_or(Holds::Unknown, |fact| fact.holds)
    }

    /// Whether it was tried to the end.
    pub fn is_tried(&self) -> bool {
        self.keeps(Promise::KeepsObjects)
    }

    /// Whether the store's own SHA-256 of an object proves it, in whichever answer it comes. A 200
    /// never does by itself: a store that keeps its canaries may still lose one object.
    pub fn sha256_proves(&self) -> bool {
        self.keeps(Promise::KeepsObjects)
            && self.keeps(Promise::RefusesWrongSha256)
            && self.keeps(Promise::ReturnsSha256)
    }

    /// What was seen to be wrong with its object lock.
    pub fn broken_lock(&self) -> Option<&Fact> {
        let of_locks = |fact: &&Fact| Promise::OF_LOCKS.contains(&fact.promise);
        self.0
            .iter()
            .filter(of_locks)
            .find(|fact| fact.holds == Holds::No)
    }

    /// Whether it knows what it means to lengthen a lock. One that does not may take the request
    /// for a new object, in place of the one that was to be protected.
    pub fn lengthens_locks(&self) -> bool {
        self.keeps(Promise::LockRefusesShortening) && self.broken_lock().is_none()
    }
}
