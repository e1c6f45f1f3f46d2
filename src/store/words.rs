//! An inverted index of calls: which words they are found by, and in which seconds such calls began.
//!
//! Never here: which calls a search means. A word that is found may be of another call of the same
//! second, or of what a call was before: whoever searches looks at each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rusqlite::params;

use super::{Error, Tx, execute};
use crate::model::call::Call;
use crate::model::number;
use crate::model::time::UtcMs;

/// What a call is found by. An index word has letters and digits only, whatever is in what it is
/// made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word<'a> {
    /// The end of its number, of one that is matched by its end; and of another the whole.
    Tail(&'a str),
    Number(&'a str),
    /// Digits in a row, in its number; digits only.
    Run(&'a str),
    /// There are letters in its number.
    Lettered,
    Did(&'a str),
    Direction(&'a str),
    /// The extension of somebody who talked.
    Talked(&'a str),
    /// And of somebody whose telephone rang.
    Rang(&'a str),
    /// How long a leg lasted, as [`lasted`] has it.
    Lasted(u32),
}

/// Seconds in steps of powers of two: 0, 1, 2 to 3, 4 to 7, 8 to 15 …
pub fn lasted(seconds: u32) -> u32 {
    u32::BITS - seconds.leading_zeros()
}

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, text) = match self {
            Word::Tail(digits) => ('e', digits),
            Word::Number(number) => ('n', number),
            Word::Run(digits) => return write!(f, "x{digits}"),
            Word::Lettered => ('l', &""),
            Word::Did(did) => ('d', did),
            Word::Direction(direction) => ('w', direction),
            Word::Talked(extension) => ('t', extension),
            Word::Rang(extension) => ('r', extension),
            Word::Lasted(step) => return write!(f, "s{step}"),
        };
        write!(f, "{kind}")?;
        text.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Words that are to be noted, by the second in which their calls began. One entry a second and the
/// seconds in order: what comes in another order is written piecemeal.
#[derive(Debug, Default)]
pub struct Noted(BTreeMap<i64, BTreeSet<String>>);

impl Noted {
    /// What calls that began then are found by now.
    pub fn extend(&mut self, began: UtcMs, words: BTreeSet<String>) {
        if !words.is_empty() {
            let second = began.0.div_euclid(1000);
            self.0.entry(second).or_default().extend(words);
        }
    }

    pub fn write(self, tx: &mut Tx) -> Result<(), Error> {
        let sql = "INSERT INTO call_words (rowid, words) VALUES (?1, ?2)";
        for (second, words) in self.0 {
            let words: Vec<String> = words.into_iter().collect();
            let row = params![second, words.join(" ")];
            execute(tx, "note what calls are found by", sql, row)?;
        }
        Ok(())
    }
}

/// All that a call is found by.
pub fn of_call(call: &Call) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut add = |word: Word| words.insert(word.to_string());
    if let Some(external) = &call.external {
        match number::tail(external) {
            Some(tail) => add(Word::Tail(&tail)),
            None => add(Word::Number(external)),
        };
        for run in number::runs(&number::digits(external)) {
            add(Word::Run(run));
        }
        if number::is_lettered(external) {
            add(Word::Lettered);
        }
    }
    if let Some(did) = &call.did {
        add(Word::Did(did));
    }
    if let Some(direction) = call.direction {
        add(Word::Direction(direction.as_str()));
    }
    for extension in call.legs.iter().filter_map(|leg| leg.extension.as_ref()) {
        add(Word::Talked(extension));
    }
    for extension in &call.ring_path {
        add(Word::Rang(extension));
    }
    for seconds in call.legs.iter().filter_map(|leg| leg.duration_s) {
        add(Word::Lasted(lasted(seconds)));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::{Reader, Store};
    use super::*;

    /// A call is noted again with each event that adds to it, and calls of one second together.
    #[tokio::test]
    async fn a_second_has_all_that_was_ever_noted_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.sqlite");
        let store = Store::open(&path).unwrap();
        for (second, words) in [(7, "e1 x555"), (9, "e1"), (7, "x555 t31"), (-1, "e1 t31")] {
            let mut noted = Noted::default();
            let words = words.split(' ').map(str::to_owned).collect();
            noted.extend(UtcMs(second * 1000 + 999), words);
            store.write(|tx| noted.write(tx)).await.unwrap();
        }
        let db = Reader::open(&path).unwrap();
        let seconds = |asked: &str| {
            let sql = "SELECT rowid FROM call_words WHERE call_words MATCH ?1 ORDER BY rowid DESC";
            super::super::all(&db, "search", sql, [asked], |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!(seconds("e1"), [9, 7, -1]);
        assert_eq!(seconds("(e1) AND (x555 OR t31)"), [7, -1]);
        assert_eq!(seconds("e1 AND x555 AND t31"), [7]);
        let check = |row: &rusqlite::Row| row.get::<_, String>(0);
        let said = db.query_row("PRAGMA integrity_check", [], check);
        assert_eq!(said.unwrap(), "ok");
    }

    #[test]
    fn a_word_is_letters_and_digits_whatever_it_is_made_of() {
        let hostile = Word::Did("a\" OR *").to_string();
        assert_eq!(hostile, "d6122204f52202a");
        assert_ne!(Word::Talked("1").to_string(), Word::Rang("1").to_string());
    }
}
