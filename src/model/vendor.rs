//! PBX vendors. What an event or an id means is known below here and nowhere else.
//!
//! A new vendor is one file and one variant.

pub mod threecx;

use super::event::{FetchPath, Reading, words};
use super::id::LegId;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vendor {
    ThreeCx,
}

words!(Vendor { ThreeCx => "threecx" });

impl Vendor {
    /// Reads the bytes of a delivery. Total: whatever cannot be understood says so.
    pub fn read(self, raw: &[u8]) -> Vec<Reading> {
        match self {
            Vendor::ThreeCx => threecx::read(raw),
        }
    }

    /// The leg that an id on the command line means, if it is one of this vendor's.
    pub fn leg_of(self, text: &str) -> Option<LegId> {
        match self {
            Vendor::ThreeCx => threecx::ids::leg(text).map(|(leg, _)| leg),
        }
    }

    /// Where a leg's recording would lie if it was never announced.
    pub fn foretold(self, leg: &LegId) -> FetchPath {
        match self {
            Vendor::ThreeCx => threecx::files::foretold(leg),
        }
    }

    /// A path on which there never is a recording, to ask whether the PBX answers at all.
    pub fn nothing(self) -> FetchPath {
        match self {
            Vendor::ThreeCx => threecx::files::nothing(),
        }
    }
}
