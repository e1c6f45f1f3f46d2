//! What each filter means on recordings and on calls, and the way along which it is found.
//!
//! Never here: how a way is chosen and walked (`listing`).

use rusqlite::types::Value;

use super::super::numbers::{self, Matching};
use super::super::{Db, Error};
use super::listing::{Listing, Way};
use crate::model::access::Scope;
use crate::model::call::Outcome;
use crate::model::filter::Filter;

fn way(from: &'static str, sorted: &'static str, key: &'static str, keys: Vec<Value>) -> Way {
    Way {
        from,
        joined: "",
        sorted,
        key,
        keys,
        is_narrow: false,
    }
}

fn word(text: impl ToString) -> Value {
    Value::Text(text.to_string())
}

fn words(texts: &[String]) -> Vec<Value> {
    texts.iter().map(word).collect()
}

fn list(texts: &[String]) -> Vec<Value> {
    vec![word(serde_json::json!(texts))]
}

/// Recordings newest first; none where nothing can fit.
pub fn recordings(db: &Db, filter: &Filter) -> Result<Option<Listing>, Error> {
    let along = |from, key, keys| way(from, "r.sorted_ms", key, keys);
    let by_time = along("recording r INDEXED BY recording_by_time", "", Vec::new());
    let mut listing = Listing::new(("r.id", "r.pbx || '/' || r.recording"), by_time, filter);
    if let Some(call) = &filter.call {
        let by_call = "recording r INDEXED BY recording_by_call";
        listing.way(Way {
            is_narrow: true,
            ..along(by_call, "r.call", vec![word(call)])
        });
        listing.held("r.call", "r.call = ?", vec![word(call)]);
    }
    let by_number = "recording r INDEXED BY recording_by_number";
    let by_number = |keys| along(by_number, "r.number_id", keys);
    if !number(db, filter, &mut listing, "r.number_id", by_number)? {
        return Ok(None);
    }
    let Some(extensions) = extensions(filter) else {
        return Ok(None);
    };
    if !extensions.is_empty() {
        let by_extension = "recording r INDEXED BY recording_by_extension";
        listing.way(along(by_extension, "r.extension", words(&extensions)));
        let mine = "r.extension IN (SELECT value FROM json_each(?))";
        listing.held("r.extension", mine, list(&extensions));
    }
    if let Some(did) = &filter.did {
        let by_did = "recording r INDEXED BY recording_by_did";
        listing.way(along(by_did, "r.did", vec![word(did)]));
        listing.held("r.did", "r.did = ?", vec![word(did)]);
    }
    if filter.outcome == Some(Outcome::Missed) {
        let missed = "recording r INDEXED BY recording_missed";
        // The index wants to see the word itself, not the value of a statement.
        let key = "r.outcome = 'missed' AND r.outcome";
        listing.way(along(missed, key, vec![word(Outcome::Missed)]));
    }
    if let Some(state) = filter.state {
        let by_state = "recording r INDEXED BY recording_by_state";
        listing.way(along(by_state, "r.state", vec![word(state)]));
        listing.held("r.state", "r.state = ?", vec![word(state)]);
    }
    listing.equals("r.outcome", filter.outcome.map(word));
    plain(filter, &mut listing, "r.pbx", "r.direction");
    let duration = [(">=", filter.min_duration), ("<=", filter.max_duration)];
    for (compare, seconds) in duration {
        if let Some(seconds) = seconds {
            let term = format!("r.duration_s {compare} ?");
            listing.term(term, vec![i64::from(seconds.0).into()]);
        }
    }
    listing.period(filter.from, filter.to, "r.local_ms");
    Ok(Some(listing))
}

/// Calls newest first, missed ones too; none where nothing can fit.
pub fn calls(db: &Db, filter: &Filter) -> Result<Option<Listing>, Error> {
    let along = |from, key, keys| way(from, "c.sorted_ms", key, keys);
    let by_time = along("call c INDEXED BY call_by_time", "", Vec::new());
    let mut listing = Listing::new(("c.id", "c.pbx || '/' || c.call"), by_time, filter);
    listing.term("c.known = 1", Vec::new());
    if let Some(call) = &filter.call {
        listing.way(Way {
            is_narrow: true,
            ..along("call c INDEXED BY call_by_name", "c.call", vec![word(call)])
        });
        listing.held("c.call", "c.call = ?", vec![word(call)]);
    }
    let by_number = "call c INDEXED BY call_by_number";
    // The index is of known calls, which a count must name too.
    let by_number = |keys| along(by_number, "c.known = 1 AND c.number_id", keys);
    if !number(db, filter, &mut listing, "c.number_id", by_number)? {
        return Ok(None);
    }
    // What somebody may not see does not show by what a filter finds either.
    let Some(extensions) = extensions(filter) else {
        return Ok(None);
    };
    if !extensions.is_empty() {
        took_part(filter, &mut listing, &extensions);
    }
    if let Some(did) = &filter.did {
        let (from, key) = ("call c INDEXED BY call_by_did", "c.known = 1 AND c.did");
        listing.way(along(from, key, vec![word(did)]));
        listing.held(key, "c.did = ?", vec![word(did)]);
    }
    with_state(filter, &mut listing);
    listing.equals("c.outcome", filter.outcome.map(word));
    plain(filter, &mut listing, "c.pbx", "c.direction");
    with_duration(filter, &mut listing);
    listing.period(filter.from, filter.to, "c.local_ms");
    Ok(Some(listing))
}

/// The extensions that a row must have one of, where it must: of a filter, else of the scope. None
/// where the filter's is outside the scope.
fn extensions(filter: &Filter) -> Option<Vec<String>> {
    match &filter.extension {
        Some(extension) => {
            let is_mine = filter.scope.has_extension(Some(extension));
            is_mine.then(|| vec![extension.clone()])
        }
        None => Some(filter.scope.extensions.clone()),
    }
}

/// False where no number matches.
fn number(
    db: &Db,
    filter: &Filter,
    listing: &mut Listing,
    column: &'static str,
    way: impl FnOnce(Vec<Value>) -> Way,
) -> Result<bool, Error> {
    let Some(asked) = &filter.number else {
        return Ok(true);
    };
    match numbers::matching(db, asked)? {
        Matching::Every => listing.term(format!("{column} IS NOT NULL"), Vec::new()),
        Matching::These(rows) if rows.is_empty() => return Ok(false),
        Matching::These(rows) => {
            let keys = serde_json::json!(rows);
            let way = way(rows.into_iter().map(Value::from).collect());
            let these = format!("{column} IN (SELECT value FROM json_each(?))");
            listing.held(way.key, these, vec![word(keys)]);
            listing.way(way);
        }
    }
    Ok(true)
}

fn plain(filter: &Filter, listing: &mut Listing, pbx: &str, direction: &str) {
    listing.equals(pbx, filter.pbx.as_ref().map(word));
    listing.equals(pbx, filter.scope.pbx.as_ref().map(word));
    listing.equals(direction, filter.direction.map(word));
}

/// Talked, where a filter asks; rang or talked, where it is the scope.
fn took_part(filter: &Filter, listing: &mut Listing, extensions: &[String]) {
    let (key, talked) = match filter.extension {
        Some(_) => ("p.talked = 1 AND p.extension", "p.talked = 1 AND "),
        None => ("p.extension", ""),
    };
    listing.way(Way {
        joined: "CROSS JOIN call c ON c.id = p.call_id",
        ..way("participant p", "p.sorted_ms", key, words(extensions))
    });
    let took_part = format!(
        "EXISTS (SELECT 1 FROM participant p WHERE {talked}p.sorted_ms = c.sorted_ms \
         AND p.call_id = c.id AND p.extension IN (SELECT value FROM json_each(?)))"
    );
    listing.held(key, took_part, list(extensions));
}

/// Has a recording in this state, of a leg in scope.
fn with_state(filter: &Filter, listing: &mut Listing) {
    let Some(state) = filter.state else { return };
    listing.way(Way {
        joined: "CROSS JOIN call c INDEXED BY call_by_name ON c.call = r.call AND c.pbx = r.pbx",
        ..way(
            "recording r INDEXED BY recording_by_state",
            "r.sorted_ms",
            "r.state",
            vec![word(state)],
        )
    });
    let (mine, scope) = in_scope(&filter.scope, "s.extension");
    let has = format!(
        "EXISTS (SELECT 1 FROM recording s INDEXED BY recording_by_call \
         WHERE s.call = c.call AND s.pbx = c.pbx AND s.state = ? AND {mine})"
    );
    listing.term(has, [vec![word(state)], scope].concat());
}

/// Has a leg in scope that lasted so long. The bounds on the call decide most without its legs.
fn with_duration(filter: &Filter, listing: &mut Listing) {
    let bounds = (filter.min_duration, filter.max_duration);
    if bounds == (None, None) {
        return;
    }
    let (least, most) = (
        bounds.0.map_or(0, |seconds| i64::from(seconds.0)),
        bounds.1.map_or(i64::MAX, |seconds| i64::from(seconds.0)),
    );
    let (mine, scope) = in_scope(&filter.scope, "l.extension");
    let has = format!(
        "c.longest_s >= ? AND c.shortest_s <= ? AND EXISTS (SELECT 1 FROM leg l \
         WHERE l.call_id = c.id AND l.duration_s BETWEEN ? AND ? AND {mine})"
    );
    let bounds = [least, most, least, most].map(Value::from);
    listing.term(has, [bounds.to_vec(), scope].concat());
}

fn in_scope(scope: &Scope, column: &str) -> (String, Vec<Value>) {
    match scope.extensions.as_slice() {
        [] => ("1".to_owned(), Vec::new()),
        mine => (
            format!("{column} IN (SELECT value FROM json_each(?))"),
            list(mine),
        ),
    }
}
