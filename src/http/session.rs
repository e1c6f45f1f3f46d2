//! Who is signed in on the web page. Kept in memory, by the SHA-256 of the cookie: whoever reads
//! the memory of a stopped service, or its core, finds no session to take over.
//!
//! Never here: whether the token behind a session still opens anything. That is asked of the index,
//! on every request.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use subtle::ConstantTimeEq;
use warp::http::{HeaderMap, header};

use crate::model::digest::Digest;
use crate::model::time::UtcMs;

pub const COOKIE: &str = "callvault_session";
/// A session that is not used for so long is over.
const IDLE_MAX: Duration = Duration::from_secs(12 * 3600);
const SESSIONS_MAX: usize = 10_000;

#[derive(Default)]
pub struct Sessions(Mutex<HashMap<Digest, Session>>);

#[derive(Clone)]
pub struct Session {
    /// The name of the token that it was opened with.
    pub token: String,
    /// What every form of this session must carry.
    pub csrf: String,
    used: UtcMs,
}

impl Sessions {
    /// The cookie of a new session.
    pub fn open(&self, token: &str, now: UtcMs) -> io::Result<String> {
        let (id, csrf) = (random()?, random()?);
        let session = Session {
            token: token.to_owned(),
            csrf,
            used: now,
        };
        let mut sessions = self.lock();
        if sessions.len() >= SESSIONS_MAX {
            sessions.retain(|_, session| session.is_live(now));
        }
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used);
            let oldest = oldest.map(|(id, _)| *id);
            oldest.and_then(|id| sessions.remove(&id));
        }
        sessions.insert(Digest::of(id.as_bytes()), session);
        Ok(id)
    }

    /// The session that a request's cookie names, if it is not over.
    pub fn find(&self, headers: &HeaderMap, now: UtcMs) -> Option<Session> {
        let id = Digest::of(cookie(headers, COOKIE)?.as_bytes());
        let mut sessions = self.lock();
        let session = sessions.get_mut(&id)?;
        if !session.is_live(now) {
            sessions.remove(&id);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    pub fn close(&self, headers: &HeaderMap) {
        if let Some(id) = cookie(headers, COOKIE) {
            self.lock().remove(&Digest::of(id.as_bytes()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_live(&self, now: UtcMs) -> bool {
        now < self.used.plus(IDLE_MAX)
    }
}

/// 256 random bits in hex.
pub fn random() -> io::Result<String> {
    crate::random::hex::<32>()
}

pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut named = pairs.filter_map(|pair| pair.trim().split_once('='));
    named
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

/// What sets a cookie for the browser's session, or with an empty value takes it away.
pub fn set_cookie(name: &str, value: &str) -> String {
    let end = if value.is_empty() { "; Max-Age=0" } else { "" };
    format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/{end}")
}

/// Whether a form carries the secret that it was given.
pub fn is_same(expected: &str, given: Option<&str>) -> bool {
    given.is_some_and(|given| expected.as_bytes().ct_eq(given.as_bytes()).into())
}

/// Whether a page of another site, or of another port of this host, made the browser ask; false
/// where the browser says nothing of it.
pub fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    // Our own forms come with the origin `null`, for our pages send no referrer.
    let authority = |origin: &str| origin.split_once("://").map(|(_, rest)| rest.to_owned());
    match text("origin") {
        None | Some("null") => false,
        Some(origin) => authority(origin).as_deref() != text("host"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warp::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            let name = warp::http::HeaderName::from_static(name);
            (name, HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_session_ends_twelve_hours_after_its_last_use() {
        let hours = |hours: i64| UtcMs(hours * 3_600_000);
        let sessions = Sessions::default();
        let id = sessions.open("kim", hours(0)).unwrap();
        assert_eq!(id.len(), 64);
        let cookie = headers(&[("cookie", &format!("a=b; {COOKIE}={id}"))]);
        for (at, is_open) in [(0, true), (11, true), (22, true), (34, false), (34, false)] {
            let found = sessions.find(&cookie, hours(at));
            assert_eq!(found.is_some(), is_open, "{at}");
        }
        let other = headers(&[("cookie", &format!("{COOKIE}={}", random().unwrap()))]);
        assert!(sessions.find(&other, hours(0)).is_none());
        let id = sessions.open("kim", hours(0)).unwrap();
        let cookie = headers(&[("cookie", &format!("{COOKIE}={id}"))]);
        sessions.close(&cookie);
        assert!(sessions.find(&cookie, hours(0)).is_none());
    }

    #[test]
    fn what_browsers_say_of_where_a_form_came_from() {
        for (pairs, expected) in [
            (vec![], false),
            (vec![("sec-fetch-site", "same-origin")], false),
            (vec![("sec-fetch-site", "none")], false),
            (vec![("sec-fetch-site", "same-site")], true),
            (vec![("sec-fetch-site", "cross-site")], true),
            (vec![("origin", "null"), ("host", "a:1")], false),
            (vec![("origin", "http://a:1"), ("host", "a:1")], false),
            (vec![("origin", "http://a:2"), ("host", "a:1")], true),
            (
                vec![("origin", "null"), ("sec-fetch-site", "cross-site")],
                true,
            ),
        ] {
            assert_eq!(is_foreign(&headers(&pairs)), expected, "{pairs:?}");
        }
    }
}
