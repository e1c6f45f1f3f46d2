//! A PBX's web API as far as the demo needs one: it serves recordings.
//!
//! Never here: anything the service itself uses.

use bytes::Bytes;
use warp::Filter;
use warp::http::{HeaderValue, Response, StatusCode, header};

/// Serves `GET /webapi/recording/{name}.mp3` from what `find` knows.
pub fn routes(
    find: fn(&str) -> Option<&'static [u8]>,
) -> impl Filter<Extract = (Response<Bytes>,), Error = warp::Rejection> + Clone + Send + Sync + 'static
{
    warp::path!("webapi" / "recording" / String)
        .and(warp::get())
        .map(move |file: String| {
            let body = file.strip_suffix(".mp3").and_then(find);
            let mut response = Response::new(Bytes::from_static(body.unwrap_or_default()));
            match body {
                Some(_) => {
                    let audio = HeaderValue::from_static("audio/mpeg");
                    response.headers_mut().insert(header::CONTENT_TYPE, audio);
                }
                None => *response.status_mut() = StatusCode::NOT_FOUND,
            }
            response
        })
}
