//! The accept loop: sockets in, requests to a warp filter, a bounded drain at the end.
//!
//! Ours, because `warp::serve` sets no timers, has no cap and, told to stop, waits for ever for a
//! half-sent request. Nobody waits long in the kernel's queue for a seat, where a PBX would stand
//! behind strangers: whoever comes is seated or closed as soon as those before were heard.
//!
//! Never here: what a request means, and no byte of one in a log line (targets carry the secret).

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, io};

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderMap, HeaderValue, SET_COOKIE};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};
use warp::{Filter, Reply};

use super::body::Timed;
pub use super::limits::Limits;
use super::request_line::{Gate, RequestLines, Times};
use super::room::{self, Room, Seat};
use super::tls::Tls;

/// After an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// While those who came last are heard.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Of connections that the kernel has made and we have not taken yet; it may allow fewer.
const BACKLOG: u32 = 4096;
/// Hyper takes no smaller buffer.
const HEAD_MAX_BYTES_LEAST: usize = 8 * 1024;

/// Who sent a request; in the request's extensions. An IPv4 address is never shown as IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// The request target as it came on the wire, before anything was percent-encoded; in every
/// request's extensions. It holds the secret, so `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct RawTarget(pub Bytes);

impl fmt::Debug for RawTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawTarget(*** {} bytes)", self.0.len())
    }
}

/// In the extensions of an answer: its request was a good one. Whoever sent it is worth more than
/// those who only connect, should seats become few.
#[derive(Clone, Copy, Debug)]
pub struct Welcome;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {addr}")]
    Bind {
        addr: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("cannot listen on a socket that another process made")]
    Adopt(#[source] io::Error),
}

/// A bound socket; callers queue from here on and are answered once it serves. It belongs to the
/// runtime that it is served on, and to none before.
pub struct Listener {
    socket: std::net::TcpListener,
    local_addr: SocketAddr,
    tls: Option<Arc<Tls>>,
    known: Vec<Vec<IpNet>>,
}

impl Listener {
    /// Port 0 picks one.
    pub fn bind(addr: SocketAddr) -> Result<Listener, Error> {
        let bound = open(addr).and_then(Listener::of);
        bound.map_err(|source| Error::Bind { addr, source })
    }

    /// Another process made it and may go on to hold it: who is in its queue when this one stops is
    /// served by the next.
    pub fn adopt(socket: std::net::TcpListener) -> Result<Listener, Error> {
        let adopted = socket.set_nonblocking(true);
        let adopted = adopted.and_then(|()| Listener::of(socket));
        adopted.map_err(Error::Adopt)
    }

    fn of(socket: std::net::TcpListener) -> io::Result<Listener> {
        Ok(Listener {
            local_addr: socket.local_addr()?,
            socket,
            tls: None,
            known: Vec::new(),
        })
    }

    pub fn with_tls(mut self, tls: Option<Arc<Tls>>) -> Listener {
        self.tls = tls;
        self
    }

    /// The addresses that each PBX calls from; seats are kept for each.
    pub fn with_known(mut self, known: Vec<Vec<IpNet>>) -> Listener {
        self.known = known;
        self
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Runs until `stop` resolves, then drains: nobody more is accepted, idle connections are closed,
    /// running requests finished, newcomers given a moment for theirs, and what is left at the
    /// deadline is cut.
    pub async fn serve<F>(self, filter: F, limits: Limits, stop: impl Future<Output = ()>)
    where
        F: Filter + Clone + Send + Sync + 'static,
        F::Extract: Reply,
    {
        let local = self.local_addr;
        let socket = match TcpListener::from_std(self.socket) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(%error, %local, "cannot listen any more"),
        };
        let mut stop = pin!(stop);
        let room = Arc::new(Room::new(limits.connections, limits.share, self.known));
        let (farewell, leaving) = watch::channel(false);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = connections.join_next() => report(ended),
                accepted = socket.accept() => match accepted {
                    Ok((socket, peer)) => {
                        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                        be_patient(&room, peer.ip()).await;
                        let Some(seat) = room.enter(peer.ip()) else {
                            continue;
                        };
                        let id = seat.id;
                        let guest = Guest {
                            peer,
                            seat: Arc::new(seat),
                            limits,
                            is_private: self.tls.is_some(),
                            leaving: leaving.clone(),
                        };
                        let connection = welcome(socket, self.tls.clone(), guest, filter.clone());
                        room.ends_with(id, connections.spawn(connection));
                    }
                    Err(error) => {
                        tracing::warn!(%error, %local, "cannot accept a connection");
                        tokio::select! {
                            () = &mut stop => break,
                            () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                        }
                    }
                }
            }
        }
        drop(socket);
        // Nobody listening means that nobody is connected.
        let _ = farewell.send(true);
        let newcomer = limits.newcomer.min(limits.drain);
        if !all_end(&mut connections, newcomer).await {
            room.dismiss();
            if !all_end(&mut connections, limits.drain - newcomer).await {
                let cut = connections.len();
                tracing::warn!(cut, %local, "connections cut at the drain deadline");
            }
        }
        connections.abort_all();
        all_end(&mut connections, Duration::MAX).await;
    }
}

/// Lets those who came just now be heard before one of them has to go. What has not been taken yet
/// waits in the kernel's queue as long, and no longer.
async fn be_patient(room: &Room, newcomer: IpAddr) {
    let until = Instant::now() + room::GRACE;
    while let Some(pause) = room.patience(newcomer) {
        if Instant::now() >= until {
            return;
        }
        tokio::time::sleep(pause.min(LOOK_AGAIN)).await;
    }
}

/// Whether all have ended within this time.
async fn all_end(connections: &mut JoinSet<()>, within: Duration) -> bool {
    let ending = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    tokio::time::timeout(within, ending).await.is_ok()
}

fn open(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // What a former life left in TIME_WAIT does not keep the port.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)?.into_std()
}

/// One peer, and what it may do.
pub(super) struct Guest {
    pub(super) peer: SocketAddr,
    pub(super) seat: Arc<Seat>,
    pub(super) limits: Limits,
    /// Whether nobody on the way reads along.
    pub(super) is_private: bool,
    /// True once the listener has stopped.
    pub(super) leaving: watch::Receiver<bool>,
}

/// One connection, from before its handshake.
async fn welcome<F>(socket: TcpStream, tls: Option<Arc<Tls>>, guest: Guest, filter: F)
where
    F: Filter + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    // Who says nothing costs next to nothing: a flood of such is taken as fast as it comes.
    if !matches!(
        tokio::time::timeout(guest.limits.idle, socket.readable()).await,
        Ok(Ok(()))
    ) {
        return;
    }
    // Only a delay is lost where this fails.
    let _ = socket.set_nodelay(true);
    let Some(tls) = tls else {
        return talk(socket, guest, filter).await;
    };
    let handshake = tls.acceptor().accept(socket);
    match tokio::time::timeout(guest.limits.head, handshake).await {
        Ok(Ok(stream)) => talk(stream, guest, filter).await,
        Ok(Err(error)) => tracing::debug!(%error, peer = %guest.peer, "no TLS with this peer"),
        Err(_) => tracing::debug!(peer = %guest.peer, "a TLS handshake took too long"),
    }
}

/// One connection, to its end.
pub(super) async fn talk<S, F>(socket: S, guest: Guest, filter: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Filter + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    let Guest { peer, limits, .. } = guest;
    let (mut leaving, asked) = (guest.leaving.clone(), Arc::new(Notify::new()));
    let asks = asked.clone();
    let gate = Gate::default();
    let head_max_bytes = limits.head_max_bytes.max(HEAD_MAX_BYTES_LEAST);
    let times = Times {
        head: limits.head,
        stall: limits.idle,
    };
    let lines = RequestLines::new(socket, gate.clone(), head_max_bytes, times);
    let filter = TowerToHyperService::new(warp::service(filter));
    let service = service_fn(move |request: Request<Incoming>| {
        asks.notify_one();
        let admitted = gate.admit(request.body().size_hint().exact());
        let mut running = guest.seat.request();
        let answer = filter.call(told(request, peer, limits.body, admitted.target));
        let (gate, leaving) = (gate.clone(), guest.leaving.clone());
        async move {
            let mut answer = answer.await?;
            if admitted.last || gate.is_body_due() || *leaving.borrow() {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            if guest.is_private {
                secure_cookies(answer.headers_mut());
            }
            running.is_good = answer.extensions().get::<Welcome>().is_some();
            // The request runs until its answer is given out.
            Ok::<_, Infallible>(answer.map(|body| {
                body.map_err(move |error| {
                    let _ = &running;
                    error
                })
            }))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Hyper sees a head when it is whole: to hyper the time before it is all idle.
        .header_read_timeout(limits.idle)
        .max_buf_size(head_max_bytes)
        // A sender that shuts its side after the last byte has still sent a whole request.
        .half_close(true)
        .serve_connection(TokioIo::new(lines), service);
    let mut connection = pin!(connection);
    // Hyper closes at once on whoever has not asked yet.
    let leave = async {
        let _ = leaving.wait_for(|leaving| *leaving).await;
        asked.notified().await;
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = leave => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "connection ended early");
    }
}

/// With all that a filter may want to know of it.
fn told(
    request: Request<Incoming>,
    peer: SocketAddr,
    body: Duration,
    target: Bytes,
) -> Request<Timed> {
    let mut request = request.map(|incoming| Timed::new(incoming, body));
    // A target that is a host only: warp panics where a filter asks for its path.
    if request.uri().path_and_query().is_none() {
        *request.uri_mut() = Uri::from_static("*");
    }
    let extensions = request.extensions_mut();
    extensions.insert(Peer(peer));
    extensions.insert(RawTarget(target));
    request
}

/// A cookie that was set over TLS never goes out without it.
fn secure_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    headers.remove(SET_COOKIE);
    for cookie in cookies {
        let secure = [cookie.as_bytes(), b"; Secure"].concat();
        headers.append(
            SET_COOKIE,
            HeaderValue::from_bytes(&secure).unwrap_or(cookie),
        );
    }
}

fn report(ended: Result<(), JoinError>) {
    // Its words are the panic hook's to weigh; they may quote the request.
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a request panicked; its connection is closed");
    }
}
