//! A listing newest first: which index it goes along, and where it ends.
//!
//! SQLite knows nothing of how many rows a number or an extension has, and would as soon go along
//! the wrong one: the way is chosen here, by a count that stops early, and named in the statement.
//! Every statement is bounded in time and ordered by its index, so that a page costs what it shows.
//! Never here: what a filter means.

use rusqlite::types::Value;

use super::super::{Db, Error, all, first};
use crate::model::filter::{Filter, Place};
use crate::model::time::Moment;

/// A way with fewer rows is taken without counting others.
const FEW: i64 = 1_000;
/// Counting ends here.
const MANY: i64 = 20_000;
/// So many keys of a way are walked one by one and merged; of more, all rows are sorted.
const MERGED_MAX: usize = 32;
/// A wall clock is at most 26 h from UTC, and a recording without a call is of a whole day.
const CLOCKS_APART_MS: i64 = 52 * 60 * 60 * 1000;

/// An index that leads to rows by a key, newest first.
pub struct Way {
    /// Where it begins, and what is joined to it.
    pub from: &'static str,
    pub joined: &'static str,
    /// The moment it is ordered by.
    pub sorted: &'static str,
    /// What is compared with its keys; the listing of everything has none.
    pub key: &'static str,
    pub keys: Vec<Value>,
    /// A key has few rows for sure.
    pub is_narrow: bool,
}

/// A condition, each `?` with its value; left out along the way that holds it anyway.
struct Term {
    sql: String,
    values: Vec<Value>,
    held_by: Option<&'static str>,
}

pub struct Listing {
    /// The row's number, and the name that orders those of one moment.
    id: &'static str,
    name: &'static str,
    by_time: Way,
    ways: Vec<Way>,
    terms: Vec<Term>,
    /// Inclusive, and exclusive.
    from_ms: i64,
    to_ms: i64,
    after: Option<Place>,
    limit: Option<u32>,
}

/// The moment and the name that a row is sorted by, and the row.
type Found = (i64, String, i64);

impl Listing {
    /// Of a table whose rows are called so in every way.
    pub fn new((id, name): (&'static str, &'static str), by_time: Way, filter: &Filter) -> Listing {
        let mut listing = Listing {
            id,
            name,
            by_time,
            ways: Vec::new(),
            terms: Vec::new(),
            from_ms: i64::MIN,
            to_ms: i64::MAX,
            after: filter.after.clone(),
            limit: filter.limit,
        };
        if let Some(place) = &filter.after {
            listing.to_ms = place.at.0.saturating_add(1);
        }
        listing
    }

    /// A way that a filter opens. The most selective kind comes first.
    pub fn way(&mut self, way: Way) {
        self.ways.push(way);
    }

    pub fn term(&mut self, sql: impl Into<String>, values: Vec<Value>) {
        self.held("", sql, values);
    }

    /// A condition that going along the way of this key makes true.
    pub fn held(&mut self, key: &'static str, sql: impl Into<String>, values: Vec<Value>) {
        self.terms.push(Term {
            sql: sql.into(),
            values,
            held_by: Some(key).filter(|key| !key.is_empty()),
        });
    }

    pub fn equals(&mut self, column: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.term(format!("{column} = ?"), vec![value.into()]);
        }
    }

    /// A bare time is the wall clock of the PBX of each row; an exact one is UTC. The index is in
    /// UTC: of bare times it gives a little more, from which `local` chooses.
    pub fn period(&mut self, from: Option<Moment>, to: Option<Moment>, local: &str) {
        for (moment, is_start) in [(from, true), (to, false)] {
            let Some(moment) = moment else { continue };
            let at = moment.as_utc().0;
            let slack = match moment {
                Moment::Exact(_) => 0,
                Moment::Local(_) => CLOCKS_APART_MS,
            };
            match is_start {
                true => self.from_ms = at.saturating_sub(slack),
                false => self.to_ms = self.to_ms.min(at.saturating_add(slack)),
            }
            match (moment, is_start) {
                // What has no time is in no period.
                (Moment::Exact(_), _) => self.term(format!("{local} IS NOT NULL"), vec![]),
                (_, true) => self.term(format!("{local} >= ?"), vec![at.into()]),
                (_, false) => self.term(format!("{local} < ?"), vec![at.into()]),
            }
        }
    }

    /// The rows found, newest first.
    pub fn rows(&self, db: &Db) -> Result<Vec<i64>, Error> {
        let way = self.chosen(db)?;
        let mut found: Vec<Found> = Vec::new();
        for (sql, values) in self.statements(way) {
            let params = rusqlite::params_from_iter(values);
            found.extend(all(db, "search", &sql, params, |row| {
                Ok((row.get(1)?, row.get(2)?, row.get(0)?))
            })?);
        }
        if way.keys.len() > 1 {
            found.sort_unstable_by(|a, b| b.cmp(a));
            found.dedup();
            found.truncate(self.limit.map_or(usize::MAX, |limit| limit as usize));
        }
        Ok(found.into_iter().map(|(.., row)| row).collect())
    }

    /// The way with the fewest rows, as far as they are counted.
    fn chosen(&self, db: &Db) -> Result<&Way, Error> {
        if let Some(narrow) = self.ways.iter().find(|way| way.is_narrow) {
            return Ok(narrow);
        }
        if let [only] = self.ways.as_slice()
            && only.keys.len() <= MERGED_MAX
        {
            return Ok(only);
        }
        let mut best: Option<(i64, &Way)> = None;
        for way in &self.ways {
            let count = self.count(db, way)?;
            // Sorting so much takes longer than going by time, where so much is met soon.
            if count >= MANY && way.keys.len() > MERGED_MAX {
                continue;
            }
            if best.is_none_or(|(fewest, _)| count < fewest) {
                best = Some((count, way));
            }
            if count < FEW {
                break;
            }
        }
        Ok(best.map_or(&self.by_time, |(_, way)| way))
    }

    fn count(&self, db: &Db, way: &Way) -> Result<i64, Error> {
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} WHERE {} IN (SELECT value FROM json_each(?)) \
             AND {sorted} >= ? AND {sorted} < ? LIMIT {MANY})",
            way.from,
            way.key,
            sorted = way.sorted,
        );
        let values = rusqlite::params![list(&way.keys), self.from_ms, self.to_ms];
        let count = first(db, "count what a search may go by", &sql, values, |row| {
            row.get(0)
        })?;
        Ok(count.unwrap_or(0))
    }

    /// What is run along a way, each with its values.
    pub fn statements(&self, way: &Way) -> Vec<(String, Vec<Value>)> {
        match way.keys.as_slice() {
            [] if way.key.is_empty() => vec![self.statement(way, "", None)],
            keys if keys.len() <= MERGED_MAX => {
                let each = keys.iter().cloned();
                each.map(|key| self.statement(way, " = ?", Some(key)))
                    .collect()
            }
            keys => {
                let list = Value::Text(list(keys));
                vec![self.statement(way, " IN (SELECT value FROM json_each(?))", Some(list))]
            }
        }
    }

    fn statement(&self, way: &Way, compare: &str, key: Option<Value>) -> (String, Vec<Value>) {
        let sorted = way.sorted;
        let mut terms = vec![format!("{sorted} >= ? AND {sorted} < ?")];
        let mut values = vec![self.from_ms.into(), self.to_ms.into()];
        if let Some(key) = key {
            terms.push(format!("{}{compare}", way.key));
            values.push(key);
        }
        let open = self
            .terms
            .iter()
            .filter(|term| term.held_by != Some(way.key));
        for term in open {
            terms.push(term.sql.clone());
            values.extend(term.values.iter().cloned());
        }
        if let Some(Place { at, id }) = &self.after {
            terms.push(format!("({sorted} < ? OR {} < ?)", self.name));
            values.extend([at.0.into(), id.clone().into()]);
        }
        values.push(self.limit.map_or(-1, i64::from).into());
        let sql = format!(
            "SELECT {}{}, {sorted}, {} FROM {} {} WHERE {} ORDER BY 2 DESC, 3 DESC LIMIT ?",
            // Where rows are joined, several may lead to one.
            if way.joined.is_empty() {
                ""
            } else {
                "DISTINCT "
            },
            self.id,
            self.name,
            way.from,
            way.joined,
            terms.join(" AND "),
        );
        (sql, values)
    }

    #[cfg(test)]
    pub fn ways(&self) -> impl Iterator<Item = &Way> {
        self.ways.iter().chain([&self.by_time])
    }
}

/// Keys as one value, for `json_each`.
fn list(keys: &[Value]) -> String {
    let keys = keys.iter().map(|key| match key {
        Value::Integer(number) => serde_json::json!(number),
        Value::Text(text) => serde_json::json!(text),
        _ => serde_json::Value::Null,
    });
    serde_json::Value::Array(keys.collect()).to_string()
}
