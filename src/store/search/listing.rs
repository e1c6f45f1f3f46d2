//! A listing newest first: which index it goes along, and where it ends.
//!
//! SQLite knows nothing of how many calls a number or an extension has, and would as soon go along
//! the wrong index: the way is chosen here, by a count that stops early, and named in the statement.
//! Every statement is bounded in time and ordered by its index, and read no further than a page
//! needs. Never here: what a filter means.

use rusqlite::types::Value;

use super::super::words::Word;
use super::super::{Db, Error, each, first};
use crate::model::filter::{Filter, Place};
use crate::model::time::Moment;

/// A way with fewer rows is taken without counting others.
const FEW: i64 = 1_000;
/// Counting ends here.
const MANY: i64 = 20_000;

/// What is listed, as statements call it.
pub struct Table {
    /// The row's number, and the name that orders those of one moment.
    pub id: &'static str,
    pub name: &'static str,
    /// The moment that listings go by, the wall clock then, and the index by that moment.
    pub sorted: &'static str,
    pub local: &'static str,
    pub by_time: &'static str,
    /// What selects how far the wall clock is from UTC, by an index.
    pub apart: &'static str,
}

/// An index that leads to rows, newest first.
#[derive(Clone)]
pub struct Way {
    from: String,
    /// What is found there; and what is joined to it, which a count leaves out.
    condition: String,
    values: Vec<Value>,
    joined: String,
    order: String,
    /// It leads to few rows for sure.
    is_narrow: bool,
}

pub struct Listing {
    table: Table,
    ways: Vec<Way>,
    /// Of a call, each as the inverted index takes it: one of some words.
    words: Vec<String>,
    /// Conditions, and their values in that order.
    terms: Vec<String>,
    values: Vec<Value>,
    /// Inclusive, and exclusive.
    from_ms: i64,
    to_ms: i64,
    limit: Option<u32>,
}

/// The moment and the name that a row is sorted by, and the row.
type Found = (i64, String, i64);

impl Listing {
    /// Bounded as the filter says: by its period, its page and its limit.
    pub fn new(db: &Db, table: Table, filter: &Filter) -> Result<Listing, Error> {
        let mut listing = Listing {
            table,
            ways: Vec::new(),
            words: Vec::new(),
            terms: Vec::new(),
            values: Vec::new(),
            from_ms: i64::MIN,
            to_ms: i64::MAX,
            limit: filter.limit,
        };
        if let Some(Place { at, id }) = &filter.after {
            listing.to_ms = at.0.saturating_add(1);
            let Table { sorted, name, .. } = listing.table;
            let behind = format!("({sorted} < ? OR {name} < ?)");
            listing.term(behind, [at.0.into(), id.clone().into()]);
        }
        listing.period(db, filter.from, filter.to)?;
        // With a sign, so that no index is chosen for it.
        let bounds = [listing.from_ms, listing.to_ms].map(Value::from);
        let sorted = listing.table.sorted;
        listing.term(format!("+{sorted} >= ? AND +{sorted} < ?"), bounds);
        Ok(listing)
    }

    pub fn term(&mut self, sql: impl Into<String>, values: impl IntoIterator<Item = Value>) {
        self.terms.push(sql.into());
        self.values.extend(values);
    }

    pub fn equals(&mut self, column: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.term(format!("{column} = ?"), [value.into()]);
        }
    }

    /// A bare time is the wall clock of the PBX of each row; an exact one is UTC. The index is in
    /// UTC: of bare times it gives a little more, from which the wall clock chooses.
    fn period(&mut self, db: &Db, from: Option<Moment>, to: Option<Moment>) -> Result<(), Error> {
        let local = self.table.local;
        if let Some(from) = from {
            let at = from.as_utc().0;
            match from {
                Moment::Exact(_) => self.from_ms = at,
                Moment::Local(_) => {
                    self.from_ms = at.saturating_sub(self.apart(db, "DESC")?);
                    self.term(format!("{local} >= ?"), [at.into()]);
                }
            }
        }
        if let Some(to) = to {
            let at = to.as_utc().0;
            let end = match to {
                Moment::Exact(_) => at,
                Moment::Local(_) => {
                    self.term(format!("{local} < ?"), [at.into()]);
                    at.saturating_sub(self.apart(db, "ASC")?)
                }
            };
            self.to_ms = self.to_ms.min(end);
        }
        if (from, to) != (None, None) {
            // What has no time is in no period.
            self.term(format!("{local} IS NOT NULL"), []);
        }
        Ok(())
    }

    /// How far the wall clock of a row is ahead of UTC, at most or at least.
    fn apart(&self, db: &Db, order: &str) -> Result<i64, Error> {
        let sql = format!("{} ORDER BY 1 {order} LIMIT 1", self.table.apart);
        let apart = first(db, "see how clocks are apart", &sql, [], |row| row.get(0))?;
        Ok(apart.unwrap_or(0))
    }

    /// The call has one of these words. That leads to it: a condition has to say it too.
    pub fn words<'a>(&mut self, any: impl IntoIterator<Item = Word<'a>>) {
        let any: Vec<String> = any.into_iter().map(|word| word.to_string()).collect();
        self.words.push(format!("({})", any.join(" OR ")));
    }

    /// An index that leads to few rows: those of a condition of the listing.
    pub fn few(&mut self, from: &str) {
        self.ways.push(Way {
            from: from.to_owned(),
            condition: "1".to_owned(),
            values: Vec::new(),
            joined: String::new(),
            order: "2 DESC, 3 DESC".to_owned(),
            is_narrow: true,
        });
    }

    /// An index of what has a value, by the moment; of another table where one is joined to it.
    pub fn index(
        &mut self,
        (from, sorted): (&str, &str),
        column: &str,
        value: Value,
        joined: &str,
    ) {
        let mut way = self.along((from, sorted), joined);
        way.condition = format!("{column} = ? AND {}", way.condition);
        way.values.insert(0, value);
        self.ways.push(way);
    }

    fn along(&self, (from, sorted): (&str, &str), joined: &str) -> Way {
        Way {
            from: from.to_owned(),
            condition: format!("{sorted} >= ? AND {sorted} < ?"),
            values: vec![self.from_ms.into(), self.to_ms.into()],
            joined: joined.to_owned(),
            order: format!("{sorted} DESC, 3 DESC"),
            is_narrow: false,
        }
    }

    fn by_time(&self) -> Way {
        self.along((self.table.by_time, self.table.sorted), "")
    }

    /// Seconds in which calls with these words began, and what began in them.
    fn by_words(&self) -> Way {
        let Table {
            sorted, by_time, ..
        } = self.table;
        let (first, last) = (
            self.from_ms.div_euclid(1000),
            self.to_ms.saturating_sub(1).div_euclid(1000),
        );
        Way {
            from: "call_words".to_owned(),
            condition: "call_words MATCH ? AND call_words.rowid BETWEEN ? AND ?".to_owned(),
            values: vec![self.words.join(" AND ").into(), first.into(), last.into()],
            joined: format!(
                "CROSS JOIN {by_time} ON {sorted} >= call_words.rowid * 1000 \
                 AND {sorted} < call_words.rowid * 1000 + 1000"
            ),
            order: "call_words.rowid DESC".to_owned(),
            is_narrow: false,
        }
    }

    /// All that may be gone along.
    pub fn ways(&self) -> Vec<Way> {
        let words = (!self.words.is_empty()).then(|| self.by_words());
        let ways: Vec<Way> = words.into_iter().chain(self.ways.iter().cloned()).collect();
        match ways.is_empty() {
            true => vec![self.by_time()],
            false => ways,
        }
    }

    /// The way with the fewest rows, as far as they are counted.
    fn chosen(&self, db: &Db) -> Result<Way, Error> {
        let mut ways = self.ways();
        if let Some(narrow) = ways.iter().position(|way| way.is_narrow) {
            return Ok(ways.swap_remove(narrow));
        }
        let mut best = ways.remove(0);
        if ways.is_empty() {
            return Ok(best);
        }
        let mut fewest = count(db, &best)?;
        for way in ways {
            if fewest < FEW {
                break;
            }
            let count = count(db, &way)?;
            if count < fewest {
                (fewest, best) = (count, way);
            }
        }
        Ok(best)
    }

    /// The rows found, newest first.
    pub fn rows(&self, db: &Db) -> Result<Vec<i64>, Error> {
        let limit = self.limit.map_or(usize::MAX, |limit| limit as usize);
        let (sql, values) = self.statement(&self.chosen(db)?);
        let mut found: Vec<Found> = Vec::new();
        each(
            db,
            "search",
            &sql,
            rusqlite::params_from_iter(values),
            |row| {
                let next = (row.get(1)?, row.get(2)?, row.get(0)?);
                // What is of one second comes in any order, and where rows are joined, several may lead
                // to one.
                let last = found.last();
                let second = |found: &Found| found.0.div_euclid(1000);
                if found.len() >= limit && last.is_some_and(|last| second(last) != second(&next)) {
                    return Ok(false);
                }
                if last != Some(&next) {
                    found.push(next);
                }
                Ok(true)
            },
        )?;
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(limit);
        Ok(found.into_iter().map(|(.., row)| row).collect())
    }

    /// What is run along a way, and its values.
    pub fn statement(&self, way: &Way) -> (String, Vec<Value>) {
        let sql = format!(
            "SELECT {}, {}, {} FROM {} {} WHERE {} AND {} ORDER BY {}",
            self.table.id,
            self.table.sorted,
            self.table.name,
            way.from,
            way.joined,
            way.condition,
            self.terms.join(" AND "),
            way.order,
        );
        (sql, [way.values.clone(), self.values.clone()].concat())
    }
}

fn count(db: &Db, way: &Way) -> Result<i64, Error> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM {} WHERE {} LIMIT {MANY})",
        way.from, way.condition
    );
    let values = rusqlite::params_from_iter(way.values.iter());
    let count = first(db, "count what a search may go by", &sql, values, |row| {
        row.get(0)
    })?;
    Ok(count.unwrap_or(0))
}
