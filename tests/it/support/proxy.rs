//! What stands between the service and its store, and all that can go wrong there, as a test plans
//! it. Requests go on byte for byte, the Host that was signed with them.
//!
//! Never here: an HTTP library, which would refuse to misbehave, or an answer of the store's own
//! made up.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::port::Port;

const STORE_ANSWERS_WITHIN: Duration = Duration::from_secs(20);
const CHECKSUM: &str = "x-amz-checksum-sha256";
/// In base64, of nothing that is ever stored.
const ANOTHER_CHECKSUM: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The store never hears of it, and nobody answers.
    DropBefore,
    /// The store does it, and nobody answers.
    DropAfter,
    /// This answer in place of the store's, which never hears of it.
    Status(u16, &'static str),
    /// A 200 for what the store never hears of.
    Pretend,
    /// The store's answer ends within its head; to a GET, within its body.
    Cut,
    /// A byte of the body is another on the way to the store.
    FlipThere,
    /// A byte of the body is another on the way back: each time another one.
    FlipBack,
    /// The answer comes without the checksum that the store keeps.
    NoChecksum,
    /// The answer's checksum is that of something else.
    OtherChecksum,
    /// The store never hears of the condition.
    Unconditional,
    /// The store never hears of the checksum, and is said to keep it, whatever it was.
    Echo,
    /// The same, and a byte of the body is another on the way to the store.
    EchoFlipped,
}

pub const SLOW_DOWN: Fault = Fault::Status(503, "SlowDown");
pub const FAILED: Fault = Fault::Status(500, "InternalError");
pub const RACE_LOST: Fault = Fault::Status(409, "ConditionalRequestConflict");
pub const EXISTS: Fault = Fault::Status(412, "PreconditionFailed");
pub const CLOCK_SKEW: Fault = Fault::Status(403, "RequestTimeTooSkewed");
pub const DENIED: Fault = Fault::Status(403, "AccessDenied");
pub const NOT_IMPLEMENTED: Fault = Fault::Status(501, "NotImplemented");
pub const ABSENT: Fault = Fault::Status(404, "NoSuchKey");

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// What stands after the path's `?`.
    pub query: String,
    /// How many requests of this method for this path came before.
    pub nth: usize,
    /// It has an If-None-Match.
    pub is_conditional: bool,
    pub fault: Option<Fault>,
}

impl Request {
    /// `put`, `.mp3`: of this method, for a path that ends so.
    pub fn is(&self, method: &str, suffix: &str) -> bool {
        self.method == method && self.path.ends_with(suffix)
    }
}

type Plan = Arc<dyn Fn(&Request) -> Option<Fault> + Send + Sync>;

struct State {
    store: SocketAddr,
    plan: Mutex<Plan>,
    requests: Mutex<Vec<Request>>,
    /// By path, those that the store never heard of.
    checksums: Mutex<HashMap<String, String>>,
    /// By its peer, a second handle of each open connection: what ends it.
    open: Mutex<HashMap<SocketAddr, TcpStream>>,
    is_down: Mutex<bool>,
}

pub struct Proxy {
    port: Port,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    /// In front of a store's endpoint (`http://IP:PORT`); nothing goes wrong yet.
    pub fn start(endpoint: &str) -> Proxy {
        let store = endpoint.strip_prefix("http://").expect("plain HTTP");
        let mut proxy = Proxy {
            port: Port::reserve(),
            state: Arc::new(State {
                store: store.parse().expect("an address"),
                plan: Mutex::new(Arc::new(|_| None)),
                requests: Mutex::default(),
                checksums: Mutex::default(),
                open: Mutex::default(),
                is_down: Mutex::default(),
            }),
            accepting: None,
        };
        proxy.accept(proxy.port.listen());
        proxy
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// From now on each request fares as the plan says.
    pub fn plan(&self, plan: impl Fn(&Request) -> Option<Fault> + Send + Sync + 'static) {
        *self.state.plan.lock().unwrap() = Arc::new(plan);
    }

    /// From now on all goes well.
    pub fn heal(&self) {
        self.plan(|_| None);
    }

    /// All that was asked for, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Connections are refused, and those that are open end.
    pub fn go_down(&mut self) {
        *self.state.is_down.lock().unwrap() = true;
        if let Some(accepting) = self.accepting.take() {
            // Wakes it, so that it sees what it is to do.
            let _ = TcpStream::connect(self.port.address());
            accepting.join().expect("the accepting thread");
        }
        for (_, stream) in self.state.open.lock().unwrap().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// On the same port again.
    pub fn come_back(&mut self) {
        self.go_down();
        *self.state.is_down.lock().unwrap() = false;
        self.accept(self.port.listen());
    }

    fn accept(&mut self, listener: TcpListener) {
        let state = self.state.clone();
        let accept = move || {
            for stream in listener.incoming() {
                if *state.is_down.lock().unwrap() {
                    return;
                }
                // The other side may be gone again.
                if let Ok(stream) = stream {
                    let _ = serve(stream, state.clone());
                }
            }
        };
        self.accepting = Some(thread::spawn(accept));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.go_down();
    }
}

/// One fault in so many percent of the requests: which, and whether, follows from the seed, the
/// request and how often it came, whatever the order in which requests of several keys come.
pub fn seeded(
    seed: u64,
    percent: u64,
    faults: impl Fn(&Request) -> &'static [Fault] + Send + Sync + 'static,
) -> impl Fn(&Request) -> Option<Fault> + Send + Sync + 'static {
    move |request| {
        let text = format!("{seed} {} {} {}", request.method, request.path, request.nth);
        // FNV-1a, then the end of SplitMix64.
        let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^= hash >> 31;
        let faults = faults(request);
        let fails = hash % 100 < percent && !faults.is_empty();
        fails.then(|| faults[(hash / 100) as usize % faults.len()])
    }
}

/// On a thread of its own, until either side ends it.
fn serve(stream: TcpStream, state: Arc<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (peer, ends) = (stream.peer_addr()?, stream.try_clone()?);
    state.open.lock().unwrap().insert(peer, ends);
    thread::spawn(move || {
        let _ = converse(stream, &state);
        // The last handle: this closes it.
        state.open.lock().unwrap().remove(&peer);
    });
    Ok(())
}

fn converse(stream: TcpStream, state: &State) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(mut message) = Message::read(&mut stream)? {
        let bytes = message.header("content-length").map(str::parse);
        let bytes = bytes.transpose().map_err(io::Error::other)?.unwrap_or(0);
        message.body.resize(bytes, 0);
        stream.read_exact(&mut message.body)?;
        let request = state.note(&message);
        let is_head = request.method == "HEAD";
        let Some(answer) = state.answer(&request, message)? else {
            return Ok(());
        };
        let bytes = answer.bytes(is_head);
        if request.fault == Some(Fault::Cut) {
            let end = match request.method.as_str() {
                "GET" => bytes.len() - answer.body.len().div_ceil(2),
                _ => (bytes.len() - answer.body.len()) / 2,
            };
            return stream.get_mut().write_all(&bytes[..end]);
        }
        stream.get_mut().write_all(&bytes)?;
    }
    Ok(())
}

impl State {
    fn note(&self, message: &Message) -> Request {
        let mut words = message.start.split(' ').map(str::to_owned);
        let (method, target) = words.next().zip(words.next()).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (path, query) = (path.to_owned(), query.to_owned());
        let mut requests = self.requests.lock().unwrap();
        let is_same = |past: &&Request| past.method == method && past.path == path;
        let mut request = Request {
            nth: requests.iter().filter(is_same).count(),
            is_conditional: message.header("if-none-match").is_some(),
            method,
            path,
            query,
            fault: None,
        };
        request.fault = (self.plan.lock().unwrap())(&request);
        requests.push(request.clone());
        request
    }

    /// None: nobody answers.
    fn answer(&self, request: &Request, mut message: Message) -> io::Result<Option<Message>> {
        let is_head = request.method == "HEAD";
        let mut answer = match request.fault {
            Some(Fault::DropBefore) => return Ok(None),
            Some(Fault::Status(status, code)) => return Ok(Some(Message::error(status, code))),
            Some(Fault::Pretend) => return Ok(Some(Message::new("HTTP/1.1 200 OK"))),
            Some(Fault::FlipThere) => {
                message.flip(request.nth);
                self.ask(message, is_head)?
            }
            Some(Fault::Unconditional) => {
                message.headers.retain(|(name, _)| name != "if-none-match");
                self.ask(message, is_head)?
            }
            Some(fault @ (Fault::Echo | Fault::EchoFlipped)) => {
                self.take_checksum(&request.path, &mut message);
                if fault == Fault::EchoFlipped {
                    message.flip(request.nth);
                }
                self.ask(message, is_head)?
            }
            _ => self.ask(message, is_head)?,
        };
        match request.fault {
            Some(Fault::DropAfter) => return Ok(None),
            Some(Fault::FlipBack) => answer.flip(request.nth),
            Some(Fault::NoChecksum) => answer.headers.retain(|(name, _)| name != CHECKSUM),
            Some(Fault::OtherChecksum) => {
                let named = answer.headers.iter_mut().find(|(name, _)| name == CHECKSUM);
                if let Some((_, checksum)) = named {
                    *checksum = ANOTHER_CHECKSUM.to_owned();
                }
            }
            Some(Fault::Echo | Fault::EchoFlipped) if is_head => {
                let taken = self.checksums.lock().unwrap();
                let taken = taken.get(&request.path).cloned();
                let checksum = taken.map(|checksum| (CHECKSUM.to_owned(), checksum));
                answer.headers.extend(checksum);
            }
            _ => {}
        }
        Ok(Some(answer))
    }

    fn take_checksum(&self, path: &str, message: &mut Message) {
        if let Some(checksum) = message.header(CHECKSUM) {
            let (path, checksum) = (path.to_owned(), checksum.to_owned());
            self.checksums.lock().unwrap().insert(path, checksum);
        }
        message.headers.retain(|(name, _)| name != CHECKSUM);
    }

    /// The store's answer, over a connection of its own.
    fn ask(&self, mut message: Message, is_head: bool) -> io::Result<Message> {
        message
            .headers
            .push(("connection".to_owned(), "close".to_owned()));
        let mut store = TcpStream::connect(self.store)?;
        store.set_read_timeout(Some(STORE_ANSWERS_WITHIN))?;
        store.write_all(&message.bytes(true))?;
        if !message.body.is_empty() {
            store.write_all(&message.body)?;
        }
        let mut store = BufReader::new(store);
        let answer = Message::read(&mut store)?;
        let mut answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
        match answer.header("transfer-encoding") {
            Some(_) => answer.body = read_chunks(&mut store)?,
            None if is_head => {}
            None => drop(store.read_to_end(&mut answer.body)?),
        }
        let of_this_connection = ["connection", "transfer-encoding"];
        answer
            .headers
            .retain(|(name, _)| !of_this_connection.contains(&name.as_str()));
        Ok(answer)
    }
}

fn read_chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let bytes = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
        let from = body.len();
        // With the line's end behind it.
        body.resize(from + bytes + 2, 0);
        stream.read_exact(&mut body[from..])?;
        body.truncate(from + bytes);
        if bytes == 0 {
            return Ok(body);
        }
    }
}

/// A request or an answer.
struct Message {
    start: String,
    /// Names in lower case; values as they came.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Message {
    fn new(start: &str) -> Message {
        Message {
            start: start.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    fn error(status: u16, code: &str) -> Message {
        let error = format!("<Error><Code>{code}</Code><Message>planned</Message></Error>");
        Message {
            headers: vec![("content-type".to_owned(), "application/xml".to_owned())],
            body: error.into_bytes(),
            ..Message::new(&format!("HTTP/1.1 {status} Planned"))
        }
    }

    /// A head; its body, if it has one, comes next. None at the end.
    fn read(stream: &mut impl BufRead) -> io::Result<Option<Message>> {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut message = Message::new(line.trim_end());
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                return Ok(Some(message));
            };
            message
                .headers
                .push((name.to_ascii_lowercase(), value.trim_start().to_owned()));
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Its head, the length it has where it has none that counts, and its body.
    fn bytes(&self, head_only: bool) -> Vec<u8> {
        let mut head = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if self.header("content-length").is_none() && !head_only {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        let body = if head_only { &[] } else { &self.body[..] };
        [head.as_bytes(), b"\r\n", body].concat()
    }

    fn flip(&mut self, nth: usize) {
        let bytes = self.body.len();
        if bytes > 0 {
            self.body[(bytes / 2 + nth * 101) % bytes] ^= 1;
        }
    }
}
