//! How the archive stands, and what a person can do about what is held up.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::frame::{self, badge, capital, csrf, dash, or_dash, when, wide};
use super::{Shown, Visit, charts, see_other};
use crate::catalog::series;
use crate::catalog::status::{self, PbxStatus, Status, Today, ago};
use crate::http::api::Api;
use crate::http::api::query;
use crate::http::api::singles;
use crate::model::access::Right;
use crate::model::id::RecordingId;
use crate::store::jobs::{self, JobRow};

/// More rows help nobody; `callvault jobs` lists all.
const JOBS_MAX: u32 = 200;

pub async fn health(api: &Api, visit: &Visit) -> Shown {
    let asked = &visit.asked;
    api.sees_all(asked).await?;
    let (settings, now, scope) = (api.settings.clone(), api.clock.now(), asked.who.scope());
    let window = query::window(&asked.query)?;
    let read = api.store.read(move |db| {
        let status = status::status(db, &settings, now)?;
        let series = series::series(db, &settings, &scope, window, now)?;
        let jobs = jobs::list(db, &scope, None, Some(JOBS_MAX))?;
        Ok((status, series, jobs, jobs::count(db, &scope)?))
    });
    let (status, series, jobs, count) = read.await?;
    let body = html! {
        h1 { "Health" }
        (verdict(&status))
        @for away in &status.away { p.notice { (sentence(&away.line())) } }
        @if let Some(said) = asked.query.get("retried") { (retried_text(said)) }
        div.cards {
            @for pbx in &status.pbxs { (pbx_card(api, pbx)) }
            (spool_card(&status))
        }
        @for line in status.store.lines() { p.dim { (sentence(&line)) } }
        (charts::charts(&api.settings, &series))
        (held_up(api, visit, &jobs, count))
        (refused(&status))
        (gaps(&status))
    };
    Ok(frame::page(visit, "Health", "Health", &body))
}

fn verdict(status: &Status) -> Markup {
    html! {
        @if status.act {
            div.notice.bad {
                h2 { (frame::icon("bad")) "A person must act" }
                ul { @for reason in &status.reasons { li { (sentence(reason)) } } }
            }
        } @else {
            p.notice.good { (frame::icon("good")) b { "All is well." } " Nobody need act." }
        }
    }
}

fn sentence(reason: &str) -> String {
    let end = if reason.ends_with('?') { "" } else { "." };
    capital(reason) + end
}

fn retried_text(said: &str) -> Markup {
    let text = match said {
        "due" => "It is due again, and tried at once.",
        "running" => "It is being worked on right now.",
        _ => "It is archived already.",
    };
    html! { p.notice role="status" { (text) } }
}

fn pbx_card(api: &Api, pbx: &PbxStatus) -> Markup {
    let zone = frame::zone(&api.settings, &pbx.pbx);
    let age = |age_s: Option<i64>| age_s.map_or("never".to_owned(), |s| format!("{} ago", ago(s)));
    html! {
        section.card aria-label={ "PBX " (pbx.pbx) } {
            h2 { (pbx.pbx) " " @if pbx.act { (badge("bad", "look")) } @else { (badge("good", "well")) } }
            p.headline.bad[pbx.silent] {
                span.dim { "Last event " }
                @match pbx.last_event_at {
                    Some(at) => time datetime=(at) title={ (at) " UTC" } {
                        (age(pbx.last_event_age_s))
                    },
                    None => "never",
                }
            }
            dl {
                div { dt { "Today" } dd { (today(&pbx.today)) } }
                div { dt { "Last archived" } dd { (age(pbx.last_archived_age_s)) } }
                div { dt { "Failed" } dd { (pbx.failed) } }
                div { dt { "Pending" } dd {
                    (pbx.pending)
                    @for (stage, count) in &pbx.backlog { span.dim { " · " (stage) " " (count) } }
                } }
                div { dt { "Oldest pending" } dd { (oldest(pbx, &zone)) } }
            }
        }
    }
}

fn today(today: &Today) -> Markup {
    let counted = |count: u64, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    html! {
        span title={ (today.day) " at the PBX" } {
            span.one { (counted(today.events, "event")) } " · "
            span.one { (counted(today.calls, "call")) } " · "
            span.one { (counted(today.recordings, "recording")) }
        }
    }
}

/// Against how long the PBX keeps its files.
fn oldest(pbx: &PbxStatus, zone: &TimeZone) -> Markup {
    let Some((at, left_s)) = pbx.oldest_pending_at.zip(pbx.oldest_pending_expires_in_s) else {
        return dash();
    };
    html! {
        "announced " (when(&at.to_string(), zone)) ", "
        @match left_s {
            0.. => { "deleted on the PBX in " b { (ago(left_s)) } },
            _ => b { "deleted on the PBX " (ago(-left_s)) " ago" },
        }
    }
}

fn spool_card(status: &Status) -> Markup {
    let size = |bytes: u64| bytesize::ByteSize(bytes).display().iec().to_string();
    let spool = &status.spool;
    let is_short = spool
        .free_bytes
        .is_some_and(|free| free < spool.reserve_bytes);
    let room = spool
        .free_bytes
        .map(|free| free.saturating_sub(spool.reserve_bytes));
    let years = 10 * 365 * 86_400;
    let lasts = spool.room_for_s.map(|s| match i64::try_from(s) {
        Ok(s) if s < years => ago(s),
        _ => "years".to_owned(),
    });
    html! {
        section.card aria-label="Spool" {
            h2 {
                "Spool "
                @match (room, is_short) {
                    (None, _) => (badge("wait", "not known")),
                    (_, true) => (badge("bad", "full")),
                    _ => (badge("good", "well")),
                }
            }
            p.headline { span.dim { "Room " } (or_dash(room.map(size).as_deref())) }
            dl {
                div { dt { "Would last without store" } dd {
                    @match lasts {
                        Some(lasts) => (lasts),
                        None => (dash()),
                    }
                } }
                div { dt { "Reserve" } dd { (size(spool.reserve_bytes)) } }
                div { dt { "Events not read yet" } dd { (status.unread_events) } }
                div { dt { "Events not understood" } dd { (status.not_understood) } }
            }
        }
    }
}

/// The first of so many.
fn held_up(api: &Api, visit: &Visit, jobs: &[JobRow], count: u64) -> Markup {
    let more = count.saturating_sub(jobs.len() as u64);
    let may_retry = visit.asked.who.role.may(Right::Configure);
    let table = html! {
        table {
            caption { "What failed first, then by the next try" }
            thead { tr {
                th scope="col" { "Recording" } th scope="col" { "State" }
                th scope="col" { "Why" } th scope="col" { "What to do" }
                th.number scope="col" { "Tries" } th scope="col" { "Next" }
                @if may_retry { th scope="col" { span.visually-hidden { "Retry" } } }
            } }
            tbody {
                @for job in jobs { (held_up_row(api, visit, job, may_retry)) }
            }
        }
    };
    html! {
        section aria-labelledby="held-up" {
            h2 #held-up { "Held up " small { (count) } }
            @if jobs.is_empty() { p.dim { "Nothing is pending, and nothing has failed." } }
            @else { (wide("Held up", &table)) }
            @if more > 0 { p.dim { (more) " more: " code { "callvault jobs" } } }
        }
    }
}

fn held_up_row(api: &Api, visit: &Visit, job: &JobRow, may_retry: bool) -> Markup {
    let zone = frame::zone(&api.settings, &job.recording.pbx);
    let explained = job.code.as_deref().and_then(api.explain);
    // Nothing was tried, and nothing is.
    let is_refused = job
        .code
        .as_deref()
        .is_some_and(|code| code.starts_with("url_"));
    let advice = explained.map(|(_, advice)| capital(advice));
    let state = crate::model::job::State::from_word(&job.state);
    html! {
        tr {
            th scope="row" { a href={ "/recording/" (job.recording) } { (job.recording) } }
            td { (frame::state_badge(state)) }
            td.why {
                @if let Some(code) = &job.code { code { (code) } " " }
                (or_dash(job.reason.as_deref().or(explained.map(|(means, _)| means))))
            }
            td.why { (or_dash(advice.as_deref())) }
            td.number { (job.attempts) }
            td {
                @match &job.next_at {
                    Some(at) => (when(at, &zone)),
                    None => (dash()),
                }
            }
            @if may_retry {
                td { @if !is_refused { (retry_form(visit, &job.recording)) } }
            }
        }
    }
}

fn retry_form(visit: &Visit, id: &RecordingId) -> Markup {
    html! {
        form method="post" action={ "/retry/" (id.pbx) "/" (id.recording) } {
            (csrf(visit))
            button.quiet type="submit" aria-label={ "Retry " (id) } { "Retry" }
        }
    }
}

fn refused(status: &Status) -> Markup {
    let table = html! {
        table {
            caption { "Deliveries that were turned away, by reason and peer; times are UTC" }
            thead { tr {
                th scope="col" { "Reason" } th scope="col" { "Peer" }
                th.number scope="col" { "Count" } th scope="col" { "Last" }
            } }
            tbody {
                @for one in &status.refused {
                    tr {
                        th scope="row" { (one.reason.replace('_', " ")) }
                        td { (one.peer) }
                        td.number { (one.count) }
                        td { (when(&one.last_at.to_string(), &TimeZone::UTC)) }
                    }
                }
            }
        }
    };
    html! {
        section aria-labelledby="refused" {
            h2 #refused { "Refused deliveries" }
            @if status.refused.is_empty() { p.dim { "None were turned away." } }
            @else { (wide("Refused deliveries", &table)) }
        }
    }
}

fn gaps(status: &Status) -> Markup {
    let table = html! {
        table {
            caption { "When the service did not run, within a week; times are UTC" }
            thead { tr {
                th scope="col" { "From" } th scope="col" { "To" } th.number scope="col" { "For" }
            } }
            tbody {
                @for gap in &status.gaps {
                    tr {
                        th scope="row" { (when(&gap.started_at, &TimeZone::UTC)) }
                        td { (when(&gap.ended_at, &TimeZone::UTC)) }
                        td.number { (ago(gap.duration_s as i64)) }
                    }
                }
            }
        }
    };
    html! {
        section aria-labelledby="gaps" {
            h2 #gaps { "Gaps" }
            @if status.gaps.is_empty() { p.dim { "None within a week." } }
            @else { (wide("Gaps", &table)) }
        }
    }
}

pub async fn retry(api: &Api, visit: &Visit) -> Shown {
    let (_, said) = singles::retried(api, &visit.asked).await?;
    Ok(see_other(&format!("/health?retried={said}")))
}
