//! What every page has around it, and the small pieces that pages are made of.

use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, html};
use warp::Reply;
use warp::http::StatusCode;
use warp::reply::Response;

use super::Visit;
use crate::catalog::story::local;
use crate::config::Settings;
use crate::http::api::problem::Problem;
use crate::model::access::Right;
use crate::model::id::PbxName;
use crate::model::job::State;

/// A page for somebody signed in; `here` is the entry of the menu that it belongs to.
pub fn page(visit: &Visit, title: &str, here: &str, body: &Markup) -> Response {
    let who = &visit.asked.who;
    let (all, audits) = (who.scope().is_all(), who.role.may(Right::Audit));
    let configures = who.role.may(Right::Configure);
    let menu = [
        ("/", "Calls", true),
        ("/health", "Health", all),
        ("/custody", "Custody", all && audits),
        ("/tokens", "Tokens", all && configures),
    ];
    let head = html! {
        nav aria-label="Main" {
            ul {
                @for (path, name, _) in menu.iter().filter(|(.., shown)| *shown) {
                    li { a href=(path) aria-current=[(*name == here).then_some("page")] { (name) } }
                }
            }
        }
        form.person method="post" action="/sign-out" {
            (csrf(visit))
            span { (who.person) " " small { (who.role) } }
            button.quiet type="submit" { "Sign out" }
        }
    };
    html_page(StatusCode::OK, title, &head, body)
}

/// A page for anybody.
pub fn open_page(status: StatusCode, title: &str, body: &Markup) -> Response {
    html_page(status, title, &html! {}, body)
}

pub fn problem(visit: Option<&Visit>, problem: &Problem) -> Response {
    let (status, code, detail) = problem.parts();
    let title = match status {
        StatusCode::NOT_FOUND => "Nothing here",
        StatusCode::FORBIDDEN => "Not for you",
        StatusCode::BAD_REQUEST => "That cannot be asked so",
        _ => "That did not work",
    };
    let body = html! {
        h1 { (title) }
        p { (capital(&detail)) "." }
        p.dim { "Code " code { (code) } }
        p { a href="/" { "All calls" } }
    };
    let mut response = match visit {
        Some(visit) => page(visit, title, "", &body),
        None => open_page(status, title, &body),
    };
    *response.status_mut() = status;
    problem.add_headers(response.headers_mut());
    response
}

fn html_page(status: StatusCode, title: &str, head: &Markup, body: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · callvault" }
                link rel="icon" href="/static/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/static/style.css";
                script type="module" src="/static/player.js" {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header { a.brand href="/" { "callvault" } (head) }
                main #main tabindex="-1" { (body) }
            }
        }
    };
    warp::reply::with_status(warp::reply::html(page.into_string()), status).into_response()
}

/// What every form of a session carries.
pub fn csrf(visit: &Visit) -> Markup {
    html! { input type="hidden" name="csrf" value=(visit.session.csrf); }
}

pub fn dash() -> Markup {
    html! { span.dim.dash { "—" } }
}

pub fn or_dash(text: Option<&str>) -> Markup {
    text.map_or_else(dash, |text| html! { (text) })
}

/// An icon that says again what the word beside it says.
pub fn icon(name: &str) -> Markup {
    let path = match name {
        "good" => "M3 8.5l3.2 3.2L13 5",
        "bad" => "M4 4l8 8M12 4l-8 8",
        "wait" => "M8 4v4l2.5 2M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8",
        "in" => "M12 4L5 11M5 5.5V11h5.5",
        "out" => "M4 12l7-7M5.5 5H11v5.5",
        _ => "M4 8h8",
    };
    html! {
        svg.icon viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" { path d=(path); }
    }
}

/// A word with its icon; `kind` is `good`, `bad`, `wait` or `none`.
pub fn badge(kind: &str, word: &str) -> Markup {
    html! { span.badge.(kind) { (icon(kind)) (word) } }
}

pub fn state_badge(state: Option<State>) -> Markup {
    match state {
        Some(State::Archived) => badge("good", "archived"),
        Some(State::Pending) => badge("wait", "pending"),
        Some(State::Failed) => badge("bad", "failed"),
        None => dash(),
    }
}

/// A time of the index on a wall clock, UTC beside it for those who point at it.
pub fn when(utc: &str, zone: &TimeZone) -> Markup {
    html! { time datetime=(utc) title={ (utc) " UTC" } { (local(utc, zone)) } }
}

/// UTC of a PBX that the settings do not name any more.
pub fn zone(settings: &Settings, pbx: &PbxName) -> TimeZone {
    settings.zone(pbx).unwrap_or(TimeZone::UTC)
}

/// A table that is wider than a telephone scrolls by itself.
pub fn wide(label: &str, table: &Markup) -> Markup {
    html! { div.wide role="region" aria-label=(label) tabindex="0" { (table) } }
}

pub fn capital(text: &str) -> String {
    let mut rest = text.chars();
    match rest.next() {
        Some(first) => first.to_uppercase().chain(rest).collect(),
        None => String::new(),
    }
}
