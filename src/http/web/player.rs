//! Hearing: a reason first, then the browser's own player, which a script adds a waveform to.

use std::time::Duration;

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::frame::csrf;
use super::{Shown, Visit, see_other};
use crate::catalog::RecordingDetail;
use crate::http::api::Api;
use crate::http::api::problem::Problem;
use crate::model::access::Right;
use crate::model::time::{UtcMs, clock_text};
use crate::store::reasons::{self, Reason};

const SPEEDS: [&str; 5] = ["0.75", "1", "1.25", "1.5", "2"];
const DAY_S: u32 = 86_400;
/// How far apart the marks of a waveform may be.
const STEPS_S: [u32; 13] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200];
/// As many as fit beside each other on a telephone.
const MARKS_MAX: f64 = 5.0;
/// Up to this part of the axis there is room for a time behind its mark.
const LAST_LABEL: f64 = 0.82;

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

/// Above several players: all of them in a row, and the keys.
pub fn bar(recordings: usize, is_whole: bool, listening: &Listening) -> Markup {
    let text = match is_whole {
        true => "Play the whole call",
        false => "Play all that is archived",
    };
    html! {
        @if recordings > 0 && matches!(listening, Listening::Open { .. }) {
            div.bar.scripted {
                @if recordings > 1 {
                    button.whole type="button" data-text=(text) { (text) }
                    span.said role="status" {}
                }
                span.keys {
                    "Keys: space plays, ← → 5 s" @if recordings > 1 { ", [ ] conversations" }
                }
            }
        }
    }
}

/// `begins`: where it is known, so that its times are those of a wall clock.
pub fn player(
    detail: &RecordingDetail,
    listening: &Listening,
    begins: Option<UtcMs>,
    zone: &TimeZone,
) -> Markup {
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
            (axis(row.media_duration_s.unwrap_or_default(), begins, zone))
            audio controls preload="none" src=(source) {
                a href=(source) { "Listen" }
            }
            div.tools {
                (tools())
                @if *downloads {
                    a.download href={ (source) "?download=1" } download { "Download" }
                }
            }
            p.trouble role="alert" {}
        }
    }
}

/// What only a script can do; hidden where none runs.
fn tools() -> Markup {
    html! {
        button.quiet.scripted type="button" data-step="-5" aria-label="Back: −5 s" { "−5 s" }
        button.quiet.scripted type="button" data-step="5" aria-label="On: +5 s" { "+5 s" }
        label.scripted {
            span.word { "Speed" }
            select aria-label="Speed" {
                @for speed in SPEEDS {
                    option value=(speed) selected[speed == "1"] { (speed) "×" }
                }
            }
        }
    }
}

/// Marks along the waveform. Their last is left out where it would not be legible.
fn axis(seconds: f64, begins: Option<UtcMs>, zone: &TimeZone) -> Markup {
    let fits = |step_s: &u32| seconds / f64::from(*step_s) <= MARKS_MAX;
    let step_s = STEPS_S.into_iter().find(fits).unwrap_or(DAY_S);
    let marks = (0u32..).map(|mark| mark * step_s);
    html! {
        svg.axis.scripted width="100%" height="18" aria-hidden="true" {
            @for at in marks.take_while(|at| f64::from(*at) < seconds) {
                @let part = f64::from(at) / seconds;
                @let x = format!("{:.2}%", part * 100.0);
                line x1=(x) x2=(x) y1="0" y2="5" {}
                @if part < LAST_LABEL {
                    text x=(x) dx="3" y="14" {
                        @match begins {
                            Some(begins) => {
                                (begins.plus(Duration::from_secs(at.into())).time_of_day(zone))
                            },
                            None => (clock_text(at.into())),
                        }
                    }
                }
            }
        }
    }
}
