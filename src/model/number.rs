//! How telephone numbers match, as they are typed in many ways.
//!
//! Never here: which calls match. That is a query of the store, which calls this.

use std::collections::BTreeSet;

const SHORTEST_SUFFIX_DIGITS: usize = 6;
/// So many digits in a row are looked up in an index: of a number each run of both lengths, of a
/// pattern the long ones, where it has any. Of ten million calls some hundred have a long one.
const RUN_SHORT: usize = 3;
const RUN_LONG: usize = 5;
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
    /// Their digits hold each of these runs.
    Holding(Vec<String>),
    /// There are letters in them.
    Lettered,
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
    let pieces = pattern.split('*');
    // The longer, the fewer numbers have it.
    let runs = pieces.flat_map(|piece| match piece.len() {
        0..RUN_LONG => runs_of(RUN_SHORT, piece),
        _ => runs_of(RUN_LONG, piece),
    });
    let runs: BTreeSet<String> = runs.map(str::to_owned).collect();
    if !runs.is_empty() {
        return Candidates::Holding(runs.into_iter().take(RUNS_MAX).collect());
    }
    let has_digits = pattern.contains(|c: char| c.is_ascii_digit());
    match is_lettered(asked) && !has_digits {
        true => Candidates::Lettered,
        false => Candidates::Any,
    }
}

pub fn is_lettered(number: &str) -> bool {
    number.contains(char::is_alphabetic)
}

/// The last digits of a number that is long enough to be matched by its end: two that match so
/// have the same.
pub fn tail(number: &str) -> Option<String> {
    let digits = significant(number);
    let at = digits.len().checked_sub(SHORTEST_SUFFIX_DIGITS)?;
    Some(digits[at..].to_owned())
}

/// The runs by which a number is found, of what [`digits`] left of it.
pub fn runs(digits: &str) -> impl Iterator<Item = &str> {
    let runs = runs_of(RUN_SHORT, digits).chain(runs_of(RUN_LONG, digits));
    runs.filter(|run| !run.contains('*'))
}

fn runs_of(length: usize, digits: &str) -> impl Iterator<Item = &str> {
    let starts = 0..(digits.len() + 1).saturating_sub(length);
    starts.filter_map(move |at| digits.get(at..at + length))
}

/// A number without what it is only written with.
pub fn digits(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_digit() || *c == '*')
        .collect()
}

/// Digits only, without leading zeros: a star may be dialled too.
fn significant(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').to_owned()
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
    use super::{Candidates, candidates, digits, is_lettered, matches, runs, tail};

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
            ("1234567", "1234567*", true),
            ("1234567", "12*34567", true),
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
            Candidates::Holding(asked) => {
                let digits = digits(number);
                asked.iter().all(|run| runs(&digits).any(|own| own == run))
            }
            Candidates::Lettered => is_lettered(number),
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
            ("anon*", Candidates::Lettered),
            ("a1*", Candidates::Any),
            ("*5 53*", holding(&["553"])),
            ("0555*22", holding(&["055", "555"])),
        ] {
            assert_eq!(candidates(asked), expected, "{asked}");
        }
    }
}
