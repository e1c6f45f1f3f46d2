//! Every token there is, never its text. They are made and ended on the command line.

use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::frame::{self, badge, dash, when, wide};
use super::{Shown, Visit};
use crate::http::api::Api;
use crate::model::time::UtcMs;
use crate::store::tokens::{self, TokenRow};

pub async fn tokens(api: &Api, visit: &Visit) -> Shown {
    api.sees_all(&visit.asked).await?;
    let rows = api.store.read(|db| tokens::list(db)).await?;
    let now = api.clock.now();
    let table = html! {
        table {
            caption { "By name; times are UTC" }
            thead { tr {
                th scope="col" { "Token" } th scope="col" { "State" } th scope="col" { "Person" }
                th scope="col" { "Role" } th scope="col" { "Sees" } th scope="col" { "Made" }
                th scope="col" { "Expires" } th scope="col" { "Last used" }
            } }
            tbody { @for token in &rows { (row(token, now)) } }
        }
    };
    let body = html! {
        h1 { "Tokens" }
        (wide("Tokens", &table))
        p.dim {
            "Made and ended on the command line: " code { "callvault token add" } ", "
            code { "callvault token revoke" } "."
        }
    };
    Ok(frame::page(visit, "Tokens", "Tokens", &body))
}

fn row(token: &TokenRow, now: UtcMs) -> Markup {
    html! {
        tr {
            th scope="row" { (token.name) }
            td {
                @if token.revoked_at.is_some() { (badge("bad", "revoked")) }
                @else if !token.is_valid(now) { (badge("bad", "expired")) }
                @else { (badge("good", "valid")) }
            }
            td { (token.person) }
            td { (token.role) }
            td { (sees(token)) }
            td { (moment(Some(token.created_at), "")) }
            td { (moment(token.expires_at, "never")) }
            td { (moment(token.last_used_at, "never")) }
        }
    }
}

fn sees(token: &TokenRow) -> Markup {
    html! {
        @match &token.pbx {
            Some(pbx) => { "PBX " (pbx) },
            None => "all PBXs",
        }
        @if !token.extensions.is_empty() { ", extensions " (token.extensions.join(", ")) }
    }
}

fn moment(at: Option<UtcMs>, none: &str) -> Markup {
    match at {
        Some(at) => when(&at.to_string(), &TimeZone::UTC),
        None if none.is_empty() => dash(),
        None => html! { span.dim { (none) } },
    }
}
