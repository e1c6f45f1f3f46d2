//! Query strings: known parameters only, each checked, so that a typing error is not a wider
//! search.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::problem::Problem;
use crate::catalog::series::Window;
use crate::model::access::Scope;
use crate::model::call::Outcome;
use crate::model::event::{Direction, Kind};
use crate::model::filter::{Filter, Place};
use crate::model::job::State;
use crate::model::time::Moment;
use crate::store::events::UNPARSED;
use crate::store::jobs::Turn;

/// A parameter of a route, as it is described to people.
pub struct Parameter {
    pub name: &'static str,
    pub about: &'static str,
}

const fn parameter(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, about }
}

pub const NONE: &[Parameter] = &[];
const LIMIT: Parameter = parameter("limit", "At most so many, up to 1000");
const CURSOR: Parameter = parameter("cursor", "From the answer before");
static FILTERS: [Parameter; 15] = [
    parameter("number", "External number; * is a wildcard"),
    parameter("extension", "Extension of the leg"),
    parameter("did", "Name of the inbound rule"),
    parameter("pbx", "PBX"),
    parameter("direction", "in, out or internal"),
    parameter("outcome", "answered or missed"),
    parameter("from", "Started at or after"),
    parameter("to", "Started before"),
    parameter("state", "pending, archived or failed"),
    parameter("call", "Call id"),
    parameter(
        "min_duration",
        "At least so long: 90, 90s, 1m30s; of a call any leg",
    ),
    parameter("max_duration", "At most so long"),
    parameter(
        "zone",
        "Zone in which bare times are meant, such as UTC; else each PBX's own",
    ),
    LIMIT,
    CURSOR,
];
pub const RECORDINGS: &[Parameter] = &FILTERS;
pub const CALLS: &[Parameter] = &FILTERS;
/// All of it, so neither a limit nor a cursor, which come last.
pub const EXPORTED: &[Parameter] = FILTERS.split_at(FILTERS.len() - 2).0;
const WINDOW: Parameter = parameter("window", "24h (or nothing) or 7d, up to now");
pub const SERIES: &[Parameter] = &[WINDOW];
/// Of the page that a retry comes back to.
pub const HEALTH: &[Parameter] = &[WINDOW, parameter("retried", "What came of it")];
pub const AUDIO: &[Parameter] = &[parameter("download", "1: as a file")];
pub const EVENTS: &[Parameter] = &[
    parameter("pbx", "PBX"),
    parameter("kind", "Kind, such as unparsed"),
    LIMIT,
    CURSOR,
];
pub const JOBS: &[Parameter] = &[LIMIT, CURSOR];
pub const CUSTODY: &[Parameter] = &[
    parameter("actor", "Who"),
    parameter("recording", "Recording, with its PBX"),
    parameter("act", "What was done"),
    parameter("from", "At or after"),
    parameter("to", "Before"),
    LIMIT,
    CURSOR,
];

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1000;

pub type Query = BTreeMap<String, String>;

pub fn parse(raw: &[u8]) -> Result<Query, Problem> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(raw)
        .map_err(|_| Problem::Query("the query is not name=value&…".to_owned()))?;
    let mut query = Query::new();
    for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        // Either of two values would be a search for something else than was asked.
        if query.contains_key(&name) {
            let name: String = name.chars().take(40).collect();
            return Err(Problem::Query(format!("{name:?} is given twice")));
        }
        query.insert(name, value);
    }
    Ok(query)
}

pub fn check(query: &Query, known: &[Parameter]) -> Result<(), Problem> {
    match query
        .keys()
        .find(|name| !known.iter().any(|parameter| parameter.name == **name))
    {
        None => Ok(()),
        Some(unknown) => {
            let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
            let known = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            let unknown: String = unknown.chars().take(40).collect();
            Err(Problem::Query(format!(
                "unknown parameter {unknown:?}; known: {known}"
            )))
        }
    }
}

pub fn limit(query: &Query) -> Result<u32, Problem> {
    let Some(text) = query.get("limit") else {
        return Ok(LIMIT_DEFAULT);
    };
    let limit = text
        .parse()
        .ok()
        .filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| bad("limit", &format!("expected 1 to {LIMIT_MAX}")))
}

/// The kind of events that is asked for, in the word that the index has for it.
pub fn kind(query: &Query) -> Result<Option<String>, Problem> {
    let Some(kind) = query.get("kind") else {
        return Ok(None);
    };
    let is_known = kind == UNPARSED || Kind::from_word(kind).is_some();
    let expected = "expected ringing, dialing, answered, ended, recording, unknown or unparsed";
    is_known
        .then(|| Some(kind.clone()))
        .ok_or_else(|| bad("kind", expected))
}

/// The event that a page of events is after: its delivery, and its place in it.
pub fn event(query: &Query) -> Result<Option<(i64, u32)>, Problem> {
    let cursor = query.get("cursor").map(|cursor| {
        let (seq, item) = cursor.split_once('.')?;
        Some((seq.parse().ok()?, item.parse().ok()?))
    });
    let event = cursor.map(|event| event.ok_or_else(bad_cursor));
    event.transpose()
}

/// Where a page of the backlog begins.
pub fn turn(query: &Query) -> Result<Option<Turn>, Problem> {
    let cursor = query.get("cursor");
    let turn = cursor.map(|cursor| Turn::from_cursor(cursor).ok_or_else(bad_cursor));
    turn.transpose()
}

fn bad_cursor() -> Problem {
    bad("cursor", "expected one of an answer before")
}

fn bad(name: &str, rule: &str) -> Problem {
    Problem::Query(format!("{name}: {rule}"))
}

pub fn window(query: &Query) -> Result<Window, Problem> {
    let window = query.get("window").map(|word| Window::from_word(word));
    let window = window.unwrap_or(Some(Window::default()));
    window.ok_or_else(|| bad("window", "expected 24h or 7d"))
}

/// A parameter of a type that checks itself.
pub fn typed<T: std::str::FromStr>(query: &Query, name: &str) -> Result<Option<T>, Problem>
where
    T::Err: std::fmt::Display,
{
    let parsed = query.get(name).map(|text| text.parse());
    parsed
        .transpose()
        .map_err(|error: T::Err| bad(name, &error.to_string()))
}

/// The zone that somebody wants times to be read and shown in, where it is not the PBX's own.
pub fn zone(query: &Query) -> Result<Option<TimeZone>, Problem> {
    let zone = query.get("zone").map(|name| TimeZone::get(name));
    zone.transpose()
        .map_err(|_| bad("zone", "expected a zone such as Europe/Prague or UTC"))
}

pub fn filter(query: &Query, scope: Scope) -> Result<Filter, Problem> {
    let direction = query.get("direction").map(|way| match way.as_str() {
        "in" | "incoming" => Ok(Direction::Incoming),
        "out" | "outgoing" => Ok(Direction::Outgoing),
        "internal" => Ok(Direction::Internal),
        _ => Err(bad("direction", "expected in, out or internal")),
    });
    let state = query.get("state").map(|state| {
        State::from_word(state).ok_or_else(|| bad("state", "expected pending, archived or failed"))
    });
    let outcome = query.get("outcome").map(|outcome| {
        Outcome::from_word(outcome).ok_or_else(|| bad("outcome", "expected answered or missed"))
    });
    let after = query
        .get("cursor")
        .map(|cursor| Place::from_cursor(cursor).ok_or_else(bad_cursor));
    let zone = zone(query)?;
    let moment = |name| -> Result<Option<Moment>, Problem> {
        let moment: Option<Moment> = typed(query, name)?;
        Ok(match &zone {
            Some(zone) => moment.map(|moment| moment.in_zone(zone)),
            None => moment,
        })
    };
    Ok(Filter {
        number: query.get("number").cloned(),
        extension: query.get("extension").cloned(),
        did: query.get("did").cloned(),
        pbx: typed(query, "pbx")?,
        direction: direction.transpose()?,
        from: moment("from")?,
        to: moment("to")?,
        outcome: outcome.transpose()?,
        state: state.transpose()?,
        min_duration: typed(query, "min_duration")?,
        max_duration: typed(query, "max_duration")?,
        call: typed(query, "call")?,
        limit: Some(limit(query)?),
        scope,
        after: after.transpose()?,
    })
}
