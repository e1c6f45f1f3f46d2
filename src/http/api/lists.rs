//! Lists: a page at a time by an opaque cursor, or all of it, streamed.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use warp::Reply;
use warp::http::{HeaderValue, header};

use super::problem::Problem;
use super::query::{self, Query};
use super::{Answer, Api, Asked};
use crate::catalog;
use crate::model::filter::{Filter, Place};
use crate::model::time::{Moment, UtcMs};
use crate::store::search::RecordingRow;
use crate::store::{
    custody as entries, events as log_events, jobs as backlog, tokens as token_store,
};

/// Rows in one piece of a stream.
const PIECE: u32 = 500;

/// A page; `next` is the cursor of the one behind it, null at the end.
#[derive(Serialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

fn page<T: Serialize>(items: Vec<T>, next: Option<String>) -> Answer {
    Ok(warp::reply::json(&Page { items, next }).into_response())
}

/// Asks for one row more than a page shows: it tells whether there is another page.
pub fn one_more(filter: &mut Filter) -> u32 {
    let limit = filter.limit.unwrap_or(PIECE);
    filter.limit = Some(limit + 1);
    limit
}

/// What a page shows of rows of which one more was asked for, and the cursor behind it.
pub fn next<T>(items: &mut Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Option<String> {
    let is_more = items.len() > limit as usize;
    items.truncate(limit as usize);
    items.last().filter(|_| is_more).map(cursor)
}

pub async fn recordings(api: Arc<Api>, asked: Asked) -> Answer {
    let mut filter = searched(&api, &asked, "recordings").await?;
    let limit = one_more(&mut filter);
    let mut rows = api
        .store
        .read(move |db| catalog::recordings(db, &filter))
        .await?;
    let next = next(&mut rows, limit, |row| row.place().cursor());
    page(rows, next)
}

pub async fn calls(api: Arc<Api>, asked: Asked) -> Answer {
    let mut filter = searched(&api, &asked, "calls").await?;
    let limit = one_more(&mut filter);
    let mut calls = api
        .store
        .read(move |db| catalog::calls(db, &filter))
        .await?;
    let next = next(&mut calls, limit, |call| call.place().cursor());
    page(calls, next)
}

/// Every search is an entry in custody.
pub async fn searched(api: &Api, asked: &Asked, what: &str) -> Result<Filter, Problem> {
    let filter = query::filter(&asked.query, asked.who.scope())?;
    enter_search(api, asked, "searched", what).await?;
    Ok(filter)
}

async fn enter_search(
    api: &Api,
    asked: &Asked,
    act: &'static str,
    what: &str,
) -> Result<(), Problem> {
    let query = serde_json::json!(asked.query).to_string();
    api.enter(asked.entry(api.clock.now(), act, what).detail(query))
        .await
}

pub async fn recordings_csv(api: Arc<Api>, asked: Asked) -> Answer {
    streamed(
        api,
        asked,
        "text/csv; charset=utf-8",
        "recordings.csv",
        crate::catalog::table::csv,
    )
    .await
}

pub async fn recordings_jsonl(api: Arc<Api>, asked: Asked) -> Answer {
    streamed(
        api,
        asked,
        "application/jsonl",
        "recordings.jsonl",
        |rows, _| {
            let lines = rows
                .iter()
                .filter_map(|row| serde_json::to_string(row).ok());
            lines
                .map(|line| line + "\n")
                .collect::<String>()
                .into_bytes()
        },
    )
    .await
}

/// All that fits, a piece at a time, as it is read.
async fn streamed(
    api: Arc<Api>,
    asked: Asked,
    kind: &'static str,
    name: &'static str,
    text: fn(&[RecordingRow], bool) -> Vec<u8>,
) -> Answer {
    let mut filter = query::filter(&asked.query, asked.who.scope())?;
    filter.limit = Some(PIECE);
    enter_search(&api, &asked, "exported", "recordings").await?;
    let name_of_token = asked.who.name.clone();
    let pieces = stream::try_unfold((Some(filter), true), move |(filter, is_first)| {
        let (api, token) = (api.clone(), name_of_token.clone());
        async move {
            let Some(mut filter) = filter else {
                return Ok(None);
            };
            api.still_valid(&token).await?;
            let asked = filter.clone();
            let rows = api
                .store
                .read(move |db| catalog::recordings(db, &asked))
                .await;
            let rows = rows.map_err(std::io::Error::other)?;
            let last: Option<Place> = rows
                .last()
                .filter(|_| rows.len() == PIECE as usize)
                .map(RecordingRow::place);
            let bytes = Bytes::from(text(&rows, is_first));
            filter.after = last;
            let more = filter.after.is_some().then_some(filter);
            Ok::<_, std::io::Error>(Some((bytes, (more, false))))
        }
    });
    let mut response = warp::reply::stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

pub async fn events(api: Arc<Api>, asked: Asked) -> Answer {
    api.sees_all(&asked).await?;
    let limit = query::limit(&asked.query)?;
    let pbx = query::typed(&asked.query, "pbx")?;
    let after = query::event(&asked.query)?;
    let kind = query::kind(&asked.query)?;
    let read = api
        .store
        .read(move |db| log_events::events(db, pbx.as_ref(), kind.as_deref(), after, limit + 1));
    let mut rows = read.await?;
    let next = next(&mut rows, limit, |row| format!("{}.{}", row.seq, row.item));
    page(rows, next)
}

pub async fn jobs(api: Arc<Api>, asked: Asked) -> Answer {
    let scope = asked.who.scope();
    let limit = query::limit(&asked.query)?;
    let behind = query::turn(&asked.query)?;
    let read = api
        .store
        .read(move |db| backlog::list(db, &scope, behind.as_ref(), Some(limit + 1)));
    let mut rows = read.await?;
    let next = next(&mut rows, limit, |row| row.turn().cursor());
    page(rows, next)
}

pub async fn custody(api: Arc<Api>, asked: Asked) -> Answer {
    api.sees_all(&asked).await?;
    let (rows, next) = entries_of(&api, &asked.query).await?;
    page(rows, next)
}

/// A page of custody entries, and the cursor behind it.
pub async fn entries_of(
    api: &Api,
    query: &Query,
) -> Result<(Vec<entries::CustodyRow>, Option<String>), Problem> {
    let limit = query::limit(query)?;
    let filter = entries::Filter {
        actor: query.get("actor").cloned(),
        subject: query.get("recording").cloned(),
        act: query.get("act").cloned(),
        from: moment(query, "from")?,
        to: moment(query, "to")?,
        before: before(query)?,
        limit: Some(limit + 1),
    };
    let mut rows = api.store.read(move |db| entries::list(db, &filter)).await?;
    let next = next(&mut rows, limit, |row| row.seq.to_string());
    Ok((rows, next))
}

pub async fn tokens(api: Arc<Api>, asked: Asked) -> Answer {
    api.sees_all(&asked).await?;
    page(api.store.read(|db| token_store::list(db)).await?, None)
}

fn before(query: &Query) -> Result<Option<i64>, Problem> {
    query::typed(query, "cursor")
}

/// Custody is of no one PBX, so a bare time is UTC here.
fn moment(query: &Query, name: &str) -> Result<Option<UtcMs>, Problem> {
    let moment: Option<Moment> = query::typed(query, name)?;
    Ok(moment.map(Moment::as_utc))
}
