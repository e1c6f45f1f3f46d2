//! The edges that listen: the only warp, hyper-util and tokio-rustls.
//!
//! Never here: what an event means, or SQL. A handler calls one function of a room below.

use std::sync::Arc;

use warp::http::{HeaderMap, HeaderValue, header};
use warp::{Filter, Reply};

pub mod api;
pub mod health;
pub mod hook;
pub mod listener;
pub mod request_line;
pub mod simulated;
pub mod tls;
pub mod web;

mod body;
mod limits;
mod request;
mod room;
mod session;

/// What the admin listener serves.
pub fn admin(
    api: Arc<api::Api>,
) -> impl Filter<Extract = (impl Reply,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
    health::routes(api.store.clone())
        .or(api::routes(api.clone()))
        .or(web::routes(api))
}

/// What is answered is what it says it is, and is for nobody's cache; a file says for itself how
/// long it is kept.
fn guard(headers: &mut HeaderMap) {
    let as_told = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, as_told);
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(no_store);
}

#[cfg(test)]
mod limits_tests;
#[cfg(test)]
mod listener_tests;
#[cfg(test)]
mod request_line_tests;
#[cfg(test)]
mod smuggling_tests;
#[cfg(test)]
mod wire;
