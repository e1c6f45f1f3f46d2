//! A PBX's web API as far as the demo needs one: it serves recordings, and can fail to.
//!
//! Never here: anything the service itself uses.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use warp::http::{HeaderValue, StatusCode, header};
use warp::reply::Response;
use warp::{Filter, Reply};

/// What it does when it is asked for a recording.
pub enum Answer {
    Recording(&'static [u8]),
    NotThere,
    /// With 200, as if it were what was asked for.
    Page(&'static str),
    /// Promises all of it, and hangs up in the middle.
    Half(&'static [u8]),
}

/// Serves `GET /webapi/recording/{name}.mp3` as `answer` says.
pub fn routes(
    answer: impl Fn(&str) -> Answer + Clone + Send + Sync + 'static,
) -> impl Filter<Extract = (Response,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
    warp::path!("webapi" / "recording" / String)
        .and(warp::get())
        .map(move |file: String| {
            let answer = file.strip_suffix(".mp3").map(&answer);
            respond(answer.unwrap_or(Answer::NotThere))
        })
}

fn respond(answer: Answer) -> Response {
    match answer {
        Answer::NotThere => StatusCode::NOT_FOUND.into_response(),
        Answer::Page(text) => warp::reply::html(text).into_response(),
        Answer::Recording(audio) => {
            let mut response = Response::new(Bytes::from_static(audio).into());
            is_audio(&mut response);
            response
        }
        Answer::Half(audio) => {
            let half = Bytes::from_static(&audio[..audio.len() / 2]);
            // What is sent is on its way before the end that comes too early.
            let end = stream::once(tokio::task::yield_now()).map(|()| Bytes::new());
            let body = stream::iter([half]).chain(end).map(Ok::<_, Infallible>);
            let mut response = warp::reply::stream(body).into_response();
            is_audio(&mut response);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(audio.len()));
            response
        }
    }
}

fn is_audio(response: &mut Response) {
    let audio = HeaderValue::from_static("audio/mpeg");
    response.headers_mut().insert(header::CONTENT_TYPE, audio);
}
