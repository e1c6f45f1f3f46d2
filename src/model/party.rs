//! Whom a recording needs on its way, and who can be away as a whole.
//!
//! Never here: how one sees that somebody is away (`worker`).

use std::fmt;

use super::id::PbxName;

/// Where it is away, no recording that needs it gets on, whichever it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    Pbx(PbxName),
    Store,
    /// Room on our disk, and that it works.
    Room,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Party::Pbx(pbx) => write!(f, "{pbx}"),
            Party::Store => f.write_str("the store"),
            Party::Room => f.write_str("our disk"),
        }
    }
}
