//! The API under `/api/v1/`: one table of routes.
//!
//! A route names the right that it takes; whoever has it not is told so before anything is looked
//! at. Never here: what a recording or a call is; a handler asks `catalog` and shows the answer.

pub mod audio;
mod gate;
pub(super) mod lists;
mod openapi;
pub(super) mod problem;
pub mod query;
pub(super) mod singles;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use warp::http::{HeaderMap, Method};
use warp::reply::Response;
use warp::{Filter, Reply};

use super::request::{self, Body, Request};
use crate::catalog::listen::Shelf;
use crate::catalog::{self, peaks};
use crate::clock::Clock;
use crate::config::Settings;
use crate::model::access::Right;
use crate::store::Store;
use crate::store::custody::{self, Entry};
use crate::store::tokens::TokenRow;

pub use gate::Gate;
use openapi::Answers;
pub use openapi::description;
use problem::Problem;

/// What every handler works with.
pub struct Api {
    pub store: Store,
    pub shelf: Shelf,
    pub settings: Arc<Settings>,
    pub clock: Clock,
    pub gate: Gate,
    pub peaks: peaks::Cache,
    /// What a failure's code means, in words.
    pub explain: catalog::Explain,
}

/// A request by somebody who may make it.
pub struct Asked {
    pub who: TokenRow,
    pub address: IpAddr,
    pub method: Method,
    pub path: String,
    /// The parts of the path that the route leaves open, in order.
    pub parts: Vec<String>,
    pub query: BTreeMap<String, String>,
    pub headers: HeaderMap,
}

type Answer = Result<Response, Problem>;
type Handler = fn(Arc<Api>, Asked) -> BoxFuture<'static, Answer>;

/// One operation of the API.
pub struct Route {
    pub method: Method,
    /// Open parts in braces.
    pub path: &'static str,
    pub right: Right,
    pub summary: &'static str,
    pub query: &'static [query::Parameter],
    pub answers: Answers,
    handler: Handler,
}

macro_rules! route {
    ($method:ident $path:literal $right:ident $answers:ident, $query:expr, $handler:path, $summary:literal) => {
        Route {
            method: Method::$method,
            path: $path,
            right: Right::$right,
            summary: $summary,
            query: $query,
            answers: Answers::$answers,
            handler: |api, asked| Box::pin($handler(api, asked)),
        }
    };
}

use query::{CALLS, CUSTODY, EVENTS, EXPORTED, JOBS, NONE, RECORDINGS};

/// Every route there is. A path that is not here is not answered.
pub const ROUTES: &[Route] = &[
    route!(GET "/api/v1/recordings" See Recordings, RECORDINGS, lists::recordings, "Recordings, newest first"),
    route!(GET "/api/v1/recordings.csv" Export Csv, EXPORTED, lists::recordings_csv, "The same, all of them, as CSV"),
    route!(GET "/api/v1/recordings.jsonl" Export JsonLines, EXPORTED, lists::recordings_jsonl, "The same, all of them, an object a line"),
    route!(GET "/api/v1/recordings/{pbx}/{recording}" See Recording, NONE, singles::recording, "A recording with its attempts and custody"),
    route!(GET "/api/v1/recordings/{pbx}/{recording}/audio" Hear Audio, query::AUDIO, audio::audio, "The recording; needs a reason. With download=1 as a file, whole, its digest checked before its last byte"),
    route!(HEAD "/api/v1/recordings/{pbx}/{recording}/audio" Hear Nothing, query::AUDIO, audio::head, "Its length and type"),
    route!(GET "/api/v1/recordings/{pbx}/{recording}/peaks" Hear Peaks, NONE, audio::peaks, "Its waveform: loudness from 0 to 1, evenly along its length"),
    route!(GET "/api/v1/calls" See Calls, CALLS, lists::calls, "Calls, newest first, missed ones too"),
    route!(GET "/api/v1/calls/{pbx}/{call}" See Call, NONE, singles::call, "A call with its legs and events"),
    route!(GET "/api/v1/events" Audit Events, EVENTS, lists::events, "Events as they were read, newest first, with their text"),
    route!(GET "/api/v1/jobs" See Jobs, JOBS, lists::jobs, "What is pending or failed, and why: what failed first, then by the next try"),
    route!(POST "/api/v1/jobs/{pbx}/{recording}/retry" Configure Retried, NONE, singles::retry, "Make a recording due at once"),
    route!(GET "/api/v1/custody" Audit Custody, CUSTODY, lists::custody, "Who did what, newest first"),
    route!(GET "/api/v1/status" See Status, NONE, singles::status, "How the archive stands"),
    route!(GET "/api/v1/status/series" See Series, query::SERIES, singles::series, "Events, archive delay and backlog along time, by PBX"),
    route!(GET "/api/v1/tokens" Configure Tokens, NONE, lists::tokens, "Every token, never its text"),
    route!(GET "/api/openapi.json" See Description, NONE, singles::description, "This description"),
];

pub fn routes(
    api: Arc<Api>,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
    warp::path("api")
        .and(request::any())
        .then(move |request: Request, body: Body| {
            let api = api.clone();
            async move {
                let answered = answer(api, request, body).await;
                let mut response = answered.unwrap_or_else(Reply::into_response);
                super::guard(response.headers_mut());
                response
            }
        })
}

async fn answer(api: Arc<Api>, request: Request, body: Body) -> Answer {
    // Who asks comes first: a stranger learns not even which routes there are.
    let who = api
        .gate
        .who(&api, &request.method, &request.headers, request.address)
        .await?;
    let (route, parts) = find(&request.method, &request.path)?;
    let asked = Asked::new(who, request, parts)?;
    query::check(&asked.query, route.query)?;
    if !asked.who.role.may(route.right) {
        api.deny(&asked, route.right).await?;
        return Err(Problem::Forbidden(route.right));
    }
    // No route wants one; taken in, so that the connection is good for another request.
    body.read().await.ok_or(Problem::TooLarge)?;
    (route.handler)(api, asked).await
}

fn find(method: &Method, path: &str) -> Result<(&'static Route, Vec<String>), Problem> {
    let mut known = Vec::new();
    for route in ROUTES {
        if let Some(parts) = parts(route.path, path) {
            if route.method == *method {
                return Ok((route, parts));
            }
            known.push(&route.method);
        }
    }
    Err(Problem::no_such_method(&known))
}

/// What a path has where the template is open; none where it does not fit.
pub(super) fn parts(template: &str, path: &str) -> Option<Vec<String>> {
    let (template, path): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    let mut open = Vec::new();
    for (expected, found) in template.iter().zip(&path) {
        match expected.starts_with('{') {
            true if !found.is_empty() => open.push((*found).to_owned()),
            _ if expected == found => {}
            _ => return None,
        }
    }
    (template.len() == path.len()).then_some(open)
}

impl Api {
    /// Enters in custody what somebody does; what cannot be entered is not done.
    pub(super) async fn enter(&self, entry: Entry) -> Result<(), Problem> {
        let entered = self.store.write(move |tx| custody::append(tx, &entry));
        entered.await.map_err(Problem::from)
    }

    pub(super) async fn deny(&self, asked: &Asked, right: Right) -> Result<(), Problem> {
        self.enter_denial(asked, &format!("the right to {right}"))
            .await
    }

    /// Answers that cannot be narrowed are for those who see everything.
    pub(super) async fn sees_all(&self, asked: &Asked) -> Result<(), Problem> {
        if asked.who.scope().is_all() {
            return Ok(());
        }
        self.enter_denial(asked, "a scope of everything").await?;
        Err(Problem::Scope)
    }

    /// What is there and outside a scope is answered like what is not there; that somebody asked
    /// for it is a denial like any other.
    pub(super) async fn outside(&self, asked: &Asked) -> Problem {
        match self.enter_denial(asked, "a scope with it").await {
            Ok(()) => Problem::NotFound,
            Err(problem) => problem,
        }
    }

    async fn enter_denial(&self, asked: &Asked, needed: &str) -> Result<(), Problem> {
        let entry = asked.entry(self.clock.now(), "denied", &asked.path);
        self.enter(entry.detail(format!("{} needs {needed}", asked.method)))
            .await
    }
}

impl Asked {
    pub(super) fn new(
        who: TokenRow,
        request: Request,
        parts: Vec<String>,
    ) -> Result<Asked, Problem> {
        Ok(Asked {
            who,
            address: request.address,
            query: query::parse(&request.query)?,
            method: request.method,
            path: request.path,
            parts,
            headers: request.headers,
        })
    }

    /// An act of the one who asks.
    pub(super) fn entry(
        &self,
        at: crate::model::time::UtcMs,
        act: &'static str,
        subject: &str,
    ) -> Entry {
        Entry {
            actor: self.actor(),
            address: Some(self.address.to_string()),
            ..Entry::of_service(at, act, &subject)
        }
    }

    pub(super) fn actor(&self) -> String {
        self.who.actor()
    }
}
