//! The accept loop: sockets in, requests to a warp filter, a bounded drain at the end.
//!
//! Ours, because `warp::serve` sets no timers, has no cap and, told to stop, waits for ever for a
//! half-sent request.
//!
//! Never here: what a request means, and no byte of one in a log line (targets carry the secret).

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http_body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use warp::{Filter, Reply};

use super::request_line::{Gate, RequestLines};

/// After an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
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

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a whole head to arrive; the idle time of a kept-alive connection too.
    pub head_read_timeout: Duration,
    /// Of a head after the encoding, which makes three bytes of one; over it: 431. At least 8 KiB.
    pub head_max_bytes: usize,
    /// Open at a time; further callers wait in the kernel's queue.
    pub connections: usize,
    /// For running requests to finish after `stop`; then they are cut.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_read_timeout: Duration::from_secs(10),
            head_max_bytes: 64 * 1024,
            connections: 4096,
            drain: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {addr}")]
    Bind {
        addr: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// A bound socket; callers queue from here on and are answered once it serves.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    local_addr: SocketAddr,
}

impl Listener {
    /// Port 0 picks one.
    pub async fn bind(addr: SocketAddr) -> Result<Listener, Error> {
        let bound = TcpListener::bind(addr).await;
        bound
            .and_then(|socket| {
                let local_addr = socket.local_addr()?;
                Ok(Listener { socket, local_addr })
            })
            .map_err(|source| Error::Bind { addr, source })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Runs until `stop` resolves, then drains: idle connections and half-sent heads are closed,
    /// running requests finished, and what is left at the deadline is cut.
    pub async fn serve<F>(self, filter: F, limits: Limits, stop: impl Future<Output = ()>)
    where
        F: Filter + Clone + Send + Sync + 'static,
        F::Extract: Reply,
    {
        let mut stop = pin!(stop);
        let slots = Arc::new(Semaphore::new(limits.connections));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = connections.join_next() => report(ended),
                accepted = self.accept(&slots) => match accepted {
                    Ok((socket, peer, slot)) => {
                        let talk = talk(socket, peer, filter.clone(), limits, graceful.watcher());
                        connections.spawn(async move {
                            talk.await;
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        let local = self.local_addr;
                        tracing::warn!(%error, %local, "cannot accept a connection");
                        tokio::select! {
                            () = &mut stop => break,
                            () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                        }
                    }
                }
            }
        }
        drop(self.socket);
        if tokio::time::timeout(limits.drain, graceful.shutdown())
            .await
            .is_err()
        {
            let cut = connections.len();
            tracing::warn!(cut, local = %self.local_addr, "connections cut at the drain deadline");
        }
        connections.abort_all();
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    }

    /// The slot comes first, so that over the cap nothing is accepted.
    async fn accept(
        &self,
        slots: &Arc<Semaphore>,
    ) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let slot = Arc::clone(slots)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let (socket, peer) = self.socket.accept().await?;
        // Only a delay is lost where this fails.
        let _ = socket.set_nodelay(true);
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Ok((socket, peer, slot))
    }
}

/// One connection, to its end.
pub(super) async fn talk<S, F>(
    socket: S,
    peer: SocketAddr,
    filter: F,
    limits: Limits,
    watcher: Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Filter + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    let gate = Gate::default();
    let head_max_bytes = limits.head_max_bytes.max(HEAD_MAX_BYTES_LEAST);
    let lines = RequestLines::new(socket, gate.clone(), head_max_bytes);
    let filter = TowerToHyperService::new(warp::service(filter));
    let service = service_fn(move |mut request: Request<Incoming>| {
        let admitted = gate.admit(request.body().size_hint().exact());
        let extensions = request.extensions_mut();
        extensions.insert(Peer(peer));
        extensions.insert(RawTarget(admitted.target));
        let answer = filter.call(request);
        let gate = gate.clone();
        async move {
            let mut answer = answer.await?;
            if admitted.last || gate.is_body_due() {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_read_timeout)
        .max_buf_size(head_max_bytes)
        // A sender that shuts its side after the last byte has still sent a whole request.
        .half_close(true)
        .serve_connection(TokioIo::new(lines), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, %peer, "connection ended early");
    }
}

fn report(ended: Result<(), JoinError>) {
    // Its message is the panic hook's to print; it may quote the request.
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a request panicked; its connection is closed");
    }
}
