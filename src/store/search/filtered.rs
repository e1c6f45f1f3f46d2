//! What each filter means on recordings and on calls, and the way along which it is found.
//!
//! Never here: how a way is chosen and walked (`listing`).

use rusqlite::types::Value;

use super::super::words::{self, Word};
use super::super::{Db, Error};
use super::listing::{Listing, Table};
use crate::model::access::Scope;
use crate::model::call::Outcome;
use crate::model::filter::Filter;
use crate::model::number::{self, Candidates};

const BY_STATE: (&str, &str) = ("recording r INDEXED BY recording_by_state", "r.sorted_ms");

fn text(text: impl ToString) -> Value {
    Value::Text(text.to_string())
}

fn list(texts: &[String]) -> Value {
    text(serde_json::json!(texts))
}

/// Recordings newest first; none where nothing can fit.
pub fn recordings(db: &Db, filter: &Filter) -> Result<Option<Listing>, Error> {
    let table = Table {
        id: "r.id",
        name: "r.pbx || '/' || r.recording",
        sorted: "r.sorted_ms",
        local: "r.local_ms",
        by_time: "recording r INDEXED BY recording_by_time",
        apart: "SELECT local_ms - sorted_ms FROM recording INDEXED BY recording_apart",
    };
    let mut listing = Listing::new(db, table, filter)?;
    if let Some(call) = &filter.call {
        listing.few("recording r INDEXED BY recording_by_call");
        listing.term("r.call = ?", [text(call)]);
    }
    let Some(extensions) = extensions(filter) else {
        return Ok(None);
    };
    if !lasted(filter, &mut listing) {
        return Ok(None);
    }
    if !extensions.is_empty() {
        listing.words(extensions.iter().map(|extension| Word::Talked(extension)));
        let mine = "r.extension IN (SELECT value FROM json_each(?))";
        listing.term(mine, [list(&extensions)]);
    }
    if filter.outcome == Some(Outcome::Missed) {
        let missed = ("recording r INDEXED BY recording_missed", "r.sorted_ms");
        // The index wants to see the word itself, not the value of a statement.
        let missing = "r.outcome = 'missed' AND r.outcome";
        listing.index(missed, missing, text(Outcome::Missed), "");
    }
    if let Some(state) = filter.state {
        listing.index(BY_STATE, "r.state", text(state), "");
        listing.term("r.state = ?", [text(state)]);
    }
    plain(filter, &mut listing, "r");
    let duration = [(">=", filter.min_duration), ("<=", filter.max_duration)];
    for (compare, seconds) in duration {
        if let Some(seconds) = seconds {
            // As the length is shown: of the leg, or else of the audio.
            let term = format!("coalesce(r.duration_s, r.media_ms / 1000) {compare} ?");
            listing.term(term, [i64::from(seconds.0).into()]);
        }
    }
    Ok(Some(listing))
}

/// Calls newest first, missed ones too; none where nothing can fit.
pub fn calls(db: &Db, filter: &Filter) -> Result<Option<Listing>, Error> {
    let table = Table {
        id: "c.id",
        name: "c.pbx || '/' || c.call",
        sorted: "c.sorted_ms",
        local: "c.local_ms",
        by_time: "call c INDEXED BY call_by_time",
        apart: "SELECT local_ms - sorted_ms FROM call INDEXED BY call_apart \
            WHERE local_ms IS NOT NULL",
    };
    let mut listing = Listing::new(db, table, filter)?;
    listing.term("c.known = 1", []);
    if let Some(call) = &filter.call {
        listing.few("call c INDEXED BY call_by_name");
        listing.term("c.call = ?", [text(call)]);
    }
    // What somebody may not see does not show by what a filter finds either.
    let Some(extensions) = extensions(filter) else {
        return Ok(None);
    };
    if !lasted(filter, &mut listing) {
        return Ok(None);
    }
    if !extensions.is_empty() {
        took_part(filter, &mut listing, &extensions);
    }
    with_state(filter, &mut listing);
    plain(filter, &mut listing, "c");
    with_duration(filter, &mut listing);
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

/// A pattern in which nothing can be looked up has each row looked at, newest first.
fn number(filter: &Filter, listing: &mut Listing, of: &str) {
    let Some(asked) = &filter.number else { return };
    match number::candidates(asked) {
        Candidates::All => return listing.term(format!("{of}.external IS NOT NULL"), []),
        Candidates::Same { tail: Some(tail) } => listing.words([Word::Tail(&tail)]),
        Candidates::Same { tail: None } => listing.words([Word::Number(asked)]),
        Candidates::Holding(runs) => runs.iter().for_each(|run| listing.words([Word::Run(run)])),
        Candidates::Lettered => listing.words([Word::Lettered]),
        Candidates::Any => {}
    }
    listing.term(format!("number_matches(?, {of}.external)"), [text(asked)]);
}

/// What both calls and recordings have in columns of their own.
fn plain(filter: &Filter, listing: &mut Listing, of: &str) {
    number(filter, listing, of);
    if let Some(did) = &filter.did {
        listing.words([Word::Did(did)]);
        listing.term(format!("{of}.did = ?"), [text(did)]);
    }
    if let Some(direction) = filter.direction {
        listing.words([Word::Direction(direction.as_str())]);
        listing.term(format!("{of}.direction = ?"), [text(direction)]);
    }
    listing.equals(&format!("{of}.outcome"), filter.outcome.map(text));
    listing.equals(&format!("{of}.pbx"), filter.pbx.as_ref().map(text));
    listing.equals(&format!("{of}.pbx"), filter.scope.pbx.as_ref().map(text));
}

/// Talked, where a filter asks; rang or talked, where it is the scope.
fn took_part(filter: &Filter, listing: &mut Listing, extensions: &[String]) {
    let talked = extensions.iter().map(|extension| Word::Talked(extension));
    let did_talk = "EXISTS (SELECT 1 FROM leg l WHERE l.call_id = c.id \
        AND l.extension IN (SELECT value FROM json_each(?)))";
    if filter.extension.is_some() {
        listing.words(talked);
        return listing.term(did_talk, [list(extensions)]);
    }
    listing.words(talked.chain(extensions.iter().map(|extension| Word::Rang(extension))));
    let did_ring = "EXISTS (SELECT 1 FROM json_each(c.ring_path) rang \
        WHERE rang.value IN (SELECT value FROM json_each(?)))";
    let took_part = format!("({did_talk} OR {did_ring})");
    listing.term(took_part, [list(extensions), list(extensions)]);
}

/// Has a recording in this state, of a leg in scope.
fn with_state(filter: &Filter, listing: &mut Listing) {
    let Some(state) = filter.state else { return };
    let calls = "CROSS JOIN call c INDEXED BY call_by_name ON c.call = r.call AND c.pbx = r.pbx";
    listing.index(BY_STATE, "r.state", text(state), calls);
    let (mine, scope) = in_scope(&filter.scope, "s.extension");
    let has = format!(
        "EXISTS (SELECT 1 FROM recording s INDEXED BY recording_by_call \
         WHERE s.call = c.call AND s.pbx = c.pbx AND s.state = ? AND {mine})"
    );
    listing.term(has, [text(state)].into_iter().chain(scope));
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
    listing.term(has, bounds.into_iter().chain(scope));
}

/// False where nothing can last so long and so short.
fn lasted(filter: &Filter, listing: &mut Listing) -> bool {
    let least = filter.min_duration.map_or(0, |seconds| seconds.0);
    let most = filter.max_duration.map_or(u32::MAX, |seconds| seconds.0);
    if least > 0 || most < u32::MAX {
        listing.words((words::lasted(least)..=words::lasted(most)).map(Word::Lasted));
    }
    least <= most
}

fn in_scope(scope: &Scope, column: &str) -> (String, Option<Value>) {
    match scope.extensions.as_slice() {
        [] => ("1".to_owned(), None),
        mine => (
            format!("{column} IN (SELECT value FROM json_each(?))"),
            Some(list(mine)),
        ),
    }
}
