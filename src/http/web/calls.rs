//! Calls: a search is its address.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::frame::{self, badge, dash, or_dash, state_badge};
use super::search::{self, CALLS};
use super::{Shown, Visit};
use crate::catalog;
use crate::http::api::{Api, lists, query};
use crate::model::call::{Call, Outcome};
use crate::model::event::Direction;
use crate::model::filter::Filter;
use crate::model::job::State;
use crate::model::time::clock_text;
use crate::store::recordings::Standing;

pub async fn calls(api: &Api, visit: &Visit) -> Shown {
    let query = &visit.asked.query;
    let zone = query::zone(query)?;
    let mut filter: Filter = lists::searched(api, &visit.asked, "calls").await?;
    let limit = lists::one_more(&mut filter);
    let mut found = api
        .store
        .read(move |db| catalog::calls_with_standings(db, &filter))
        .await?;
    let older = lists::next(&mut found, limit, |(call, _)| call.place().cursor());
    let body = html! {
        h1 { "Calls" }
        (search::form(&CALLS, api, visit))
        @if found.is_empty() {
            p.empty { (search::nothing(query, "call")) }
        } @else {
            (table(&found, zone.as_ref()))
        }
        (search::below(&CALLS, visit, older))
    };
    Ok(frame::page(visit, "Calls", "Calls", &body))
}

fn table(found: &[(Call, Vec<Standing>)], zone: Option<&TimeZone>) -> Markup {
    let many_pbxs = found
        .iter()
        .any(|(call, _)| call.id.pbx != found[0].0.id.pbx);
    html! {
        table.calls {
            caption { "Calls, newest first; times are " (search::whose(zone)) }
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
                    th scope="col" { "Integrity" }
                }
            }
            tbody { @for (call, known) in found { (row(call, known, many_pbxs, zone)) } }
        }
    }
}

fn row(call: &Call, known: &[Standing], many_pbxs: bool, zone: Option<&TimeZone>) -> Markup {
    let id = &call.id;
    html! {
        tr {
            th scope="row" data-label="Started" {
                a href={ "/call/" (id.pbx) "/" (id.call) } { (started_in(call, zone)) }
            }
            @if many_pbxs { td data-label="PBX" { (id.pbx) } }
            td data-label="Direction" { (direction(call.direction)) }
            td.external data-label="External" { (or_dash(call.external.as_deref())) }
            td.who data-label="Who" { (chain(call)) }
            td data-label="Result" { (outcome(call.outcome)) }
            td.number data-label="Talk" { (or_dash(talk(call).as_deref())) }
            td.number data-label="Recordings" { (of(call, known)) }
            td data-label="State" { (state(call, known)) }
            td data-label="Integrity" { (integrity(known)) }
        }
    }
}

fn state(call: &Call, known: &[Standing]) -> Markup {
    match known.iter().map(|one| one.state).max_by_key(weight) {
        None if !call.legs.is_empty() => badge("none", "not announced"),
        state => state_badge(state),
    }
}

/// The worst of what is archived: damage first, then what nobody has read yet.
fn integrity(known: &[Standing]) -> Markup {
    let archived = known.iter().filter(|one| one.state == State::Archived);
    let worst = archived.map(|one| match one.sound {
        Some(false) => 2,
        None => 1,
        Some(true) => 0,
    });
    match worst.max() {
        Some(2) => badge("bad", "MISMATCH"),
        Some(1) => badge("wait", "not yet verified"),
        Some(_) => badge("good", "verified"),
        None => dash(),
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
    started_in(call, None)
}

/// On the clock of a zone, else on the PBX's own.
fn started_in(call: &Call, zone: Option<&TimeZone>) -> Markup {
    let Some(started) = &call.started else {
        return html! { (call.id.call) };
    };
    let utc = started.utc.to_seconds();
    let shown = zone.map_or_else(
        || started.local.strftime("%F %T").to_string(),
        |zone| started.utc.wall_clock(zone),
    );
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
fn of(call: &Call, known: &[Standing]) -> Markup {
    let expected = call.legs.iter().map(|leg| leg.recordings.len().max(1));
    let expected: usize = expected.sum();
    let archived = known.iter().filter(|one| one.state == State::Archived);
    match expected {
        0 => dash(),
        _ => html! { (archived.count()) " of " (expected) },
    }
}
