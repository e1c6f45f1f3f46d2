//! One call: its conversations as lanes, their recordings, and the events behind it.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::frame::{self, badge, dash, or_dash, state_badge, when, wide};
use super::{Shown, Visit, calls, lanes, player};
use crate::catalog::story::{self, Missing, Story};
use crate::catalog::{CallDetail, RecordingDetail};
use crate::http::api::Api;
use crate::http::api::singles;
use crate::model::access::Right;
use crate::model::call::Call;
use crate::model::id::{CallId, PbxName, RecordingName};
use crate::model::job::State;
use crate::model::time::{UtcMs, clock_text};
use crate::store::custody::CustodyRow;
use crate::store::events::EventRow;
use crate::store::search::RecordingRow;

pub async fn call(api: &Api, visit: &Visit) -> Shown {
    let detail = singles::visible_call(api, &visit.asked).await?;
    let (call, settings) = (detail.call.clone(), api.settings.clone());
    let is_whole = visit.asked.who.scope().is_all();
    let story = api
        .store
        .read(move |db| story::story(db, &settings, &call, is_whole))
        .await?;
    let listening = player::listening(api, visit, &detail.call.id.to_string()).await?;
    let zone = frame::zone(&api.settings, &detail.call.id.pbx);
    let call = &detail.call;
    let title = match &call.external {
        Some(external) => format!("Call {external}"),
        None => format!("Call {}", call.id.call),
    };
    let audits = visit.asked.who.role.may(Right::Audit);
    let body = html! {
        p.back { a href="/" { "← Calls" } }
        h1 { bdi { (title) } " " small { bdi { (calls::chain(call)) } } }
        (facts(call))
        @if !call.legs.is_empty() {
            section aria-labelledby="course" {
                h2 #course { "How it went" }
                (lanes::lanes(&detail, &story))
            }
        }
        section aria-labelledby="recordings" {
            h2 #recordings { "Recordings" }
            (missing(call, &story.missing))
            @if story.recordings.iter().any(|one| is_archived(&one.row)) {
                (player::reason_form(visit, &path(&call.id), &listening, &zone))
            }
            @let archived = story.recordings.iter().filter(|one| is_archived(&one.row)).count();
            (player::bar(archived, story.missing.is_empty(), &listening))
            (conversations(&detail, &story, &listening, &zone))
        }
        (events(&detail, &zone))
        @if audits { (custody(&story, &zone)) }
    };
    Ok(frame::page(visit, &title, "Calls", &body))
}

pub fn path(id: &CallId) -> String {
    format!("/call/{}/{}", id.pbx, id.call)
}

pub async fn reason(api: &Api, visit: &Visit) -> Shown {
    let id = singles::visible_call(api, &visit.asked).await?.call.id;
    player::reason(api, visit, id.to_string(), &path(&id)).await
}

pub fn is_archived(row: &RecordingRow) -> bool {
    State::from_word(&row.state) == Some(State::Archived)
}

fn facts(call: &Call) -> Markup {
    html! {
        dl.facts {
            div { dt { "Started" } dd { (calls::started(call)) } }
            div { dt { "Direction" } dd { (calls::direction(call.direction)) } }
            div { dt { "External" } dd { (or_dash(call.external.as_deref())) } }
            div { dt { "DID rule" } dd { (or_dash(call.did.as_deref())) } }
            div { dt { "Result" } dd { (calls::outcome(call.outcome)) } }
            div { dt { "Talk" } dd { (or_dash(calls::talk(call).as_deref())) } }
            div { dt { "PBX" } dd { (call.id.pbx) } }
            div { dt { "Call id" } dd { code { (call.id.call) } } }
        }
    }
}

/// The answer to "why is there no recording?".
fn missing(call: &Call, missing: &[Missing]) -> Markup {
    let of_all = call.legs.is_empty();
    html! {
        @if !missing.is_empty() {
            div.notice {
                h3 {
                    @if of_all { "Why is there no recording?" }
                    @else { "Why is a recording missing?" }
                }
                @for one in missing {
                    p {
                        @if let Some(leg) = one.leg { b { "Conversation " (leg) ": " } }
                        (one.why)
                    }
                }
            }
        }
    }
}

fn conversations(
    detail: &CallDetail,
    story: &Story,
    listening: &player::Listening,
    zone: &TimeZone,
) -> Markup {
    let (call, began) = (&detail.call, lanes::answered(detail));
    let of = call.legs.len();
    html! {
        ol.conversations {
            @for one in &story.recordings {
                @let at = call.legs.iter().position(|leg| Some(leg.leg) == one.row.leg);
                @let place = format!("conversation {} of {of}", at.map_or(0, |at| at + 1));
                // A further part begins somewhere within the conversation.
                @let begins = at.filter(|_| one.row.part == Some(1));
                @let begins = begins.and_then(|at| began.get(at)).copied();
                li.conversation data-name=(place) {
                    h3 {
                        (frame::capital(&place))
                        @if let Some(part) = one.row.part.filter(|part| *part > 1) {
                            ", part " (part)
                        }
                        span.with { " with " (or_dash(one.row.extension.as_deref())) }
                    }
                    (recorded(one, listening, begins, zone))
                }
            }
        }
    }
}

/// A recording: how it stands, its player, and what proves it.
pub fn recorded(
    one: &RecordingDetail,
    listening: &player::Listening,
    begins: Option<UtcMs>,
    zone: &TimeZone,
) -> Markup {
    let row = &one.row;
    html! {
        p.line {
            (state_badge(State::from_word(&row.state)))
            span { (length(row)) }
            @if let Some(how) = &row.transfer {
                span { (transfer(how, row.transferred_to.as_deref())) }
            }
            @for flag in &row.flags { (badge("wait", &flag_text(flag))) }
        }
        @if is_archived(row) { (player::player(one, listening, begins, zone)) }
        (integrity(one, zone))
    }
}

fn length(row: &RecordingRow) -> Markup {
    let media = row.media_duration_s.map(|s| s as u64);
    match media.or(row.duration_s.map(u64::from)) {
        Some(seconds) => html! { (clock_text(seconds)) },
        None => dash(),
    }
}

pub fn transfer(how: &str, to: Option<&str>) -> String {
    let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
    match how {
        "unknown" => format!("handed on{to}, nothing says how"),
        how => format!("{how} transfer{to}"),
    }
}

fn flag_text(flag: &str) -> String {
    match flag {
        "short" => "shorter than the conversation".to_owned(),
        "cut" => "its last frame is cut".to_owned(),
        "junk" => "holds bytes that are no audio".to_owned(),
        "id_mismatch" => "announced under another id".to_owned(),
        "unannounced" => "never announced; found by callvault".to_owned(),
        "ambiguous_hour" => "in the hour that autumn repeats".to_owned(),
        other => other.to_owned(),
    }
}

/// Nothing is called verified that was not proved. What custody says of it is only for those who
/// audit; whether it is sound is for all.
fn integrity(detail: &RecordingDetail, zone: &TimeZone) -> Markup {
    let row = &detail.row;
    let seen = detail.custody.iter().rev();
    let seen = seen
        .into_iter()
        .find(|entry| matches!(entry.act.as_str(), "proved" | "read back" | "mismatch"));
    let said = seen.and_then(|entry| entry.detail.as_deref());
    let at = row.integrity_at.as_deref().unwrap_or_default();
    let integrity = row.integrity.as_deref().filter(|_| is_archived(row));
    html! {
        details.integrity {
            summary {
                @match integrity {
                    Some("mismatch") => {
                        (badge("bad", "MISMATCH")) " "
                        span.dim {
                            (frame::capital(said.unwrap_or("not what was archived"))) ", "
                            (when(at, zone))
                        }
                    },
                    Some(_) => {
                        (badge("good", "verified")) " "
                        span.dim {
                            @if let Some(sha256) = &row.object_sha256 {
                                "SHA-256 " code { (sha256.get(..12).unwrap_or(sha256)) "…" } " · "
                            }
                            (frame::capital(said.unwrap_or("proved"))) ", "
                            (when(at, zone))
                        }
                    },
                    None => (badge("wait", "not yet verified")),
                }
            }
            dl.digests {
                div { dt { "Recording" } dd { code { (row.recording) } } }
                div { dt { "SHA-256 of what the PBX gave" }
                    dd { (digest(row.original_sha256.as_deref())) } }
                div { dt { "SHA-256 of what is archived" }
                    dd { (digest(row.object_sha256.as_deref())) } }
                div { dt { "Key" } dd { (digest(row.object_key.as_deref())) } }
                div { dt { "Archived" } dd {
                    @match &row.archived_at {
                        Some(at) => (when(at, zone)),
                        None => (dash()),
                    }
                } }
            }
        }
    }
}

fn digest(text: Option<&str>) -> Markup {
    text.map_or_else(dash, |text| html! { code { (text) } })
}

fn events(detail: &CallDetail, zone: &TimeZone) -> Markup {
    let table = html! {
        table {
            caption { "In the order of arrival" }
            thead { tr {
                th.number scope="col" { "Event" } th scope="col" { "Received" }
                th scope="col" { "Kind" } th scope="col" { "Note" }
            } }
            tbody {
                @for event in &detail.events {
                    tr {
                        th.number scope="row" { (event.seq.0) }
                        td { (when(&event.received_at, zone)) }
                        td { (or_dash(event.kind.as_deref())) }
                        td { (note(event)) }
                    }
                }
            }
        }
    };
    html! {
        details.more {
            summary { h2 { "Events " small { (detail.events.len()) } } }
            (wide("Events", &table))
        }
    }
}

fn note(event: &EventRow) -> Markup {
    html! {
        @if event.repaired { (badge("wait", "repaired")) }
        @if let Some(seq) = event.duplicate_of {
            (badge("none", &format!("duplicate of {}", seq.0)))
        }
    }
}

fn custody(story: &Story, zone: &TimeZone) -> Markup {
    html! {
        @if !story.recordings.is_empty() {
            details.more {
                summary { h2 { "Custody" } }
                @for one in &story.recordings {
                    (wide("Custody", &entries(&one.row.recording.to_string(), &one.custody, zone)))
                }
            }
        }
    }
}

/// Where it is a recording, a way to it.
fn subject(text: &str) -> Markup {
    let of = text.split_once('/').filter(|(pbx, recording)| {
        *pbx != "token"
            && pbx.parse::<PbxName>().is_ok()
            && recording.parse::<RecordingName>().is_ok()
    });
    match of {
        Some(_) => html! { a href={ "/recording/" (text) } { (text) } },
        None => html! { (text) },
    }
}

/// Entries of custody; their caption names what they are of.
pub fn entries(caption: &str, entries: &[CustodyRow], zone: &TimeZone) -> Markup {
    html! {
        table.custody {
            caption { (caption) }
            thead { tr {
                th.number scope="col" { "No." } th scope="col" { "When" } th scope="col" { "Who" }
                th scope="col" { "From" } th scope="col" { "Did" } th scope="col" { "Of" }
                th scope="col" { "Why" } th scope="col" { "Detail" }
            } }
            tbody {
                @for entry in entries {
                    tr {
                        th.number scope="row" title={ "SHA-256 " (entry.sha256) } { (entry.seq) }
                        td { (when(&entry.at, zone)) }
                        td { (entry.actor) }
                        td { (or_dash(entry.address.as_deref())) }
                        td { (entry.act) }
                        td.break { (subject(&entry.subject)) }
                        td.break {
                            (or_dash(entry.reason.as_deref()))
                            @if let Some(case) = &entry.case { " · case " (case) }
                        }
                        td.break { (or_dash(entry.detail.as_deref())) }
                    }
                }
            }
        }
    }
}
