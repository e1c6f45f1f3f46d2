//! Why the API does not do what was asked: `application/problem+json` (RFC 9457) with a stable code.

use bytes::Bytes;
use warp::Reply;
use warp::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::model::access::Right;
use crate::model::chain::chain;
use crate::{catalog, store};

const NOT_OURS: &str = "this did not come from a page of this session; with a session, X-Callvault-Csrf says that it does";

/// For the log, which tells the rest.
pub const NOT_SOUND: &str = "an archived recording is not sound";
/// For the one who asked: not where it lay.
const NOT_SOUND_DETAIL: &str = "the recording in the store is not what was archived, or is gone";

#[derive(Debug)]
pub enum Problem {
    Unauthorized,
    TooManyWrongTokens,
    Forbidden(Right),
    /// A form, or a request with a session, that no page of ours made.
    Csrf,
    /// The answer is of everything, and the one who asks may see a part.
    Scope,
    /// Also what lies outside the scope of the one who asks.
    NotFound,
    Method {
        /// Those that the path has.
        allowed: String,
    },
    Query(String),
    TooLarge,
    ReasonRequired,
    NotArchived {
        state: String,
    },
    Range {
        bytes: u64,
    },
    Integrity(String),
    NeverFetched,
    Unavailable,
}

impl Problem {
    /// For a path that has these methods only, be it none.
    pub fn no_such_method(known: &[&Method]) -> Problem {
        if known.is_empty() {
            return Problem::NotFound;
        }
        let known: Vec<&str> = known.iter().map(|method| method.as_str()).collect();
        let allowed = known.join(", ");
        Problem::Method { allowed }
    }

    /// What its answer says beside its text.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        let (name, value) = match self {
            Problem::Method { allowed } => (header::ALLOW, allowed.clone()),
            Problem::TooManyWrongTokens => (header::RETRY_AFTER, "60".to_owned()),
            Problem::Range { bytes } => (header::CONTENT_RANGE, format!("bytes */{bytes}")),
            _ => return,
        };
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }

    pub fn parts(&self) -> (StatusCode, &'static str, String) {
        match self {
            Problem::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "a valid token is needed: Authorization: Bearer …".to_owned(),
            ),
            Problem::TooManyWrongTokens => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_wrong_tokens",
                "too many wrong tokens from this address; come back in a minute".to_owned(),
            ),
            Problem::Forbidden(right) => (
                StatusCode::FORBIDDEN,
                "forbidden",
                format!("this token has not the right to {right}"),
            ),
            Problem::Csrf => (StatusCode::FORBIDDEN, "csrf", NOT_OURS.to_owned()),
            Problem::Scope => (
                StatusCode::FORBIDDEN,
                "scope",
                "this answer is of the whole archive, and this token sees a part of it".to_owned(),
            ),
            Problem::NotFound => {
                (StatusCode::NOT_FOUND, "not_found", "there is nothing here".to_owned())
            }
            Problem::Method { .. } => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path has no such method".to_owned(),
            ),
            Problem::Query(what) => (StatusCode::BAD_REQUEST, "bad_query", what.clone()),
            Problem::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "the body is too large, or never ended".to_owned(),
            ),
            Problem::ReasonRequired => (
                StatusCode::PRECONDITION_REQUIRED,
                "reason_required",
                "say why in X-Callvault-Reason (and X-Callvault-Case); it holds for 15 minutes for \
                 this call"
                    .to_owned(),
            ),
            Problem::NotArchived { state } => (
                StatusCode::CONFLICT,
                "not_archived",
                format!("the recording is {state}, so there is nothing to hear yet"),
            ),
            Problem::Range { bytes } => (
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range_not_satisfiable",
                format!("the recording has {bytes} bytes"),
            ),
            Problem::Integrity(what) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "integrity", what.clone())
            }
            Problem::NeverFetched => (
                StatusCode::CONFLICT,
                "never_fetched",
                "its URL is never requested, so no try can help".to_owned(),
            ),
            Problem::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "the index or the store cannot be read right now".to_owned(),
            ),
        }
    }
}

impl Reply for Problem {
    fn into_response(self) -> warp::reply::Response {
        let (status, code, detail) = self.parts();
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "code": code,
            "detail": detail,
        });
        let mut response = Response::new(Bytes::from(body.to_string())).into_response();
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem);
        self.add_headers(headers);
        if let Problem::Unauthorized = self {
            let bearer = HeaderValue::from_static("Bearer realm=\"callvault\"");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Problem {
        tracing::error!(error = chain(&error), "a request could not be answered");
        Problem::Unavailable
    }
}

impl From<catalog::verify::ReadError> for Problem {
    fn from(error: catalog::verify::ReadError) -> Problem {
        use catalog::verify::ReadError;
        match error {
            ReadError::NotArchived { state, .. } => Problem::NotArchived { state },
            error if error.is_integrity() => {
                tracing::error!(error = chain(&error), "{NOT_SOUND}");
                Problem::Integrity(NOT_SOUND_DETAIL.to_owned())
            }
            error => {
                tracing::error!(error = chain(&error), "a recording could not be read");
                Problem::Unavailable
            }
        }
    }
}

impl From<catalog::peaks::Error> for Problem {
    fn from(error: catalog::peaks::Error) -> Problem {
        use catalog::peaks::Error;
        match error {
            Error::Read(error) => Problem::from(error),
            error => {
                tracing::error!(error = chain(&error), "a waveform could not be made");
                Problem::Unavailable
            }
        }
    }
}
