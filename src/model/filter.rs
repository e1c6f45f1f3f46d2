//! What a search asks for.
//!
//! Never here: SQL. The store turns a filter into a query.

use super::event::Direction;
use super::id::{CallName, PbxName};
use super::job::State;
use super::time::Moment;

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
    pub state: Option<State>,
    pub call: Option<CallName>,
    pub limit: Option<u32>,
}
