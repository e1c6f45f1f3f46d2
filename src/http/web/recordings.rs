//! Recordings, those of no known call too: a search is its address.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::frame::{self, dash, or_dash, state_badge};
use super::search::{self, RECORDINGS};
use super::{Shown, Visit, calls};
use crate::catalog;
use crate::config::Settings;
use crate::http::api::{Api, lists, query};
use crate::model::event::Direction;
use crate::model::job::State;
use crate::model::time::clock_text;
use crate::store::search::RecordingRow;

pub async fn recordings(api: &Api, visit: &Visit) -> Shown {
    let zone = query::zone(&visit.asked.query)?;
    let mut filter = lists::searched(api, &visit.asked, "recordings").await?;
    let limit = lists::one_more(&mut filter);
    let mut found = api
        .store
        .read(move |db| catalog::recordings(db, &filter))
        .await?;
    let older = lists::next(&mut found, limit, |row| row.place().cursor());
    let body = html! {
        h1 { "Recordings" }
        (search::form(&RECORDINGS, api, visit))
        @if found.is_empty() {
            p.empty { (search::nothing(&visit.asked.query, "recording")) }
        } @else {
            (table(&found, &api.settings, zone.as_ref()))
        }
        (search::below(&RECORDINGS, visit, older))
    };
    Ok(frame::page(visit, "Recordings", "Calls", &body))
}

fn table(found: &[RecordingRow], settings: &Settings, zone: Option<&TimeZone>) -> Markup {
    let many_pbxs = found.iter().any(|row| row.pbx != found[0].pbx);
    html! {
        table.calls {
            caption { "Recordings, newest first; times are " (search::whose(zone)) }
            thead {
                tr {
                    th scope="col" { "Started" }
                    @if many_pbxs { th scope="col" { "PBX" } }
                    th scope="col" { "Direction" }
                    th scope="col" { "External" }
                    th scope="col" { "Extension" }
                    th.number scope="col" { "Length" }
                    th scope="col" { "State" }
                    th scope="col" { "Recording" }
                }
            }
            tbody {
                @for one in found {
                    @let own = frame::zone(settings, &one.pbx);
                    (row(one, many_pbxs, zone.unwrap_or(&own)))
                }
            }
        }
    }
}

fn row(row: &RecordingRow, many_pbxs: bool, zone: &TimeZone) -> Markup {
    let direction = row.direction.as_deref().and_then(Direction::from_word);
    let media = row.media_duration_s.map(|seconds| seconds as u32);
    let length = row.duration_s.or(media);
    html! {
        tr {
            th scope="row" data-label="Started" {
                a href={ "/recording/" (row.recording) } {
                    (frame::when(row.started_at.as_ref().unwrap_or(&row.announced_at), zone))
                }
                @if row.call.is_none() {
                    span.dim title="When it was announced: no call is known" { " ?" }
                }
            }
            @if many_pbxs { td data-label="PBX" { (row.pbx) } }
            td data-label="Direction" { (calls::direction(direction)) }
            td.external data-label="External" { (or_dash(row.external.as_deref())) }
            td.who data-label="Extension" { (or_dash(row.extension.as_deref())) }
            td.number data-label="Length" {
                @match length {
                    Some(seconds) => (clock_text(seconds.into())),
                    None => (dash()),
                }
            }
            td data-label="State" { (state_badge(State::from_word(&row.state))) }
            td.break data-label="Recording" { (row.recording.recording) }
        }
    }
}
