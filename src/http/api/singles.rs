//! Answers about one thing.

use std::sync::Arc;

use warp::Reply;

use super::problem::Problem;
use super::{Answer, Api, Asked, query};
use crate::catalog::{self, CallDetail, RecordingDetail};
use crate::model::access::Right;
use crate::model::event::Kind;
use crate::model::id::{CallId, RecordingId};
use crate::store::jobs::{self, Retried};
use crate::store::search::{self, RecordingRow};

pub async fn recording(api: Arc<Api>, asked: Asked) -> Answer {
    let detail = visible_recording(&api, &asked).await?;
    Ok(warp::reply::json(&detail).into_response())
}

/// The recording, if the one who asks may see it, and its custody if they audit.
pub async fn visible_recording(api: &Api, asked: &Asked) -> Result<RecordingDetail, Problem> {
    let id = visible_row(api, asked).await?.recording;
    let found = api
        .store
        .read(move |db| catalog::recording(db, &id))
        .await?;
    let mut detail = found.ok_or(Problem::NotFound)?;
    if !asked.who.role.may(Right::Audit) {
        detail.custody.clear();
    }
    Ok(detail)
}

/// What lists show of the recording, if the one who asks may see it.
pub async fn visible_row(api: &Api, asked: &Asked) -> Result<RecordingRow, Problem> {
    let id = recording_id(asked)?;
    let scope = asked.who.scope();
    let found = api
        .store
        .read(move |db| search::one_recording(db, &id))
        .await?;
    let row = found.ok_or(Problem::NotFound)?;
    match scope.has_pbx(&row.pbx) && scope.has_extension(row.extension.as_deref()) {
        true => Ok(row),
        false => Err(api.outside(asked).await),
    }
}

pub async fn call(api: Arc<Api>, asked: Asked) -> Answer {
    let detail = visible_call(&api, &asked).await?;
    Ok(warp::reply::json(&detail).into_response())
}

/// The call, as far as the one who asks may see it.
pub async fn visible_call(api: &Api, asked: &Asked) -> Result<CallDetail, Problem> {
    let [pbx, call] = two(asked)?;
    let id = CallId {
        pbx: pbx.parse().map_err(|_| Problem::NotFound)?,
        call: call.parse().map_err(|_| Problem::NotFound)?,
    };
    let scope = asked.who.scope();
    let found = api.store.read(move |db| catalog::call(db, &id)).await?;
    let mut detail = found.ok_or(Problem::NotFound)?;
    detail.call = detail.call.narrowed(&scope);
    if !scope.extensions.is_empty() {
        let call = &detail.call;
        let is_mine = |leg: Option<u32>| leg.is_some_and(|leg| call.leg(leg).is_some());
        // What rings may be another's telephone, also before one's own leg.
        let rang = Some(Kind::Ringing.as_str());
        detail
            .events
            .retain(|event| is_mine(event.leg) && event.kind.as_deref() != rang);
    }
    let is_left = !detail.call.legs.is_empty() || !detail.call.ring_path.is_empty();
    match scope.has_pbx(&detail.call.id.pbx) && (is_left || scope.extensions.is_empty()) {
        true => Ok(detail),
        false => Err(api.outside(asked).await),
    }
}

pub async fn retry(api: Arc<Api>, asked: Asked) -> Answer {
    let (id, said) = retried(&api, &asked).await?;
    let answer = serde_json::json!({ "recording": id, "said": said });
    Ok(warp::reply::json(&answer).into_response())
}

/// Makes a recording due at once; what came of it, in a word.
pub async fn retried(api: &Api, asked: &Asked) -> Result<(RecordingId, &'static str), Problem> {
    let id = visible_row(api, asked).await?.recording;
    let (shown, actor, now) = (id.clone(), asked.actor(), api.clock.now());
    let address = asked.address.to_string();
    let said = match api
        .store
        .write(move |tx| jobs::retry(tx, &id, (&actor, Some(&address)), now))
        .await?
    {
        Retried::Due => "due",
        Retried::Running => "running",
        Retried::Archived => "archived",
        Retried::NeverFetched => return Err(Problem::NeverFetched),
        Retried::Unknown => return Err(Problem::NotFound),
    };
    Ok((shown, said))
}

pub async fn status(api: Arc<Api>, asked: Asked) -> Answer {
    api.sees_all(&asked).await?;
    let (settings, now) = (api.settings.clone(), api.clock.now());
    let read = api
        .store
        .read(move |db| catalog::status::status(db, &settings, now));
    Ok(warp::reply::json(&read.await?).into_response())
}

pub async fn series(api: Arc<Api>, asked: Asked) -> Answer {
    let (settings, now, scope) = (api.settings.clone(), api.clock.now(), asked.who.scope());
    let window = query::window(&asked.query)?;
    let read = api
        .store
        .read(move |db| catalog::series::series(db, &settings, &scope, window, now));
    Ok(warp::reply::json(&read.await?).into_response())
}

pub async fn description(_: Arc<Api>, _: Asked) -> Answer {
    Ok(warp::reply::json(&super::openapi::description()).into_response())
}

fn recording_id(asked: &Asked) -> Result<RecordingId, Problem> {
    let [pbx, recording] = two(asked)?;
    Ok(RecordingId {
        pbx: pbx.parse().map_err(|_| Problem::NotFound)?,
        recording: recording.parse().map_err(|_| Problem::NotFound)?,
    })
}

fn two(asked: &Asked) -> Result<[&str; 2], Problem> {
    match asked.parts.as_slice() {
        [one, two] => Ok([one, two]),
        _ => Err(Problem::NotFound),
    }
}
