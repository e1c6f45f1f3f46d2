//! A PBX's side of the hook: exactly the bytes that a test wants, over a plain socket.
//!
//! Never here: an HTTP library, which would tidy up what is to be sent raw.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::Connection as Index;
use serde::Deserialize;

use super::service::SECRET;

const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// `/hook/{pbx}/{secret}`.
pub fn target(pbx: &str) -> String {
    format!("/hook/{pbx}/{SECRET}")
}

/// One request, its target and headers sent as they are.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: Vec<u8>,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// In chunks of so many bytes, instead of by its length.
    pub chunk_bytes: Option<usize>,
}

impl Request {
    pub fn get(target: impl Into<Vec<u8>>) -> Request {
        Request {
            method: "GET".to_owned(),
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new(),
            chunk_bytes: None,
        }
    }

    /// An empty content type sends none.
    pub fn post(target: impl Into<Vec<u8>>, content_type: &str, body: impl AsRef<[u8]>) -> Request {
        let header = ("Content-Type".to_owned(), content_type.to_owned());
        let has_type = !content_type.is_empty();
        Request {
            method: "POST".to_owned(),
            headers: has_type.then_some(header).into_iter().collect(),
            body: body.as_ref().to_owned(),
            ..Request::get(target)
        }
    }

    pub fn in_chunks_of(mut self, bytes: usize) -> Request {
        self.chunk_bytes = Some(bytes);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.method.as_bytes(), b" ", &self.target].concat();
        bytes.extend_from_slice(b" HTTP/1.1\r\nHost: hook\r\n");
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        match self.chunk_bytes {
            Some(size) => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in self.body.chunks(size) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
            None if self.method == "POST" || !self.body.is_empty() => {
                let length = format!("Content-Length: {}\r\n\r\n", self.body.len());
                bytes.extend_from_slice(length.as_bytes());
                bytes.extend_from_slice(&self.body);
            }
            None => bytes.extend_from_slice(b"\r\n"),
        }
        bytes
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// By its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn ends_connection(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

/// One connection, for as many requests as the other side likes.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream: BufReader::new(stream),
        })
    }

    /// For more requests than one connection is good for: goes on over a new one where the last
    /// answer ended the old one.
    pub fn send_all<'r>(
        address: SocketAddr,
        requests: impl IntoIterator<Item = &'r Request>,
    ) -> io::Result<Vec<Reply>> {
        let mut connection = Connection::open(address)?;
        let mut replies = Vec::new();
        for request in requests {
            if replies.last().is_some_and(Reply::ends_connection) {
                connection = Connection::open(address)?;
            }
            replies.push(connection.send(request)?);
        }
        Ok(replies)
    }

    pub fn send(&mut self, request: &Request) -> io::Result<Reply> {
        // The answer may come, and the connection go, before all is written.
        let written = self.stream.get_mut().write_all(&request.bytes());
        match (self.read(), written) {
            (Err(_), Err(error)) => Err(error),
            (reply, _) => reply,
        }
    }

    fn read(&mut self) -> io::Result<Reply> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status: {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut reply = Reply {
            status,
            headers,
            body: Vec::new(),
        };
        let length = reply.header("content-length");
        let bytes = length.map_or(Ok(0), str::parse).map_err(io::Error::other)?;
        reply.body.resize(bytes, 0);
        self.stream.read_exact(&mut reply.body)?;
        Ok(reply)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

/// On a connection of its own.
pub fn send(address: SocketAddr, request: &Request) -> io::Result<Reply> {
    Connection::open(address)?.send(request)
}

/// A JSON event for the PBX `hq` that must be acknowledged.
pub fn post(address: SocketAddr, body: impl AsRef<[u8]>) {
    acknowledged(
        address,
        &Request::post(target("hq"), "application/json", body),
    );
}

/// Sends what must be acknowledged.
pub fn acknowledged(address: SocketAddr, request: &Request) {
    let reply = send(address, request).expect("an answer from the hook");
    assert_eq!(
        (reply.status, reply.body.as_slice()),
        (200, b"{}".as_slice()),
        "{request:?}"
    );
}

/// What was acknowledged: exactly this must be in the log, whatever happens after.
#[derive(Default)]
pub struct Ledger(Mutex<Vec<Vec<u8>>>);

impl Ledger {
    /// Sends, and remembers the body if the answer is 2xx; says whether it was.
    pub fn send(&self, address: SocketAddr, request: &Request) -> bool {
        let reply = send(address, request);
        let is_acknowledged = reply.is_ok_and(|reply| (200..300).contains(&reply.status));
        if is_acknowledged {
            self.0.lock().unwrap().push(request.body.clone());
        }
        is_acknowledged
    }

    pub fn acknowledged(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Bodies must differ from each other for this to say something.
    pub fn assert_logged(&self, index: &Index) {
        let mut events = index.prepare("SELECT raw FROM events").unwrap();
        let logged = events.query_map([], |row| row.get(0)).unwrap();
        let logged: HashSet<Vec<u8>> = logged.map(Result::unwrap).collect();
        for body in self.0.lock().unwrap().iter() {
            let shown = String::from_utf8_lossy(body);
            assert!(
                logged.contains(body),
                "acknowledged and not logged: {shown}"
            );
        }
    }
}

/// A row of the vendor's documentation.
#[derive(Debug, Clone, Deserialize)]
pub struct Row {
    pub table: u32,
    pub row: u32,
    pub form: String,
    pub payload: String,
}

/// How a row of the form `urlencoded` is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Query,
    Form,
}

impl Row {
    pub fn request(&self, pbx: &str, scheme: Scheme) -> Request {
        let target = target(pbx);
        match (self.form.as_str(), scheme) {
            ("json" | "json-damaged", _) => {
                Request::post(target, "application/json", &self.payload)
            }
            ("url", _) => Request::post(target, "text/plain", &self.payload),
            ("urlencoded", Scheme::Query) => Request::get(format!("{target}?{}", self.payload)),
            ("urlencoded", Scheme::Form) => {
                Request::post(target, "application/x-www-form-urlencoded", &self.payload)
            }
            (form, _) => panic!("a form that nobody knows: {form}"),
        }
    }
}

/// All 74 rows, in their order.
pub fn corpus() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/vendor_events.jsonl");
    let text = std::fs::read_to_string(path).expect("the corpus");
    let row = |line| serde_json::from_str(line).expect("a row of the corpus");
    text.lines().map(row).collect()
}
