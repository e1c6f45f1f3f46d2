//! Who asks? A bearer token, looked up by its digest, or somebody who signed in on the web page;
//! wrong tokens are counted by address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use warp::http::{HeaderMap, Method, header};

use super::Api;
use super::problem::Problem;
use crate::http::session::{self, Session, Sessions};
use crate::model::secret;
use crate::model::time::UtcMs;
use crate::store::tokens::{self, TokenRow};

const WRONG_MAX: u32 = 10;
const WINDOW_MS: i64 = 60_000;
const ADDRESSES_MAX: usize = 10_000;

/// What a session's request that changes something must carry.
const CSRF: &str = "x-callvault-csrf";

#[derive(Default)]
pub struct Gate {
    /// Wrong tokens by address, since when.
    wrong: Mutex<HashMap<IpAddr, (u32, UtcMs)>>,
    pub sessions: Sessions,
}

impl Api {
    /// Ends what runs for a token that was revoked or has expired meanwhile.
    pub async fn still_valid(&self, name: &str) -> std::io::Result<()> {
        let (name, now) = (name.to_owned(), self.clock.now());
        let token = self.store.read(move |db| tokens::named(db, &name)).await;
        match token
            .map_err(std::io::Error::other)?
            .is_some_and(|token| token.is_valid(now))
        {
            true => Ok(()),
            false => Err(std::io::Error::other("the token is not valid any more")),
        }
    }
}

impl Gate {
    /// A bearer token goes before a session.
    pub async fn who(
        &self,
        api: &Api,
        method: &Method,
        headers: &HeaderMap,
        address: IpAddr,
    ) -> Result<TokenRow, Problem> {
        if let Some(presented) = headers.get(header::AUTHORIZATION) {
            let bearer = presented.to_str().ok().and_then(|value| {
                let (scheme, token) = value.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then_some(token)
            });
            return self.token(api, bearer.unwrap_or_default(), address).await;
        }
        let signed_in = self.signed_in(api, headers).await?;
        let (token, session) = signed_in.ok_or(Problem::Unauthorized)?;
        let given = headers.get(CSRF).and_then(|value| value.to_str().ok());
        let harmless = matches!(*method, Method::GET | Method::HEAD);
        let meant = harmless || session::is_same(&session.csrf, given);
        match meant && !session::is_foreign(headers) {
            true => Ok(token),
            false => Err(Problem::Csrf),
        }
    }

    /// The token whose text somebody presents, if it opens anything.
    pub async fn token(
        &self,
        api: &Api,
        presented: &str,
        address: IpAddr,
    ) -> Result<TokenRow, Problem> {
        let presented = self.presented(api, presented, address).await?;
        presented.map_err(|_| Problem::Unauthorized)
    }

    /// The same, with a token that is known and opens nothing any more.
    pub async fn presented(
        &self,
        api: &Api,
        presented: &str,
        address: IpAddr,
    ) -> Result<Result<TokenRow, Option<TokenRow>>, Problem> {
        let now = api.clock.now();
        let found = match secret::digest(presented.trim()) {
            Some(digest) => api.store.read(move |db| tokens::find(db, digest)).await?,
            None => None,
        };
        match found {
            Some(token) if token.is_valid(now) => Ok(Ok(used(api, token, now).await?)),
            // Not before: behind a proxy all have one address, and a stranger would shut all out.
            // A token cannot be guessed in any number of tries.
            ended => {
                self.admit(address, now)?;
                self.wrong(address, now);
                Ok(Err(ended))
            }
        }
    }

    /// Whoever has guessed too often hears no more than that.
    pub fn admit(&self, address: IpAddr, now: UtcMs) -> Result<(), Problem> {
        match self.is_shut(address, now) {
            true => Err(Problem::TooManyWrongTokens),
            false => Ok(()),
        }
    }

    /// The session of a request and the token behind it, as long as that opens anything.
    pub async fn signed_in(
        &self,
        api: &Api,
        headers: &HeaderMap,
    ) -> Result<Option<(TokenRow, Session)>, Problem> {
        let now = api.clock.now();
        let Some(session) = self.sessions.find(headers, now) else {
            return Ok(None);
        };
        let name = session.token.clone();
        let found = api.store.read(move |db| tokens::named(db, &name)).await?;
        match found.filter(|token| token.is_valid(now)) {
            Some(token) => Ok(Some((used(api, token, now).await?, session))),
            None => {
                self.sessions.close(headers);
                Ok(None)
            }
        }
    }

    fn is_shut(&self, address: IpAddr, now: UtcMs) -> bool {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong
            .get(&address)
            .is_some_and(|(count, since)| *count >= WRONG_MAX && now.0 - since.0 < WINDOW_MS)
    }

    pub fn wrong(&self, address: IpAddr, now: UtcMs) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= ADDRESSES_MAX {
            wrong.retain(|_, (_, since)| now.0 - since.0 < WINDOW_MS);
        }
        let entry = wrong.entry(address).or_insert((0, now));
        if now.0 - entry.1.0 >= WINDOW_MS {
            *entry = (0, now);
        }
        entry.0 += 1;
    }
}

async fn used(api: &Api, token: TokenRow, now: UtcMs) -> Result<TokenRow, Problem> {
    // Kept to the minute: most requests have nothing to note.
    if token.last_used_at.is_none_or(|at| now.0 - at.0 > 60_000) {
        let name = token.name.clone();
        let noted = api.store.write(move |tx| tokens::used(tx, &name, now));
        noted.await?;
    }
    Ok(token)
}
