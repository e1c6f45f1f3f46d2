//! A recording by its own name: the way to its call, or, where no call is known, its page.

use maud::html;

use super::frame::{self, or_dash, when, wide};
use super::{Shown, Visit, call, player, see_other};
use crate::catalog::RecordingDetail;
use crate::catalog::story;
use crate::http::api::Api;
use crate::http::api::singles;
use crate::model::access::Right;

pub async fn recording(api: &Api, visit: &Visit) -> Shown {
    let detail = singles::visible_recording(api, &visit.asked).await?;
    let row = &detail.row;
    let (path, subject) = place(&detail);
    if row.call.is_some() {
        return Ok(see_other(&path));
    }
    let zone = frame::zone(&api.settings, &row.pbx);
    let listening = player::listening(api, visit, &subject).await?;
    let title = format!("Recording {}", row.recording);
    let body = html! {
        p.back { a href="/" { "← Calls" } }
        h1 { (title) }
        dl.facts {
            div { dt { "Announced" } dd { (when(&row.announced_at, &zone)) } }
            div { dt { "PBX" } dd { (row.pbx) } }
            div { dt { "Call" } dd { "none: its file name is no id" } }
            div { dt { "As announced" } dd { (or_dash(Some(&row.source_url))) } }
        }
        section aria-labelledby="recordings" {
            h2 #recordings { "Recording" }
            @if let Some(why) = story::why_not(&detail, &zone) {
                div.notice { h3 { "Why is there no recording?" } p { (why) } }
            }
            @if call::is_archived(row) {
                (player::reason_form(visit, &path, &listening, &zone))
            }
            @let archived = usize::from(call::is_archived(row));
            (player::bar(archived, true, &listening))
            div.conversation { (call::recorded(&detail, &listening, None, &zone)) }
        }
        @if visit.asked.who.role.may(Right::Audit) {
            section aria-labelledby="custody" {
                h2 #custody { "Custody" }
                (wide("Custody", &call::entries(&subject, &detail.custody, &zone)))
            }
        }
    };
    Ok(frame::page(visit, &title, "Calls", &body))
}

pub async fn reason(api: &Api, visit: &Visit) -> Shown {
    let detail = singles::visible_recording(api, &visit.asked).await?;
    let (path, subject) = place(&detail);
    player::reason(api, visit, subject, &path).await
}

/// Its page, and what a reason is given for: the call, where there is one.
fn place(detail: &RecordingDetail) -> (String, String) {
    let row = &detail.row;
    match &row.call {
        Some(call) => (
            format!("/call/{}/{call}", row.pbx),
            format!("{}/{call}", row.pbx),
        ),
        None => (
            format!("/recording/{}", row.recording),
            row.recording.to_string(),
        ),
    }
}
