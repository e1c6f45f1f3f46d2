//! The web page on the admin listener: one table of pages, each naming the right that it takes.
//!
//! Every page is made here, whole, and works without JavaScript. What a person may see and do, and
//! what of it is entered in custody, is the API's: pages call the same functions. Never here: a
//! style or script within a page; text from outside that maud did not escape.

mod call;
mod calls;
mod charts;
mod custody;
mod files;
mod frame;
mod health;
mod lanes;
mod player;
mod recording;
mod recordings;
mod search;
mod sign_in;
mod tokens;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use warp::reply::Response;
use warp::{Filter, Reply};

use super::api::problem::Problem;
use super::api::query::{self, CALLS, CUSTODY, NONE, Parameter, Query, RECORDINGS};
use super::api::{self, Api, Asked};
use super::request::{self, Body, Request};
use super::session::{self, Session};
use crate::model::access::Right;

/// Somebody signed in, and what they ask for.
pub struct Visit {
    pub asked: Asked,
    pub session: Session,
    /// What was filled in; empty unless something is to be changed.
    pub form: Query,
}

type Shown = Result<Response, Problem>;

struct Page {
    method: Method,
    /// Open parts in braces.
    path: &'static str,
    right: Right,
    query: &'static [Parameter],
    handler: fn(Arc<Api>, Visit) -> BoxFuture<'static, Shown>,
}

macro_rules! page {
    ($method:ident $path:literal $right:ident, $query:expr, $handler:path) => {
        Page {
            method: Method::$method,
            path: $path,
            right: Right::$right,
            query: $query,
            handler: |api, visit| {
                Box::pin(async move {
                    let shown = $handler(&api, &visit).await;
                    Ok(shown.unwrap_or_else(|problem| frame::problem(Some(&visit), &problem)))
                })
            },
        }
    };
}

/// Every page there is, but for signing in and the files that pages are made with.
const PAGES: &[Page] = &[
    page!(GET "/" See, CALLS, calls::calls),
    page!(GET "/recordings" See, RECORDINGS, recordings::recordings),
    page!(GET "/call/{pbx}/{call}" See, NONE, call::call),
    page!(POST "/call/{pbx}/{call}/reason" Hear, NONE, call::reason),
    page!(GET "/recording/{pbx}/{recording}" See, NONE, recording::recording),
    page!(POST "/recording/{pbx}/{recording}/reason" Hear, NONE, recording::reason),
    page!(GET "/health" See, query::HEALTH, health::health),
    page!(POST "/retry/{pbx}/{recording}" Configure, NONE, health::retry),
    page!(GET "/custody" Audit, CUSTODY, custody::custody),
    page!(GET "/tokens" Configure, NONE, tokens::tokens),
    page!(POST "/sign-out" See, NONE, sign_in::sign_out),
];

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

pub fn routes(
    api: Arc<Api>,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
    request::any().then(move |request: Request, body: Body| {
        let api = api.clone();
        async move {
            let answered = answer(api, request, body).await;
            let mut response = answered.unwrap_or_else(|problem| frame::problem(None, &problem));
            guard(response.headers_mut());
            response
        }
    })
}

fn guard(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    super::guard(headers);
}

async fn answer(api: Arc<Api>, mut request: Request, body: Body) -> Shown {
    if request.method == Method::HEAD {
        request.method = Method::GET;
    }
    if let Some(name) = request.path.strip_prefix("/static/") {
        return files::file(name, &request.headers);
    }
    if request.path == "/sign-in" {
        return sign_in::sign_in(&api, &request, body).await;
    }
    let Some((who, session)) = api.gate.signed_in(&api, &request.headers).await? else {
        return Ok(sign_in::to_sign_in(&request));
    };
    // Only a page of ours is gone to: `//elsewhere/` is none.
    if request.method == Method::GET
        && find(&Method::GET, &request.path).is_ok()
        && let Some(tidied) = tidied(&request)?
    {
        return Ok(see_other(&tidied));
    }
    let (path, method) = (request.path.clone(), request.method.clone());
    let found = find(&method, &path);
    let parts = found.as_ref().map(|(_, parts)| parts.clone());
    let asked = Asked::new(who, request, parts.unwrap_or_default())?;
    let mut visit = Visit {
        asked,
        session,
        form: Query::new(),
    };
    let admitted = async {
        let (page, _) = found?;
        if page.method != Method::GET {
            visit.form = filled_in(body).await?;
        }
        admit(&api, &visit, page).await?;
        Ok(page)
    };
    match admitted.await {
        Ok(page) => (page.handler)(api, visit).await,
        Err(problem) => Ok(frame::problem(Some(&visit), &problem)),
    }
}

async fn filled_in(body: Body) -> Result<Query, Problem> {
    query::parse(&body.read().await.ok_or(Problem::TooLarge)?)
}

/// Whether this visitor's page may be made at all.
async fn admit(api: &Api, visit: &Visit, page: &Page) -> Result<(), Problem> {
    let asked = &visit.asked;
    if page.method != Method::GET {
        let given = visit.form.get("csrf").map(String::as_str);
        if session::is_foreign(&asked.headers) || !session::is_same(&visit.session.csrf, given) {
            return Err(Problem::Csrf);
        }
    }
    query::check(&asked.query, page.query)?;
    if !asked.who.role.may(page.right) {
        api.deny(asked, page.right).await?;
        return Err(Problem::Forbidden(page.right));
    }
    Ok(())
}

fn find(method: &Method, path: &str) -> Result<(&'static Page, Vec<String>), Problem> {
    let fitting = PAGES
        .iter()
        .filter_map(|page| Some((page, api::parts(page.path, path)?)));
    let (found, others): (Vec<_>, Vec<_>) = fitting.partition(|(page, _)| page.method == *method);
    let methods: Vec<&Method> = others.iter().map(|(page, _)| &page.method).collect();
    let mut found = found.into_iter();
    found.next().ok_or_else(|| no_such_method(methods))
}

/// Whatever can be got has a head.
fn no_such_method(mut known: Vec<&Method>) -> Problem {
    if known.contains(&&Method::GET) {
        known.push(&Method::HEAD);
    }
    Problem::no_such_method(&known)
}

/// Forms send empty fields too: a search's address is shown without them.
fn tidied(request: &Request) -> Result<Option<String>, Problem> {
    let whole: Vec<(String, String)> =
        serde_urlencoded::from_bytes(&request.query).unwrap_or_default();
    let empty = whole.iter().any(|(_, value)| value.is_empty());
    match empty {
        true => Ok(Some(address(&request.path, &query::parse(&request.query)?))),
        false => Ok(None),
    }
}

/// A path with its query.
fn address(path: &str, query: &Query) -> String {
    let query = serde_urlencoded::to_string(query).unwrap_or_default();
    match query.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{query}"),
    }
}

fn see_other(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}
