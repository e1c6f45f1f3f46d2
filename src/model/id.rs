//! Names of things: PBX, call, leg, recording. Typed, checked once, opaque afterwards.
//!
//! Never here: what a vendor's id *means* (its stamp, its counter). That is `model/vendor`'s.

use std::fmt;
use std::str::FromStr;

/// Why a text cannot be the name it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?}: {rule}")]
pub struct BadId {
    what: &'static str,
    text: String,
    rule: &'static str,
}

const NAME_MAX_BYTES: usize = 64;

/// A PBX as the settings name it: `[a-z0-9-]+`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct PbxName(String);

/// A call id as its PBX gives it, unique within that PBX only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct CallName(String);

/// A recording's name within its PBX: safe as a file name and as a part of an object key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct RecordingName(String);

macro_rules! checked_name {
    ($type:ident, $what:literal, $allowed:expr, $rule:literal) => {
        impl $type {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let allowed: fn(u8) -> bool = $allowed;
                if text.is_empty() || text.len() > NAME_MAX_BYTES || !text.bytes().all(allowed) {
                    return Err(BadId {
                        what: $what,
                        text: text.chars().take(NAME_MAX_BYTES).collect(),
                        rule: $rule,
                    });
                }
                Ok($type(text.to_owned()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

checked_name!(
    PbxName,
    "PBX name",
    |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-',
    "expected 1 to 64 of a-z, 0-9 and -"
);
checked_name!(
    CallName,
    "call id",
    id_byte,
    "expected 1 to 64 letters, digits, _ and -"
);
checked_name!(
    RecordingName,
    "recording",
    |b| id_byte(b) || b == b'~',
    "expected 1 to 64 letters, digits, _, - and ~"
);

/// A call, with the PBX that makes its id unique: `hq/230307142318_40`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId {
    pub pbx: PbxName,
    pub call: CallName,
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pbx, self.call)
    }
}

/// One conversation of a call, counted by the PBX from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId {
    pub call: CallName,
    pub leg: u32,
}

impl fmt::Display for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.call, self.leg)
    }
}

/// A recording, always with its PBX: `hq/230307142318_40-2-1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordingId {
    pub pbx: PbxName,
    pub recording: RecordingName,
}

impl fmt::Display for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pbx, self.recording)
    }
}

impl FromStr for RecordingId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<RecordingId, BadId> {
        let (pbx, recording) = text.split_once('/').ok_or_else(|| BadId {
            what: "recording",
            text: text.chars().take(NAME_MAX_BYTES).collect(),
            rule: "expected pbx/recording",
        })?;
        Ok(RecordingId {
            pbx: pbx.parse()?,
            recording: recording.parse()?,
        })
    }
}

impl serde::Serialize for RecordingId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// The place of a delivery in the event log; grows by arrival, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct EventSeq(pub i64);

impl fmt::Display for EventSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_carries_nothing_that_could_leave_its_directory() {
        for bad in ["", ".", "..", "a/b", "a\\b", "a b", "ä", "a\n", "HQ", "a_b"] {
            assert!(bad.parse::<PbxName>().is_err(), "{bad:?}");
        }
        for bad in ["", ".", "a/b", "a.mp3", "a%2e", &"x".repeat(65)] {
            assert!(bad.parse::<RecordingName>().is_err(), "{bad:?}");
        }
        let id: RecordingId = "hq/230307142318_40-2-1".parse().unwrap();
        assert_eq!(id.to_string(), "hq/230307142318_40-2-1");
        assert!("230307142318_40-2-1".parse::<RecordingId>().is_err());
    }
}
