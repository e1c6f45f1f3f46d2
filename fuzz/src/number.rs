//! Any two texts as numbers: what matches is found where it is looked up, and a pattern means what
//! a plainer reading of it means.

use callvault::model::number::{Candidates, candidates, digits, is_lettered, matches, runs, tail};

pub fn check(data: &[u8]) {
    let [asked, number] = super::lines(data);
    let is_match = matches(&asked, &number);
    assert!(
        !is_match || is_candidate(&asked, &number),
        "{asked:?} {number:?}"
    );
    if !asked.contains('*') {
        assert!(matches(&asked, &asked));
        assert!(number.contains('*') || is_match == matches(&number, &asked));
        return;
    }
    let by_digits = || {
        let asked = digits(&asked);
        asked.contains(|c: char| c.is_ascii_digit()) && fits(&asked, &digits(&number))
    };
    assert_eq!(
        is_match,
        fits(&asked, &number) || by_digits(),
        "{asked:?} {number:?}"
    );
}

fn is_candidate(asked: &str, number: &str) -> bool {
    match candidates(asked) {
        Candidates::All | Candidates::Any => true,
        Candidates::Same { tail: own } => asked == number || own.is_some() && own == tail(number),
        Candidates::Holding(asked) => {
            let digits = digits(number);
            asked.iter().all(|run| runs(&digits).any(|own| own == run))
        }
        Candidates::Lettered => is_lettered(number),
    }
}

/// By the leftmost place of each piece between stars.
fn fits(pattern: &str, text: &str) -> bool {
    let (first, rest) = pattern.split_once('*').expect("a pattern has a star");
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = text.find(piece) else {
            return false;
        };
        text = &text[at + piece.len()..];
    }
    text.ends_with(last)
}
