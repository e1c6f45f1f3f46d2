//! Calls: a search is its address.

use maud::{Markup, html};

use super::frame::{self, badge, dash, or_dash, state_badge};
use super::{Shown, Visit, address};
use crate::catalog;
use crate::config::Settings;
use crate::http::api::Api;
use crate::http::api::lists;
use crate::http::api::query::Query;
use crate::model::access::Right;
use crate::model::call::{Call, Outcome};
use crate::model::event::Direction;
use crate::model::filter::Filter;
use crate::model::job::State;
use crate::model::time::clock_text;

/// What a form asks for, and what a chip calls it.
const FIELDS: [(&str, &str); 10] = [
    ("number", "number"),
    ("extension", "extension"),
    ("did", "DID"),
    ("pbx", "PBX"),
    ("direction", "direction"),
    ("outcome", "result"),
    ("state", "recording"),
    ("from", "from"),
    ("to", "before"),
    ("call", "call"),
];

pub async fn calls(api: &Api, visit: &Visit) -> Shown {
    let query = &visit.asked.query;
    let filter: Filter = lists::searched(api, &visit.asked, "calls").await?;
    let limit = filter.limit.unwrap_or_default();
    let found = api
        .store
        .read(move |db| catalog::calls_with_states(db, &filter))
        .await?;
    let older = lists::next(&found, limit, |(call, _)| call.place().cursor());
    let body = html! {
        h1 { "Calls" }
        (form(query, &api.settings, visit))
        (chips(query))
        @if found.is_empty() {
            p.empty { (nothing(query)) }
        } @else {
            (table(&found))
        }
        (pages(query, older))
        @if visit.asked.who.role.may(Right::Export) { (exports(query)) }
    };
    Ok(frame::page(visit, "Calls", "Calls", &body))
}

fn nothing(query: &Query) -> &'static str {
    match query.is_empty() {
        true => "No call yet. They appear as soon as a PBX posts its events.",
        false => "No call fits. Numbers may be written in any way; * stands for anything.",
    }
}

fn form(query: &Query, settings: &Settings, visit: &Visit) -> Markup {
    let value = |name: &str| query.get(name).map_or("", String::as_str);
    let scope = visit.asked.who.scope();
    let pbxs = settings.pbxs.iter().map(|pbx| &pbx.name);
    let pbxs: Vec<&str> = pbxs
        .filter(|name| scope.has_pbx(name))
        .map(|name| name.as_str())
        .collect();
    html! {
        form.search method="get" action="/" role="search" aria-label="Calls" {
            (text("number", "Number", value("number"), "+90 555 222 11 33, *1133"))
            (text("extension", "Extension", value("extension"), "117"))
            (text("did", "DID rule", value("did"), ""))
            (select("pbx", "PBX", value("pbx"), &pbxs))
            (select("direction", "Direction", value("direction"), &["in", "out", "internal"]))
            (select("outcome", "Result", value("outcome"), &["answered", "missed"]))
            (select("state", "Recording", value("state"), &["archived", "pending", "failed"]))
            (day("from", "From", value("from")))
            (day("to", "Before", value("to")))
            button type="submit" { "Search" }
        }
    }
}

pub fn text(name: &str, label: &str, value: &str, example: &str) -> Markup {
    html! {
        div.field.(name) {
            label for=(name) { (label) }
            input id=(name) name=(name) value=(value) placeholder=(example)
                autocomplete="off" spellcheck="false";
        }
    }
}

/// A day is picked; a moment that an address holds already stays as it was typed.
pub fn day(name: &str, label: &str, value: &str) -> Markup {
    let kind = match value.len() {
        0 | 10 => "date",
        _ => "text",
    };
    html! {
        div.field.(name) {
            label for=(name) { (label) }
            input id=(name) name=(name) type=(kind) value=(value);
        }
    }
}

fn select(name: &str, label: &str, value: &str, choices: &[&str]) -> Markup {
    html! {
        div.field.(name) {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                option value="" { "any" }
                @for choice in choices {
                    option value=(choice) selected[*choice == value] { (choice) }
                }
            }
        }
    }
}

fn without(query: &Query, names: &[&str]) -> Query {
    let mut rest = query.clone();
    rest.retain(|name, _| !names.contains(&name.as_str()));
    rest
}

/// What is searched for; each is taken away by a click.
fn chips(query: &Query) -> Markup {
    let active: Vec<_> = FIELDS
        .iter()
        .filter_map(|(name, label)| Some((*name, *label, query.get(*name)?)))
        .collect();
    html! {
        @if !active.is_empty() {
            ul.chips aria-label="Active filters" {
                @for (name, label, value) in &active {
                    li {
                        a href=(address("/", &without(query, &[name, "cursor"])))
                            aria-label={ "Take away: " (label) " " (value) } {
                            (label) " " b { (value) } (frame::icon("bad"))
                        }
                    }
                }
                @if active.len() > 1 { li { a.all href="/" { "Clear all" } } }
            }
        }
    }
}

fn table(found: &[(Call, Vec<State>)]) -> Markup {
    let many_pbxs = found
        .iter()
        .any(|(call, _)| call.id.pbx != found[0].0.id.pbx);
    html! {
        table.calls {
            caption { "Calls, newest first; times are the PBX's own" }
            thead {
                tr {
                    th scope="col" { "Started" }
                    @if many_pbxs { th scope="col" { "PBX" } }
                    th scope="col" { "Direction" }
                    th scope="col" { "External" }
                    th scope="col" { "Who" }
                    th scope="col" { "Result" }
                    th.number scope="col" { "Talk" }
                    th.number scope="col" { "Recordings" }
                    th scope="col" { "State" }
                }
            }
            tbody { @for (call, states) in found { (row(call, states, many_pbxs)) } }
        }
    }
}

fn row(call: &Call, states: &[State], many_pbxs: bool) -> Markup {
    let id = &call.id;
    html! {
        tr {
            th scope="row" data-label="Started" {
                a href={ "/call/" (id.pbx) "/" (id.call) } { (started(call)) }
            }
            @if many_pbxs { td data-label="PBX" { (id.pbx) } }
            td data-label="Direction" { (direction(call.direction)) }
            td.external data-label="External" { (or_dash(call.external.as_deref())) }
            td.who data-label="Who" { (chain(call)) }
            td data-label="Result" { (outcome(call.outcome)) }
            td.number data-label="Talk" { (or_dash(talk(call).as_deref())) }
            td.number data-label="Recordings" { (of(call, states)) }
            td data-label="State" { (state(call, states)) }
        }
    }
}

fn state(call: &Call, states: &[State]) -> Markup {
    match states.iter().copied().max_by_key(weight) {
        None if !call.legs.is_empty() => badge("none", "not announced"),
        state => state_badge(state),
    }
}

/// What a person must look at goes before what waits, and that before what is done.
fn weight(state: &State) -> u8 {
    match state {
        State::Archived => 0,
        State::Pending => 1,
        State::Failed => 2,
    }
}

pub fn started(call: &Call) -> Markup {
    let Some(started) = &call.started else {
        return html! { (call.id.call) };
    };
    let utc = started.utc.to_seconds();
    let shown = started.local_text();
    let shown = shown.get(..19).unwrap_or(&shown).replace('T', " ");
    html! {
        time datetime=(utc) title={ (utc) " UTC" } { (shown) }
        @if started.ambiguous {
            span.dim title="The clock showed this hour twice that night" { " ?" }
        }
    }
}

pub fn direction(direction: Option<Direction>) -> Markup {
    match direction {
        Some(Direction::Incoming) => html! { (frame::icon("in")) "in" },
        Some(Direction::Outgoing) => html! { (frame::icon("out")) "out" },
        Some(Direction::Internal) => html! { (frame::icon("none")) "internal" },
        None => dash(),
    }
}

pub fn outcome(outcome: Option<Outcome>) -> Markup {
    match outcome {
        Some(Outcome::Answered) => html! { (frame::icon("good")) "answered" },
        Some(Outcome::Missed) => html! { span.badge.wait { (frame::icon("bad")) "missed" } },
        None => dash(),
    }
}

/// `800 → 820 → 117 ⇢ 204`: who rang, and then who talked.
pub fn chain(call: &Call) -> Markup {
    let talked: Vec<&str> = call
        .legs
        .iter()
        .map(|leg| leg.extension.as_deref().unwrap_or("—"))
        .collect();
    let reached = |user: &String| talked.first() == Some(&user.as_str());
    let at = call.ring_path.iter().position(reached);
    let (before, after) = call.ring_path.split_at(at.unwrap_or(call.ring_path.len()));
    let others = |users: &[String]| -> Vec<String> {
        let silent = users.iter().filter(|user| !talked.contains(&user.as_str()));
        silent.cloned().collect()
    };
    let (before, after) = (others(before), others(after));
    if before.is_empty() && talked.is_empty() {
        return dash();
    }
    html! {
        span.rang { (before.join(" → ")) }
        @if !before.is_empty() && !talked.is_empty() { span.rang { " → " } }
        b { (talked.join(" ⇢ ")) }
        @if !after.is_empty() { span.rang { " (" (after.join(", ")) " rang too)" } }
    }
}

/// Of all conversations; unknown as soon as one's is.
pub fn talk(call: &Call) -> Option<String> {
    let lengths: Option<Vec<u32>> = call.legs.iter().map(|leg| leg.duration_s).collect();
    let lengths = lengths.filter(|lengths| !lengths.is_empty())?;
    Some(clock_text(lengths.into_iter().map(u64::from).sum()))
}

/// How many of the conversations' recordings are archived.
fn of(call: &Call, states: &[State]) -> Markup {
    let expected = call.legs.iter().map(|leg| leg.recordings.len().max(1));
    let expected: usize = expected.sum();
    let archived = states.iter().filter(|state| **state == State::Archived);
    match expected {
        0 => dash(),
        _ => html! { (archived.count()) " of " (expected) },
    }
}

fn pages(query: &Query, older: Option<String>) -> Markup {
    let older = older.map(|cursor| {
        let mut query = query.clone();
        query.insert("cursor".to_owned(), cursor);
        address("/", &query)
    });
    pager(
        &address("/", &without(query, &["cursor"])),
        query.contains_key("cursor"),
        older,
    )
}

/// Back to the newest, on to what is older.
pub fn pager(newest: &str, is_behind: bool, older: Option<String>) -> Markup {
    html! {
        @if is_behind || older.is_some() {
            nav.pager aria-label="Pages" {
                @if is_behind { a href=(newest) { "← Newest" } }
                @if let Some(older) = older { a.older href=(older) rel="next" { "Older →" } }
            }
        }
    }
}

fn exports(query: &Query) -> Markup {
    let query = without(query, &["cursor", "limit"]);
    html! {
        p.exports {
            "Recordings of this search: "
            a href=(address("/api/v1/recordings.csv", &query)) download { "CSV" } " · "
            a href=(address("/api/v1/recordings.jsonl", &query)) download { "JSON" }
        }
    }
}
