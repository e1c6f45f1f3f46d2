//! Fetching recordings from a PBX's web API: the only HTTP client in the house.
//!
//! Only `base_url` and a checked recording path are ever requested; redirects and environment
//! proxies are not followed, bodies are not decompressed. Never here: what an answer means for the
//! recording; `pipeline` decides that.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT_ENCODING, DATE, HOST, HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Response, StatusCode};
use secrecy::ExposeSecret;

use crate::config;
use crate::model::chain::is_about_trust;
use crate::model::event::FetchPath;
use crate::model::id::RecordingId;
use crate::model::mp3::NotAudio;
use crate::spool::{self, Fresh, Spool, Walked, Writing};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// A body may come as slowly as this, after a time of grace.
const FLOOR_BYTES_PER_S: u64 = 1024;
const GRACE: Duration = Duration::from_secs(60);
/// For all of a body: five hours of call at 16 kbit/s, over a line of 80.
const WITHIN: Duration = Duration::from_secs(3600);
/// After so many bytes of a body it is asked again whether there is room for more.
const ROOM_EVERY_BYTES: u64 = 4 * 1024 * 1024;
/// Over a week at 32 kbit/s: whatever is larger is no call.
const BODY_MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reach the PBX at {address}")]
    Unreachable {
        address: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("trust the PBX at {address}")]
    Tls {
        address: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the PBX wants a login, or not this one: HTTP {status}")]
    Login { status: u16 },
    #[error("the PBX asks to come back later: HTTP {status}")]
    Later {
        status: u16,
        after: Option<Duration>,
    },
    #[error("the PBX has no such recording (yet): HTTP {status}")]
    NotThere { status: u16 },
    #[error("the PBX redirects to elsewhere, which is not followed: HTTP {status}")]
    Redirect { status: u16 },
    #[error("the PBX failed on this recording: HTTP {status}")]
    Failed { status: u16 },
    #[error("the PBX gave an answer that is no recording: HTTP {status}")]
    Status { status: u16 },
    #[error("the body broke off after {bytes} bytes")]
    Short {
        bytes: u64,
        #[source]
        source: reqwest::Error,
    },
    #[error("the body came too slowly: {bytes} bytes in {} s", elapsed.as_secs())]
    Slow { bytes: u64, elapsed: Duration },
    #[error("the body is larger than {BODY_MAX_BYTES} bytes")]
    Large,
    #[error("keep the body")]
    Spool(#[source] spool::Error),
}

/// Settings that make no client.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("pbx[{pbx}].ca_file: read {path}")]
    ReadCa {
        pbx: String,
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("pbx[{pbx}]: make an HTTP client; ca_file may hold what is no certificate")]
    Client {
        pbx: String,
        #[source]
        source: reqwest::Error,
    },
}

/// A body as far as it came.
pub struct Fetched {
    writing: Writing,
    /// Why it is not whole by the answer's own word; none where it is.
    pub broke_off: Option<Error>,
}

impl Fetched {
    /// The body, synced, and what its frames tell. Blocks, for as long as the disk takes.
    pub fn look(self) -> Result<(Fresh, Result<Walked, NotAudio>), spool::Error> {
        let fresh = self.writing.finish()?;
        let walked = fresh.body().walk()?;
        Ok((fresh, walked))
    }
}

/// One PBX's recordings.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Where requests go; its port is `connect_to`'s where that has one.
    base_url: String,
    /// What the PBX is called in requests.
    host: String,
    login: Option<config::Login>,
}

impl Client {
    pub async fn new(pbx: &config::Pbx) -> Result<Client, SetupError> {
        let name = pbx.name.to_string();
        let mut builder = reqwest::Client::builder()
            // Over HTTP/2 our Host goes beside its own :authority, which nginx answers with 400.
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("callvault/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_MAX);
        if let Some(path) = &pbx.ca_file {
            let read_ca = |source| SetupError::ReadCa {
                pbx: name.clone(),
                path: path.display().to_string(),
                source,
            };
            let pem = tokio::fs::read(path).await.map_err(read_ca)?;
            let bundle = Certificate::from_pem_bundle(&pem);
            for certificate in bundle.map_err(|source| SetupError::Client {
                pbx: name.clone(),
                source,
            })? {
                builder = builder.tls_certs_merge([certificate]);
            }
        }
        let mut url = pbx.base_url.clone();
        if let Some(to) = &pbx.connect_to {
            builder = builder.dns_resolver(ConnectTo(to.host.clone()));
            url = url.with_port(to.port);
        }
        let http = builder
            .build()
            .map_err(|source| SetupError::Client { pbx: name, source })?;
        Ok(Client {
            http,
            host: pbx.base_url.authority(),
            base_url: url.to_string(),
            login: pbx.login.clone(),
        })
    }

    /// Downloads a recording to the spool's disk, neither synced nor looked at.
    pub async fn fetch(
        &self,
        path: &FetchPath,
        id: &RecordingId,
        spool: &Spool,
    ) -> Result<Fetched, Error> {
        let mut writing = spool.begin(id).map_err(Error::Spool)?;
        let mut response = self.get(path).await?;
        let broke_off = read_body(&mut response, &mut writing, spool).await?;
        Ok(Fetched { writing, broke_off })
    }

    /// Where a path of this PBX is asked for.
    pub fn url(&self, path: &FetchPath) -> String {
        format!("{}{}", self.base_url, path.as_str())
    }

    /// The status a path is answered with, with our login or as a stranger.
    pub async fn ask(&self, path: &FetchPath, with_login: bool) -> Result<u16, Error> {
        let login = self.login.as_ref().filter(|_| with_login);
        let answer = self.send(path, login).await?;
        Ok(answer.status().as_u16())
    }

    async fn get(&self, path: &FetchPath) -> Result<Response, Error> {
        answered(self.send(path, self.login.as_ref()).await?)
    }

    async fn send(
        &self,
        path: &FetchPath,
        login: Option<&config::Login>,
    ) -> Result<Response, Error> {
        let request = self.http.get(format!("{}{}", self.base_url, path.as_str()));
        let request = request
            .header(ACCEPT_ENCODING, "identity")
            .header(HOST, &self.host);
        let request = match login {
            Some(config::Login::Basic { user, password }) => {
                request.basic_auth(user, Some(password.expose_secret()))
            }
            Some(config::Login::Bearer(token)) => request.bearer_auth(token.expose_secret()),
            None => request,
        };
        request.send().await.map_err(|error| self.no_answer(error))
    }

    fn no_answer(&self, error: reqwest::Error) -> Error {
        let (address, source) = (self.base_url.clone(), error.without_url());
        match is_about_trust(&source) {
            true => Error::Tls { address, source },
            false => Error::Unreachable { address, source },
        }
    }
}

/// Answers every name with the address to connect to, looked up anew for each connection.
struct ConnectTo(String);

impl Resolve for ConnectTo {
    fn resolve(&self, _name: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// Reads to the end of the body, or to where it broke off and why.
async fn read_body(
    response: &mut Response,
    writing: &mut spool::Writing,
    spool: &Spool,
) -> Result<Option<Error>, Error> {
    let began = Instant::now();
    loop {
        let bytes = writing.bytes;
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(None),
            Err(source) => {
                let source = source.without_url();
                return Ok(Some(Error::Short { bytes, source }));
            }
        };
        // Blocking, but into the page cache: a piece is at most a few network buffers.
        writing.write(&chunk).map_err(Error::Spool)?;
        if writing.bytes / ROOM_EVERY_BYTES > bytes / ROOM_EVERY_BYTES {
            spool.check_room().map_err(Error::Spool)?;
        }
        if let Err(error) = check_pace(writing.bytes, began.elapsed()) {
            return Ok(Some(error));
        }
    }
}

fn answered(response: Response) -> Result<Response, Error> {
    let status = response.status();
    let code = status.as_u16();
    let after = retry_after(response.headers());
    match status {
        StatusCode::OK => Ok(response),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(Error::NotThere { status: code }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Error::Login { status: code }),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Err(Error::Later {
            status: code,
            after,
        }),
        StatusCode::INTERNAL_SERVER_ERROR => Err(Error::Failed { status: code }),
        _ if status.is_redirection() => Err(Error::Redirect { status: code }),
        _ => Err(Error::Status { status: code }),
    }
}

/// In seconds, or as a date, which is measured against the answer's own: no clock has to agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let asked = text(RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let parser = DateTimeParser::new();
    let moment = |text: &str| parser.parse_timestamp(text).ok();
    let (until, now) = (moment(asked)?, moment(text(DATE)?)?);
    Duration::try_from(until.duration_since(now)).ok()
}

/// Neither drips nor endless bodies hold a worker for good.
fn check_pace(bytes: u64, elapsed: Duration) -> Result<(), Error> {
    if bytes > BODY_MAX_BYTES {
        return Err(Error::Large);
    }
    let due = elapsed.saturating_sub(GRACE).as_secs() * FLOOR_BYTES_PER_S;
    match bytes < due || elapsed > WITHIN {
        true => Err(Error::Slow { bytes, elapsed }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_until_a_date() {
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        for (asked, answered, expected_s) in [
            ("300", None, Some(300)),
            (" 0 ", None, Some(0)),
            ("Wed, 21 Oct 2015 07:30:00 GMT", Some(date), Some(120)),
            ("Wed, 21 Oct 2015 07:30:00 GMT", None, None),
            ("Wed, 21 Oct 2015 07:00:00 GMT", Some(date), None),
            ("soon", Some(date), None),
            ("-5", Some(date), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, asked.parse().unwrap());
            if let Some(answered) = answered {
                headers.insert(DATE, answered.parse().unwrap());
            }
            let expected = expected_s.map(Duration::from_secs);
            assert_eq!(retry_after(&headers), expected, "{asked} at {answered:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn a_drip_is_cut_off_and_a_slow_line_is_not() {
        assert!(check_pace(1, Duration::from_secs(59)).is_ok());
        assert!(check_pace(100_000, Duration::from_secs(120)).is_ok());
        assert!(matches!(
            check_pace(60, Duration::from_secs(120)),
            Err(Error::Slow { bytes: 60, .. })
        ));
        assert!(matches!(check_pace(u64::MAX, GRACE), Err(Error::Large)));
        assert!(check_pace(1 << 30, WITHIN).is_ok());
        let late = WITHIN + Duration::from_secs(1);
        assert!(matches!(check_pace(1 << 30, late), Err(Error::Slow { .. })));
    }
}
