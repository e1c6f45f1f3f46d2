//! A whole request as the admin listener's rooms see it.
//!
//! Never here: what it asks for, or who may ask.

use std::net::IpAddr;

use bytes::Bytes;
use warp::Filter;
use warp::http::{HeaderMap, Method, StatusCode};

use super::hook;
use super::listener::{Peer, RawTarget};

const BODY_MAX_BYTES: usize = 64 * 1024;

pub struct Request {
    pub method: Method,
    pub path: String,
    pub query: Bytes,
    pub headers: HeaderMap,
    pub address: IpAddr,
    pub body: Bytes,
}

/// Every request; none where its body is too large or never ends.
pub fn whole()
-> impl Filter<Extract = (Option<Request>,), Error = warp::Rejection> + Clone + Send + Sync + 'static
{
    warp::method()
        .and(warp::path::full())
        .and(warp::ext::get::<Peer>())
        .and(warp::ext::get::<RawTarget>())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(
            |method,
             path: warp::path::FullPath,
             Peer(peer),
             RawTarget(target),
             headers,
             body| async move {
                let query = target.iter().position(|byte| *byte == b'?');
                let body: Result<Vec<u8>, StatusCode> = hook::whole(body, BODY_MAX_BYTES).await;
                Some(Request {
                    method,
                    path: path.as_str().to_owned(),
                    query: query.map_or_else(Bytes::new, |at| target.slice(at + 1..)),
                    headers,
                    address: peer.ip().to_canonical(),
                    body: Bytes::from(body.ok()?),
                })
            },
        )
}
