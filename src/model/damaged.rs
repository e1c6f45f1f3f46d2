//! Whose end event is it whose id was damaged on the way? Decided over all that a PBX has told.
//!
//! The rule: exactly one leg of that PBX, without an undamaged end, has an id that ends in the
//! surviving text and the same user and number. Anything less certain stays unmatched and visible.

use super::id::LegId;
use super::number;

/// An end event with what is left of its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    pub id_rest: String,
    pub user: Option<String>,
    pub external: Option<String>,
}

/// A leg that may have lost its end event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub leg: LegId,
    pub extension: Option<String>,
    pub external: Option<String>,
    pub end_is_certain: bool,
}

/// The one leg that the event is of.
pub fn owner(damaged: &Damaged, candidates: &[Candidate]) -> Option<LegId> {
    let mut fitting = candidates
        .iter()
        .filter(|candidate| fits(damaged, candidate));
    let only = fitting.next()?;
    fitting.next().is_none().then(|| only.leg.clone())
}

fn fits(damaged: &Damaged, candidate: &Candidate) -> bool {
    let same_number = match (&damaged.external, &candidate.external) {
        (Some(a), Some(b)) => !a.contains('*') && number::matches(a, b),
        _ => false,
    };
    !candidate.end_is_certain
        && same_number
        && damaged.user.is_some()
        && damaged.user == candidate.extension
        && candidate.leg.to_string().ends_with(&damaged.id_rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(call: &str, extension: &str, end_is_certain: bool) -> Candidate {
        Candidate {
            leg: LegId {
                call: call.parse().unwrap(),
                leg: 1,
            },
            extension: Some(extension.to_owned()),
            external: Some("05552221133".to_owned()),
            end_is_certain,
        }
    }

    #[test]
    fn only_one_leg_may_fit() {
        let damaged = Damaged {
            id_rest: "30307135611_31-1".to_owned(),
            user: Some("117".to_owned()),
            external: Some("05552221133".to_owned()),
        };
        let right = candidate("230307135611_31", "117", false);
        let ended = candidate("130307135611_31", "117", true);
        let other_user = candidate("330307135611_31", "118", false);
        let other_call = candidate("230307135612_31", "117", false);
        let all = [right.clone(), ended, other_user, other_call];
        assert_eq!(owner(&damaged, &all), Some(right.leg.clone()));
        let twin = candidate("130307135611_31", "117", false);
        assert_eq!(owner(&damaged, &[right, twin]), None);
        assert_eq!(owner(&damaged, &[]), None);
    }
}
