//! What pages that search have in common: the form, what is searched for, and the pages behind.
//!
//! A search is its address. Never here: what was found.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::frame;
use super::{Visit, address};
use crate::http::api::Api;
use crate::http::api::query::Query;
use crate::model::access::Right;

/// A page that searches.
pub struct Kind {
    path: &'static str,
    name: &'static str,
    /// The other one, and what leads there.
    other: (&'static str, &'static str),
}

pub const CALLS: Kind = Kind {
    path: "/",
    name: "Calls",
    other: (
        "/recordings",
        "The same as recordings, those of no known call too",
    ),
};

pub const RECORDINGS: Kind = Kind {
    path: "/recordings",
    name: "Recordings",
    other: ("/", "The same as calls, missed ones too"),
};

/// What a form asks for, and what a chip calls it.
const FIELDS: [(&str, &str); 13] = [
    ("number", "number"),
    ("extension", "extension"),
    ("did", "DID"),
    ("pbx", "PBX"),
    ("direction", "direction"),
    ("outcome", "result"),
    ("state", "recording"),
    ("from", "from"),
    ("to", "before"),
    ("min_duration", "at least"),
    ("max_duration", "at most"),
    ("zone", "times in"),
    ("call", "call"),
];

/// The form, and below it what is searched for.
pub fn form(kind: &Kind, api: &Api, visit: &Visit) -> Markup {
    let query = &visit.asked.query;
    let value = |name: &str| query.get(name).map_or("", String::as_str);
    let scope = visit.asked.who.scope();
    let pbxs = api.settings.pbxs.iter();
    let pbxs: Vec<_> = pbxs.filter(|pbx| scope.has_pbx(&pbx.name)).collect();
    let names: Vec<&str> = pbxs.iter().map(|pbx| pbx.name.as_str()).collect();
    let zones = pbxs.iter().filter_map(|pbx| pbx.timezone.iana_name());
    html! {
        form.search method="get" action=(kind.path) role="search" aria-label=(kind.name) {
            (text("number", "Number", value("number"), "+90 555 222 11 33, *553*"))
            (text("extension", "Extension", value("extension"), "117"))
            (text("did", "DID rule", value("did"), ""))
            (select("pbx", "PBX", value("pbx"), &any(&names)))
            (select("direction", "Direction", direction(value("direction")), &any(&["in", "out", "internal"])))
            (select("outcome", "Result", value("outcome"), &any(&["answered", "missed"])))
            (select("state", "Recording", value("state"), &any(&["archived", "pending", "failed"])))
            (day("from", "From", value("from")))
            (day("to", "Before", value("to")))
            (text("min_duration", "At least", value("min_duration"), "1m30s"))
            (text("max_duration", "At most", value("max_duration"), "2h"))
            (zone_chooser(value("zone"), zones))
            // Not in the form, and not to be lost by it.
            @for name in ["call", "limit"] {
                @if let Some(kept) = query.get(name) { input type="hidden" name=(name) value=(kept); }
            }
            button type="submit" { "Search" }
        }
        (chips(kind, query))
    }
}

/// As the form has it, of an address that has it otherwise.
fn direction(asked: &str) -> &str {
    match asked {
        "incoming" => "in",
        "outgoing" => "out",
        other => other,
    }
}

fn any<'a>(choices: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let choices = choices.iter().map(|choice| (*choice, *choice));
    [("", "any")].into_iter().chain(choices).collect()
}

/// The PBX's own, the one that an address names already, and those that PBXs run on.
fn zone_chooser<'a>(value: &'a str, zones: impl Iterator<Item = &'a str>) -> Markup {
    let mut choices = vec![("", "PBX's own"), ("UTC", "UTC")];
    for zone in zones.chain([value]) {
        if choices.iter().all(|(known, _)| *known != zone) {
            choices.push((zone, zone));
        }
    }
    select("zone", "Times in", value, &choices)
}

/// Whose clock shows the times of a table.
pub fn whose(zone: Option<&TimeZone>) -> String {
    zone.map_or_else(
        || "the PBX's own".to_owned(),
        |zone| format!("in {}", zone.iana_name().unwrap_or("UTC")),
    )
}

pub fn nothing(query: &Query, what: &str) -> String {
    match query.is_empty() {
        true => format!("No {what} yet. They appear as soon as a PBX posts its events."),
        false => format!(
            "No {what} fits. Numbers may be written in any way; * stands for anything: \
             *553* finds a piece of one."
        ),
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

/// Choices by their value, each with what it is called.
fn select(name: &str, label: &str, value: &str, choices: &[(&str, &str)]) -> Markup {
    html! {
        div.field.(name) {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                @for (choice, shown) in choices {
                    option value=(choice) selected[*choice == value] { (shown) }
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
fn chips(kind: &Kind, query: &Query) -> Markup {
    let active: Vec<_> = FIELDS
        .iter()
        .filter_map(|(name, label)| Some((*name, *label, query.get(*name)?)))
        .collect();
    html! {
        @if !active.is_empty() {
            ul.chips aria-label="Active filters" {
                @for (name, label, value) in &active {
                    li {
                        a href=(address(kind.path, &without(query, &[name, "cursor"])))
                            aria-label={ "Take away: " (label) " " (value) } {
                            (label) " " b { (value) } (frame::icon("bad"))
                        }
                    }
                }
                @if active.len() > 1 { li { a.all href=(kind.path) { "Clear all" } } }
            }
        }
    }
}

/// The pages behind, the other page of the same search, and its export.
pub fn below(kind: &Kind, visit: &Visit, older: Option<String>) -> Markup {
    let query = &visit.asked.query;
    let older = older.map(|cursor| {
        let mut query = query.clone();
        query.insert("cursor".to_owned(), cursor);
        address(kind.path, &query)
    });
    let whole = without(query, &["cursor"]);
    let (path, label) = kind.other;
    html! {
        (pager(&address(kind.path, &whole), query.contains_key("cursor"), older))
        p.other { a href=(address(path, &whole)) { (label) } }
        @if visit.asked.who.role.may(Right::Export) { (exports(&without(&whole, &["limit"]))) }
    }
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
    html! {
        p.exports {
            "Recordings of this search: "
            a href=(address("/api/v1/recordings.csv", query)) download { "CSV" } " · "
            a href=(address("/api/v1/recordings.jsonl", query)) download { "JSON" }
        }
    }
}
