//! Hearing: a reason first, then the browser's own player, which a script adds a waveform to.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::frame::csrf;
use super::{Shown, Visit, see_other};
use crate::catalog::RecordingDetail;
use crate::http::api::Api;
use crate::http::api::problem::Problem;
use crate::model::access::Right;
use crate::store::reasons::{self, Reason};

/// Whether the recordings of a call may be heard now.
pub enum Listening {
    NotYours,
    /// A reason is needed first.
    Asks,
    /// With the reason, where one was given.
    Open {
        reason: Option<Reason>,
        downloads: bool,
    },
}

pub async fn listening(api: &Api, visit: &Visit, subject: &str) -> Result<Listening, Problem> {
    let asked = &visit.asked;
    if !asked.who.role.may(Right::Hear) {
        return Ok(Listening::NotYours);
    }
    let (actor, subject, now) = (asked.actor(), subject.to_owned(), api.clock.now());
    let holding = api
        .store
        .read(move |db| reasons::holding(db, &actor, &subject, now));
    let reason = holding.await?;
    let is_open = reason.is_some() || !api.settings.access.require_reason;
    Ok(match is_open {
        true => Listening::Open {
            reason,
            downloads: asked.who.role.may(Right::Download),
        },
        false => Listening::Asks,
    })
}

pub fn reason_form(visit: &Visit, path: &str, listening: &Listening, zone: &TimeZone) -> Markup {
    html! {
        @match listening {
            Listening::NotYours => p.dim { "Your role sees recordings and does not hear them." },
            Listening::Open { reason: Some(reason), .. } => {
                p.dim {
                    "You listen because: " b { (reason.reason) }
                    @if let Some(case) = &reason.case { " (case " (case) ")" }
                    ". This holds until " (reason.until.wall_clock(zone)) "."
                }
            },
            Listening::Open { reason: None, .. } => {},
            Listening::Asks => {
                form.reason method="post" action={ (path) "/reason" } {
                    (csrf(visit))
                    div.field.why {
                        label for="reason" { "Why do you listen?" }
                        input #reason name="reason" required maxlength=(reasons::MAX_CHARS)
                            autocomplete="off" aria-describedby="reason-note";
                    }
                    div.field {
                        label for="case" { "Case number (if any)" }
                        input #case name="case" maxlength=(reasons::MAX_CHARS) autocomplete="off";
                    }
                    button type="submit" { "Go on" }
                    p.dim #reason-note {
                        "It is entered in custody when you listen, and holds for "
                        (reasons::HOLDS.as_secs() / 60) " minutes for this call."
                    }
                }
            },
        }
    }
}

/// A reason given in the form above, for a call or for a recording without one; then its page.
pub async fn reason(api: &Api, visit: &Visit, subject: String, path: &str) -> Shown {
    let asked = &visit.asked;
    let field = |name: &str| -> Result<Option<String>, Problem> {
        let text = visit.form.get(name).map(|text| text.trim().to_owned());
        let text = text.filter(|text| !text.is_empty());
        match &text {
            Some(long) if long.chars().count() > reasons::MAX_CHARS => Err(Problem::Query(
                format!("{name}: at most {} characters", reasons::MAX_CHARS),
            )),
            _ => Ok(text),
        }
    };
    let reason = field("reason")?;
    let reason = reason.ok_or_else(|| Problem::Query("reason: say why you listen".to_owned()))?;
    let case = field("case")?;
    let actor = asked.actor();
    let until = api.clock.now().plus(reasons::HOLDS);
    api.store
        .write(move |tx| reasons::give(tx, &actor, &subject, &reason, case.as_deref(), until))
        .await?;
    Ok(see_other(&format!("{path}#recordings")))
}

pub fn player(detail: &RecordingDetail, listening: &Listening) -> Markup {
    let Listening::Open { downloads, .. } = listening else {
        return html! {};
    };
    let row = &detail.row;
    let path = format!("/api/v1/recordings/{}", row.recording);
    let source = format!("{path}/audio");
    let seconds = row.media_duration_s.map(|seconds| seconds.to_string());
    html! {
        div.player data-peaks={ (path) "/peaks" } data-seconds=[seconds] {
            div.wave aria-hidden="true" {}
            audio controls preload="none" src=(source) {
                a href=(source) { "Listen" }
            }
            div.tools {
                @if *downloads {
                    a.download href={ (source) "?download=1" } download { "Download" }
                }
            }
        }
    }
}
