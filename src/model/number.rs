//! How telephone numbers match, as they are typed in many ways.
//!
//! Never here: which calls match. That is a query of the store, which calls this.

use std::collections::BTreeSet;

const SHORTEST_SUFFIX_DIGITS: usize = 6;
/// More runs than a number has digits narrow nothing further.
const RUNS_MAX: usize = 24;

/// Whether a number means what was asked for. `*` in the question stands for any text. Otherwise
/// two numbers are the same when, reduced to digits without leading zeros, one ends with the other
/// and the shorter has at least six; else only when they are the same text.
pub fn matches(asked: &str, number: &str) -> bool {
    if asked.contains('*') {
        return glob(asked.as_bytes(), number.as_bytes())
            || (digits(asked).contains(|c: char| c.is_ascii_digit())
                && glob(digits(asked).as_bytes(), digits(number).as_bytes()));
    }
    if asked == number {
        return true;
    }
    let (a, b) = (significant(asked), significant(number));
    let (short, long) = if a.len() <= b.len() {
        (&a, &b)
    } else {
        (&b, &a)
    };
    short.len() >= SHORTEST_SUFFIX_DIGITS && long.ends_with(short.as_str())
}

/// Where numbers that may match are found: never fewer than do match, for [`matches()`] decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidates {
    /// Each number matches.
    All,
    /// The same text, and those of this [`tail`].
    Same { tail: Option<String> },
    /// Their digits hold each of these runs of three.
    Holding(Vec<String>),
    /// Nothing that could be looked up: each has to be looked at.
    Any,
}

pub fn candidates(asked: &str) -> Candidates {
    if !asked.contains('*') {
        return Candidates::Same { tail: tail(asked) };
    }
    if asked.bytes().all(|byte| byte == b'*') {
        return Candidates::All;
    }
    // What fits a pattern with digits in it fits it by its digits alone.
    let pattern = digits(asked);
    let runs = pattern.split('*').flat_map(|run| run.as_bytes().windows(3));
    let runs: BTreeSet<String> = runs
        .map(|three| three.iter().map(|byte| char::from(*byte)).collect())
        .collect();
    match runs.is_empty() {
        true => Candidates::Any,
        false => Candidates::Holding(runs.into_iter().take(RUNS_MAX).collect()),
    }
}

/// The last digits of a number that is long enough to be matched by its end: two that match so
/// have the same.
pub fn tail(number: &str) -> Option<String> {
    let digits = significant(number);
    let at = digits.len().checked_sub(SHORTEST_SUFFIX_DIGITS)?;
    Some(digits[at..].to_owned())
}

/// A number without what it is only written with.
pub fn digits(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_digit() || *c == '*')
        .collect()
}

fn significant(text: &str) -> String {
    digits(text).trim_start_matches('0').to_owned()
}

/// `*` matches any run of bytes. Linear: after a mismatch only the last star is widened.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::{Candidates, candidates, digits, matches, tail};

    #[test]
    fn numbers() {
        for (asked, number, expected) in [
            ("05552221133", "05552221133", true),
            ("+90 555 222 11 33", "05552221133", true),
            ("2221133", "05552221133", true),
            ("221133", "05552221133", true),
            ("21133", "05552221133", false),
            ("05552221133", "5552221133", true),
            ("117", "117", true),
            ("0117", "117", false),
            ("117", "420774117", false),
            ("anonymous", "anonymous", true),
            ("anonymous", "Anonymous", false),
            ("0555*", "05552221133", true),
            ("*1133", "05552221133", true),
            ("*222*33", "05552221133", true),
            ("555*", "05552221133", false),
            ("+420*", "+420 774 852 629", true),
            ("anon*", "anonymous", true),
            ("*", "anything", true),
            ("*553*", "+420 774 85 53 29", true),
            ("*553*", "05552221133", false),
            ("*a1*234*", "a12345", true),
        ] {
            assert_eq!(matches(asked, number), expected, "{asked} ~ {number}");
            assert!(
                !expected || is_candidate(asked, number),
                "{asked} ~ {number}"
            );
        }
    }

    fn is_candidate(asked: &str, number: &str) -> bool {
        match candidates(asked) {
            Candidates::All | Candidates::Any => true,
            Candidates::Same { tail: own } => {
                asked == number || own.is_some() && own == tail(number)
            }
            Candidates::Holding(runs) => runs.iter().all(|run| digits(number).contains(run)),
        }
    }

    #[test]
    fn what_can_be_looked_up_is() {
        let holding =
            |runs: &[&str]| Candidates::Holding(runs.iter().map(|r| (*r).to_owned()).collect());
        for (asked, expected) in [
            ("***", Candidates::All),
            ("117", Candidates::Same { tail: None }),
            (
                "+90 555 222 11 33",
                Candidates::Same {
                    tail: Some("221133".to_owned()),
                },
            ),
            ("*55*", Candidates::Any),
            ("anon*", Candidates::Any),
            ("*5 53*", holding(&["553"])),
            ("0555*22", holding(&["055", "555"])),
        ] {
            assert_eq!(candidates(asked), expected, "{asked}");
        }
    }
}
