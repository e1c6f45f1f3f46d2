//! Who did what, newest first.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use maud::html;

use super::frame::{self, wide};
use super::{Shown, Visit, address, call, search};
use crate::http::api::Api;
use crate::http::api::lists;

pub async fn custody(api: &Api, visit: &Visit) -> Shown {
    api.sees_all(&visit.asked).await?;
    let query = &visit.asked.query;
    let (rows, next) = lists::entries_of(api, query).await?;
    let value = |name: &str| query.get(name).map_or("", String::as_str);
    let older = next.map(|cursor| {
        let mut query = query.clone();
        query.insert("cursor".to_owned(), cursor);
        address("/custody", &query)
    });
    let newest: BTreeMap<_, _> = query
        .clone()
        .into_iter()
        .filter(|(name, _)| name != "cursor")
        .collect();
    let body = html! {
        h1 { "Custody" }
        form.search method="get" action="/custody" role="search" aria-label="Custody" {
            (search::text("actor", "Who", value("actor"), "Kim Doe (kim)"))
            (search::text("recording", "Recording", value("recording"), "hq/230307142318_40-1-1"))
            (search::text("act", "Did", value("act"), "listened"))
            (search::day("from", "From", value("from")))
            (search::day("to", "Before", value("to")))
            button type="submit" { "Search" }
        }
        @if rows.is_empty() { p.empty { "No entry fits." } }
        @else {
            (wide("Custody", &call::entries("Newest first; times are UTC", &rows, &TimeZone::UTC)))
        }
        (search::pager(&address("/custody", &newest), query.contains_key("cursor"), older))
    };
    Ok(frame::page(visit, "Custody", "Custody", &body))
}
