//! What a search asks for.
//!
//! Never here: SQL. The store turns a filter into a query.

use super::access::Scope;
use super::call::Outcome;
use super::event::Direction;
use super::id::{CallName, PbxName};
use super::job::State;
use super::time::{Moment, Seconds, UtcMs};

/// All that is given must hold; what is not given does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Matched as [`super::number::matches`] does.
    pub number: Option<String>,
    pub extension: Option<String>,
    pub did: Option<String>,
    pub pbx: Option<PbxName>,
    pub direction: Option<Direction>,
    pub from: Option<Moment>,
    /// Exclusive.
    pub to: Option<Moment>,
    pub outcome: Option<Outcome>,
    pub state: Option<State>,
    /// Of the leg; of any leg of a call. Both inclusive.
    pub min_duration: Option<Seconds>,
    pub max_duration: Option<Seconds>,
    pub call: Option<CallName>,
    pub limit: Option<u32>,
    /// Only what somebody may see.
    pub scope: Scope,
    /// Only what comes after this place in the listing.
    pub after: Option<Place>,
}

/// A place in a listing, newest first: the moment that it is sorted by, and the id beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub at: UtcMs,
    pub id: String,
}

impl Place {
    /// Opaque to those who page: base64url would add nothing but a dependency to it.
    pub fn cursor(&self) -> String {
        let text = format!("{}\n{}", self.at, self.id);
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn from_cursor(cursor: &str) -> Option<Place> {
        if cursor.len() > 512 || !cursor.len().is_multiple_of(2) || !cursor.is_ascii() {
            return None;
        }
        let byte = |at: usize| u8::from_str_radix(&cursor[at..at + 2], 16).ok();
        let bytes: Option<Vec<u8>> = (0..cursor.len()).step_by(2).map(byte).collect();
        let text = String::from_utf8(bytes?).ok()?;
        let (at, id) = text.split_once('\n')?;
        Some(Place {
            at: at.parse().ok()?,
            id: id.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, UtcMs};

    #[test]
    fn a_cursor_comes_back() {
        let place = Place {
            at: UtcMs(1_678_195_398_250),
            id: "hq/230307142318_40-2-1".to_owned(),
        };
        assert_eq!(Place::from_cursor(&place.cursor()), Some(place));
        for bad in ["", "0", "zz", "ää", "+1", "ff", "300a61"] {
            assert_eq!(Place::from_cursor(bad), None, "{bad}");
        }
    }
}
