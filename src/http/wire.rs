//! For tests: a raw client, a server that echoes what it was given, and the log they leave.

use std::future::Future;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use warp::http::Response;
use warp::path::FullPath;
use warp::{Filter, Rejection, Reply};

use super::listener::{Limits, Listener, RawTarget};

/// Nothing here takes longer unless it hangs.
const BOUND: Duration = Duration::from_secs(20);

pub(super) async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {BOUND:?}"))
}

/// Answers `METHOD raw-target uri body`, unprintable bytes escaped; the uri twice where nothing
/// told the raw target.
pub(super) fn echo() -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone + Send + Sync
{
    let query = warp::query::raw()
        .map(|query: String| format!("?{query}"))
        .or(warp::any().map(String::new))
        .unify();
    let target = warp::filters::ext::optional::<RawTarget>();
    warp::method()
        .and(target)
        .and(warp::path::full())
        .and(query)
        .and(warp::body::bytes())
        .map(
            |method, raw: Option<RawTarget>, path: FullPath, query: String, body: Bytes| {
                let uri = format!("{}{query}", path.as_str());
                let raw = raw.map_or(uri.clone(), |raw| raw.0.escape_ascii().to_string());
                Response::new(format!("{method} {raw} {uri} {}", body.escape_ascii()))
            },
        )
}

pub(super) struct Server {
    pub(super) addr: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start<F>(filter: F, limits: Limits) -> Server
    where
        F: Filter + Clone + Send + Sync + 'static,
        F::Extract: Reply,
    {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Server::on(listener, filter, limits)
    }

    pub(super) fn on<F>(listener: Listener, filter: F, limits: Limits) -> Server
    where
        F: Filter + Clone + Send + Sync + 'static,
        F::Extract: Reply,
    {
        let addr = listener.local_addr();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(listener.serve(filter, limits, async {
            let _ = stopped.await;
        }));
        Server {
            addr,
            stop,
            serving,
        }
    }

    /// The returned future ends when the server has drained.
    pub(super) fn stop(self) -> impl Future<Output = ()> {
        self.stop.send(()).unwrap();
        async { bounded("drain", self.serving).await.unwrap() }
    }
}

pub(super) struct Client {
    pub(super) socket: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub(super) async fn connect(addr: SocketAddr) -> Client {
        Client::from("127.0.0.1", addr).await
    }

    /// From another address of the loopback network.
    pub(super) async fn from(source: &str, addr: SocketAddr) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind((source.parse::<Ipv4Addr>().unwrap(), 0).into())
            .unwrap();
        let socket = bounded("connect", socket.connect(addr)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Client {
            socket,
            unread: Vec::new(),
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        bounded("send", self.socket.write_all(bytes)).await.unwrap();
    }

    /// The next answer as `STATUS body`, with ` (close)` behind where it says so; `closed` where
    /// there is none.
    pub(super) async fn answer(&mut self) -> String {
        let Some(head) = self.until(b"\r\n\r\n").await else {
            assert_eq!(self.unread.escape_ascii().to_string(), "", "half an answer");
            return "closed".to_owned();
        };
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let status = &head[9..12];
        if status == "100" {
            return status.to_owned();
        }
        let close = if head.contains("connection: close") {
            " (close)"
        } else {
            ""
        };
        let bytes = head
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.split('\r').next().unwrap().parse().unwrap());
        while self.unread.len() < bytes {
            assert!(self.fill().await, "body cut");
        }
        let rest = self.unread.split_off(bytes);
        let body = String::from_utf8(std::mem::replace(&mut self.unread, rest)).unwrap();
        format!("{status} {body}{close}")
    }

    /// What comes up to the end of `mark`; `None` if the connection ends before.
    async fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self
                .unread
                .windows(mark.len())
                .position(|window| window == mark)
            {
                let rest = self.unread.split_off(at + mark.len());
                return Some(std::mem::replace(&mut self.unread, rest));
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn fill(&mut self) -> bool {
        let read = self.socket.read_buf(&mut self.unread);
        match bounded("answer", read).await {
            // The other side closed while something of ours was on its way.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            read => read.unwrap() > 0,
        }
    }
}

/// Everything this thread logs while the guard lives, down to DEBUG: at TRACE warp itself logs the
/// segments of paths.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(super) fn capture() -> (Log, tracing::subscriber::DefaultGuard) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
