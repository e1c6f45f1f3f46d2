//! The hook: whatever arrives with the right secret is logged, and acknowledged after COMMIT.
//!
//! Never here: reading what an event says; refusing what can be stored; a redirect; a word to
//! strangers. A wrong PBX, secret or peer gets 404 and is counted.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::sync::Notify;
use warp::Filter;
use warp::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use super::body::is_too_slow;
use super::listener::{Peer, RawTarget, Welcome};
use crate::clock::Clock;
use crate::config::HOOK_SECRETS_MAX;
use crate::failpoint::{self, Effect};
use crate::intake;
use crate::model::chain::chain;
use crate::model::digest::Digest;
use crate::model::id::PbxName;
use crate::model::time::UtcMs;
use crate::store::Store;
use crate::store::log::Delivery;
use crate::store::refusals::OTHERS;

const BODY_MAX_BYTES: usize = 1024 * 1024;
const RETRY_AFTER_S: &str = "5";
const PEERS_MAX: usize = 1000;
/// Between two log lines about one PBX that uses an old secret.
const SAY_OLD_SECRET: Duration = Duration::from_secs(3600);

/// Who may deliver events for which PBX.
pub struct Hook {
    pub store: Store,
    pub clock: Clock,
    pub pbxs: Arc<BTreeMap<PbxName, Door>>,
    /// Told after each logged delivery.
    pub logged: Arc<Notify>,
    pub refusals: Arc<Refusals>,
}

/// What opens the hook for a PBX.
pub struct Door {
    secrets: RwLock<[Digest; HOOK_SECRETS_MAX]>,
    /// Empty: anybody.
    allow_from: Vec<IpNet>,
    old_secret_said: AtomicI64,
}

/// Of no secret that anybody knows.
const NO_SECRET: [u8; 32] = [0; 32];

impl Door {
    /// The newest secret first.
    pub fn new(secrets: &[SecretString], allow_from: Vec<IpNet>) -> Door {
        Door {
            secrets: RwLock::new(digests(secrets)),
            allow_from,
            old_secret_said: AtomicI64::new(i64::MIN),
        }
    }

    pub fn change_secrets(&self, secrets: &[SecretString]) {
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = digests(secrets);
        self.old_secret_said.store(i64::MIN, Ordering::Relaxed);
    }

    fn secrets(&self) -> [Digest; HOOK_SECRETS_MAX] {
        *self.secrets.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For whoever waits until an old secret may go.
    fn say_old_secret(&self, pbx: &PbxName, secret: usize, now: UtcMs) {
        let said = UtcMs(self.old_secret_said.load(Ordering::Relaxed));
        if secret > 0 && now >= said.plus(SAY_OLD_SECRET) {
            self.old_secret_said.store(now.0, Ordering::Relaxed);
            tracing::info!(%pbx, place = secret + 1, "an event came by an old secret, not the first");
        }
    }
}

fn digests(secrets: &[SecretString]) -> [Digest; HOOK_SECRETS_MAX] {
    std::array::from_fn(|at| match secrets.get(at) {
        Some(secret) => Digest::of(secret.expose_secret().as_bytes()),
        None => Digest::from_bytes(NO_SECRET),
    })
}

/// Deliveries turned away since they were last taken, by reason and peer. A flood of peers is
/// counted as one.
#[derive(Default)]
pub struct Refusals(Mutex<BTreeMap<(&'static str, String), u64>>);

impl Refusals {
    fn count(&self, reason: &'static str, peer: IpAddr) {
        let mut counts = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let peer = match counts.len() < PEERS_MAX {
            true => peer.to_string(),
            false => OTHERS.to_owned(),
        };
        *counts.entry((reason, peer)).or_default() += 1;
    }

    pub fn take(&self) -> BTreeMap<(&'static str, String), u64> {
        std::mem::take(
            &mut *self
                .0
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner()),
        )
    }
}

pub fn routes(
    hook: Arc<Hook>,
) -> impl Filter<Extract = (Response<Bytes>,), Error = warp::Rejection> + Clone + Send + Sync + 'static
{
    warp::method()
        .and(warp::ext::get::<Peer>())
        .and(warp::ext::get::<RawTarget>())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(
            move |method, peer: Peer, RawTarget(target), headers: HeaderMap, body| {
                let hook = hook.clone();
                // Whatever is in it: a header that is no text must not cost an event.
                let content_type = headers.get(header::CONTENT_TYPE);
                let content_type = content_type
                    .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
                async move {
                    hook.receive(method, peer, &target, content_type, body)
                        .await
                }
            },
        )
}

/// `/hook/{pbx}/{secret}?query`, taken apart.
struct Target<'a> {
    pbx: &'a [u8],
    secret: &'a [u8],
    query: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    fn of(target: &'a [u8]) -> Option<Target<'a>> {
        let at = target.iter().position(|byte| *byte == b'?');
        let (path, query) = match at {
            Some(at) => (&target[..at], Some(&target[at + 1..])),
            None => (target, None),
        };
        let rest = below_authority(path).strip_prefix(b"/hook/")?;
        let rest = rest.strip_suffix(b"/").unwrap_or(rest);
        let slash = rest.iter().position(|byte| *byte == b'/')?;
        Some(Target {
            pbx: &rest[..slash],
            secret: &rest[slash + 1..],
            query,
        })
    }

    /// For the log: all but the secret.
    fn redacted(&self) -> Vec<u8> {
        let mut redacted = [b"/hook/", self.pbx, b"/***"].concat();
        if let Some(query) = self.query {
            redacted.push(b'?');
            redacted.extend_from_slice(query);
        }
        redacted
    }
}

/// As a proxy is asked, a target begins with a scheme and a host.
fn below_authority(path: &[u8]) -> &[u8] {
    let after = |scheme: &[u8]| {
        let begins = path.get(..scheme.len())?;
        begins
            .eq_ignore_ascii_case(scheme)
            .then(|| &path[scheme.len()..])
    };
    let Some(rest) = after(b"http://").or_else(|| after(b"https://")) else {
        return path;
    };
    let slash = rest.iter().position(|byte| *byte == b'/');
    &rest[slash.unwrap_or(rest.len())..]
}

impl Hook {
    async fn receive(
        &self,
        method: Method,
        Peer(peer): Peer,
        target: &[u8],
        content_type: Option<String>,
        body: impl Stream<Item = Result<impl Buf, warp::Error>>,
    ) -> Response<Bytes> {
        let ip = peer.ip().to_canonical();
        let (pbx, admitted) = match self.admit(Target::of(target), ip) {
            Ok(admitted) => admitted,
            Err(reason) => {
                self.refusals.count(reason, ip);
                return answer(StatusCode::NOT_FOUND, "");
            }
        };
        let body = match whole(body, BODY_MAX_BYTES).await {
            Ok(body) => body,
            Err(status) => {
                self.refusals.count("body_too_large_or_cut", ip);
                return answer(status, "");
            }
        };
        // Whatever the method: who leaves the body empty may say everything in the query. Where there
        // is both, the target has the query.
        let query = admitted.query.unwrap_or_default();
        let raw = match body.trim_ascii().is_empty() && !query.is_empty() {
            true => query.to_vec(),
            false => body,
        };
        let delivery = Delivery {
            pbx,
            received: self.clock.now(),
            // Whoever only knocks, to see whether somebody is there, is no sign of life of the PBX.
            live: matches!(method, Method::GET | Method::POST) && !raw.trim_ascii().is_empty(),
            method: method.to_string(),
            content_type,
            target: Some(admitted.redacted()),
            peer: Some(ip.to_string()),
            raw,
        };
        failpoint::before_with(Effect::Log, || String::from_utf8_lossy(target).into_owned());
        let logged = intake::log(&self.store, delivery).await;
        failpoint::after(Effect::Log);
        match logged {
            Ok(_) => {
                self.logged.notify_one();
                let mut response = answer(StatusCode::OK, "{}");
                response.extensions_mut().insert(Welcome);
                response
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "an event could not be logged");
                let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, "");
                let after = HeaderValue::from_static(RETRY_AFTER_S);
                response.headers_mut().insert(header::RETRY_AFTER, after);
                response
            }
        }
    }

    fn admit<'a>(
        &self,
        target: Option<Target<'a>>,
        ip: IpAddr,
    ) -> Result<(PbxName, Target<'a>), &'static str> {
        let target = target.ok_or("no_hook_path")?;
        let name: Option<PbxName> = std::str::from_utf8(target.pbx)
            .ok()
            .and_then(|n| n.parse().ok());
        let door = name.and_then(|name| self.pbxs.get_key_value(&name));
        // As many digests of one length are compared for each request, whether or not there is such
        // a PBX, and however many secrets it has: the time taken tells nothing.
        let given = Digest::of(target.secret);
        let none = [Digest::from_bytes(NO_SECRET); HOOK_SECRETS_MAX];
        let secrets = door.map_or(none, |(_, door)| door.secrets());
        let right = secrets.map(|secret| secret.as_bytes().ct_eq(given.as_bytes()));
        let (name, door) = door.ok_or("wrong_pbx")?;
        let secret = right.iter().position(|right| bool::from(*right));
        let secret = secret.ok_or("wrong_secret")?;
        let allowed = &door.allow_from;
        if !allowed.is_empty() && !allowed.iter().any(|net| net.contains(&ip)) {
            return Err("peer_not_allowed");
        }
        door.say_old_secret(name, secret, self.clock.now());
        Ok((name.clone(), target))
    }
}

/// The whole body, chunked or not, as long as it is not too large.
pub(super) async fn whole(
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
    most_bytes: usize,
) -> Result<Vec<u8>, StatusCode> {
    let mut body = std::pin::pin!(body);
    let mut whole = Vec::new();
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(|error| match is_too_slow(&error) {
            true => StatusCode::REQUEST_TIMEOUT,
            false => StatusCode::BAD_REQUEST,
        })?;
        if whole.len() + chunk.remaining() > most_bytes {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        while chunk.has_remaining() {
            let piece = chunk.chunk();
            whole.extend_from_slice(piece);
            let taken = piece.len();
            chunk.advance(taken);
        }
    }
    Ok(whole)
}

fn answer(status: StatusCode, body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    if !body.is_empty() {
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
    }
    response
}
