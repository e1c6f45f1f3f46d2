//! A request as the admin listener's rooms see it; its body is read only by whoever wants it.
//!
//! Never here: what it asks for, or who may ask.

use std::net::IpAddr;

use bytes::{Buf, Bytes};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use warp::Filter;
use warp::http::{HeaderMap, Method};

use super::hook;
use super::listener::{Peer, RawTarget};

const BODY_MAX_BYTES: usize = 64 * 1024;

pub struct Request {
    pub method: Method,
    pub path: String,
    pub query: Bytes,
    pub headers: HeaderMap,
    pub address: IpAddr,
}

/// What comes behind the head: nothing of it is taken in before it is known who sends it.
pub struct Body(BoxStream<'static, Result<Bytes, warp::Error>>);

impl Body {
    fn of<B: Buf>(stream: impl Stream<Item = Result<B, warp::Error>> + Send + 'static) -> Body {
        let bytes = |mut piece: B| piece.copy_to_bytes(piece.remaining());
        Body(stream.map(move |piece| piece.map(bytes)).boxed())
    }

    /// The whole of it; none where it is too large or does not end.
    pub async fn read(self) -> Option<Bytes> {
        let whole = hook::whole(self.0, BODY_MAX_BYTES).await.ok()?;
        Some(Bytes::from(whole))
    }
}

/// Every request.
pub fn any()
-> impl Filter<Extract = (Request, Body), Error = warp::Rejection> + Clone + Send + Sync + 'static {
    let head = warp::method()
        .and(warp::path::full())
        .and(warp::ext::get::<Peer>())
        .and(warp::ext::get::<RawTarget>())
        .and(warp::header::headers_cloned())
        .map(
            |method, path: warp::path::FullPath, Peer(peer), RawTarget(target), headers| {
                let query = target.iter().position(|byte| *byte == b'?');
                Request {
                    method,
                    path: path.as_str().to_owned(),
                    query: query.map_or_else(Bytes::new, |at| target.slice(at + 1..)),
                    headers,
                    address: peer.ip().to_canonical(),
                }
            },
        );
    head.and(warp::body::stream().map(Body::of))
}
