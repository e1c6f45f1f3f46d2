//! What the store was seen to keep of its promises, for people.
//!
//! Never here: what the pipeline does about it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::promise::{Fact, Holds, Promise};
use crate::model::time::UtcMs;
use crate::store::probe::Probed;

/// What trying the store has shown; nothing before it was tried.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StoreStatus {
    pub facts: Vec<StoreFact>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct StoreFact {
    pub promise: &'static str,
    /// `yes`, `no` or `unknown`.
    pub holds: &'static str,
    /// The same in words, and what is done about it.
    pub says: String,
    #[schemars(with = "String")]
    pub at: UtcMs,
}

impl StoreStatus {
    /// What does not hold, or is not known, a line each; that it is well, or not tried, in one.
    pub fn lines(&self) -> Vec<String> {
        let doubtful = self.facts.iter().filter(|fact| fact.holds != "yes");
        let lines: Vec<String> = doubtful
            .map(|fact| format!("the store {}, seen {}", fact.says, fact.at.to_seconds()))
            .collect();
        match (lines.is_empty(), self.facts.first()) {
            (false, _) => lines,
            (true, Some(fact)) => vec![format!(
                "the store keeps all that it promises, seen {}",
                fact.at.to_seconds()
            )],
            (true, None) => vec!["the store was not tried yet".to_owned()],
        }
    }
}

pub(super) fn shown(known: Probed) -> StoreFact {
    StoreFact {
        promise: known.fact.promise.as_str(),
        holds: known.fact.holds.as_str(),
        says: known.fact.says(),
        at: known.at,
    }
}

/// Of what the store does not keep, that which has no way round: a lock is tried only where it is
/// asked for.
pub(super) fn reason(fact: &Fact) -> Option<String> {
    let is_grave =
        fact.promise == Promise::KeepsObjects || Promise::OF_LOCKS.contains(&fact.promise);
    (fact.holds == Holds::No && is_grave).then(|| format!("the store {}", fact.says()))
}
