//! One event of a PBX, in the words of this house, and the delivery that brought it.
//!
//! Never here: how a vendor spells things. A dialect turns its words into these.

use std::sync::Arc;

use jiff::civil::DateTime;

use super::id::{EventSeq, LegId, PbxName, RecordingName};
use super::time::UtcMs;

/// A delivery as the log keeps it, when it came, and what it says.
#[derive(Debug, Clone)]
pub struct Logged {
    pub seq: EventSeq,
    pub pbx: PbxName,
    pub received: UtcMs,
    /// It came from the PBX as things happened, so its arrival says something about the time.
    pub live: bool,
    /// Nobody sent it: the service found the file by itself.
    pub foretold: bool,
    /// At least one. Shared: a delivery may say something about many calls.
    pub readings: Arc<[Reading]>,
    /// Events of this delivery whose id was damaged, by their place in it, and the leg that was
    /// found for each.
    pub attached: Vec<(u32, LegId)>,
}

/// What a dialect makes of one piece of a delivery. Reading is total: it never fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    Event(Event),
    /// Understood after the text was repaired.
    Repaired(Event),
    NotUnderstood,
}

impl Reading {
    pub fn event(&self) -> Option<&Event> {
        match self {
            Reading::Event(event) | Reading::Repaired(event) => Some(event),
            Reading::NotUnderstood => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Ringing,
    Dialing,
    Answered,
    Ended,
    Recording,
    /// Well-formed, but of a kind that says nothing about a call's course.
    Unknown,
}

/// Declares the words in which an enum stands in outputs and in the index.
macro_rules! words {
    ($type:ident { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $type {
            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $word),+ }
            }

            pub fn from_word(word: &str) -> Option<$type> {
                match word { $($word => Some($type::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words!(Kind {
    Ringing => "ringing",
    Dialing => "dialing",
    Answered => "answered",
    Ended => "ended",
    Recording => "recording",
    Unknown => "unknown",
});

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    Incoming,
    Internal,
    Outgoing,
}

words!(Direction { Incoming => "incoming", Internal => "internal", Outgoing => "outgoing" });

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finish {
    Missed,
    Ok,
}

words!(Finish { Missed => "missed", Ok => "ok" });

/// How a leg was handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transfer {
    Attended,
    Blind,
    /// Handed on, but nothing says how.
    Unknown,
}

words!(Transfer { Attended => "attended", Blind => "blind", Unknown => "unknown" });

/// One event, its fields empty where the PBX said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub kind: Kind,
    pub direction: Option<Direction>,
    /// The leg its id names; leg 0 stands for a call nobody has answered yet.
    pub leg: Option<LegId>,
    /// What is left of an id that was damaged on the way.
    pub damaged_id: Option<String>,
    /// The PBX's local clock when the call began, to the second.
    pub started_local: Option<DateTime>,
    /// The same moment in UTC, where the PBX tells it.
    pub started_exact: Option<UtcMs>,
    /// The party outside, whichever way the call goes.
    pub external: Option<String>,
    /// The number inside: an extension, a queue or an IVR.
    pub user: Option<String>,
    /// The *name* of the rule that let the call in.
    pub did: Option<String>,
    /// How the leg before was handed on to this one.
    pub handed_on: Option<Transfer>,
    /// Whether this leg ended by being handed on.
    pub transferred: Option<bool>,
    pub finish: Option<Finish>,
    pub duration_s: Option<u32>,
    pub files: Vec<File>,
}

impl Event {
    pub fn new(kind: Kind) -> Event {
        Event {
            kind,
            direction: None,
            leg: None,
            damaged_id: None,
            started_local: None,
            started_exact: None,
            external: None,
            user: None,
            did: None,
            handed_on: None,
            transferred: None,
            finish: None,
            duration_s: None,
            files: Vec::new(),
        }
    }
}

/// A recording file that an event announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// As announced, capped; untrusted, never requested.
    pub url: String,
    pub recording: RecordingName,
    /// The leg and part in the file's name; none where the name is no id.
    pub of: Option<FileLeg>,
    /// What to ask the PBX for, or why it is never asked.
    pub path: Result<FetchPath, RefusedUrl>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLeg {
    pub leg: LegId,
    pub part: u32,
    pub started_local: DateTime,
}

/// A path below the vendor's recording path, safe to append to a base URL. Only `model/vendor`
/// makes it; the index gives it back as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPath(String);

impl FetchPath {
    /// For vendors, after checking, and for the index.
    pub fn checked(path: String) -> FetchPath {
        FetchPath(path)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why an announced URL is never requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefusedUrl {
    #[error("the announced URL is not on the PBX's recording path, so it is never requested")]
    OffPath,
    #[error("the announced text is no URL, so nothing is requested")]
    NotAUrl,
    #[error("the announced URL is longer than {0} bytes, so it is never requested")]
    Long(usize),
}

impl RefusedUrl {
    /// The stable word for it.
    pub fn code(self) -> &'static str {
        match self {
            RefusedUrl::OffPath => "url_off_path",
            RefusedUrl::NotAUrl => "url_invalid",
            RefusedUrl::Long(_) => "url_too_long",
        }
    }
}
