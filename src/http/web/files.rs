//! The files that pages are made with, within the program.
//!
//! Vendored ones are as their makers published them: what each is stands in
//! `vendored/vendored.toml`, and a test compares.

use warp::Reply;
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::Shown;
use crate::http::api::problem::Problem;
use crate::model::digest::Digest;

struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! file {
    ($path:literal as $name:literal, $kind:literal) => {
        File {
            name: $name,
            kind: $kind,
            bytes: include_bytes!($path),
        }
    };
}

const FILES: &[File] = &[
    file!("static/style.css" as "style.css", "text/css; charset=utf-8"),
    file!("static/player.js" as "player.js", "text/javascript; charset=utf-8"),
    file!("static/charts.js" as "charts.js", "text/javascript; charset=utf-8"),
    file!("static/icon.svg" as "icon.svg", "image/svg+xml"),
    file!("vendored/uPlot.iife.min.js" as "uPlot.iife.min.js", "text/javascript; charset=utf-8"),
    file!("vendored/uPlot.min.css" as "uPlot.min.css", "text/css; charset=utf-8"),
    file!("vendored/uPlot.LICENSE" as "uPlot.LICENSE", "text/plain; charset=utf-8"),
    file!("vendored/wavesurfer.esm.js" as "wavesurfer.esm.js", "text/javascript; charset=utf-8"),
    file!("vendored/wavesurfer.LICENSE" as "wavesurfer.LICENSE", "text/plain; charset=utf-8"),
];

/// Kept by browsers, which ask each time whether it is still the same.
pub fn file(name: &str, asked: &HeaderMap) -> Shown {
    let file = FILES.iter().find(|file| file.name == name);
    let file = file.ok_or(Problem::NotFound)?;
    let tag = format!("\"{}\"", Digest::of(file.bytes));
    let known = asked.get(header::IF_NONE_MATCH);
    let is_known = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => warp::http::Response::new(bytes::Bytes::from_static(file.bytes)).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}
