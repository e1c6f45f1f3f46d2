//! A person's side of the API: one request over a plain socket, and an answer that is read as fast
//! as a test likes.
//!
//! Never here: an HTTP library, which would hide how a body ends.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

const ANSWER_WITHIN: Duration = Duration::from_secs(40);
const PIECE_BYTES: usize = 16 * 1024;

/// One request, its target and headers sent as they are.
#[derive(Debug, Clone)]
pub struct Ask {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
}

pub fn get(target: impl Into<String>) -> Ask {
    Ask::new("GET", target)
}

impl Ask {
    pub fn new(method: &str, target: impl Into<String>) -> Ask {
        Ask {
            method: method.to_owned(),
            target: target.into(),
            headers: Vec::new(),
        }
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Ask {
        self.headers.push((name.to_owned(), value.as_ref().into()));
        self
    }

    pub fn by(self, token: &str) -> Ask {
        self.header("Authorization", format!("Bearer {token}"))
    }

    pub fn because(self, reason: impl AsRef<[u8]>) -> Ask {
        self.header("X-Callvault-Reason", reason)
    }

    /// With its whole body.
    pub fn send(&self, to: SocketAddr) -> Answer {
        self.open(to).finish()
    }

    /// None where the connection ended before the head of an answer was there.
    pub fn try_send(&self, to: SocketAddr) -> Option<Answer> {
        self.try_open(to).ok().map(Open::finish)
    }

    /// With its head only.
    pub fn open(&self, to: SocketAddr) -> Open {
        let opened = self.try_open(to);
        opened.unwrap_or_else(|error| panic!("no answer to {self:?}: {error}"))
    }

    fn try_open(&self, to: SocketAddr) -> io::Result<Open> {
        let mut stream = TcpStream::connect_timeout(&to, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        let mut bytes = format!(
            "{} {} HTTP/1.1\r\nHost: admin\r\n",
            self.method, self.target
        );
        bytes += "Connection: close\r\n";
        let mut bytes = bytes.into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend_from_slice(b"\r\n");
        // The answer may come, and the connection go, before all is written.
        let written = stream.write_all(&bytes);
        let read = Open::read_head(BufReader::new(stream), self.method == "HEAD");
        match (read, written) {
            (Err(_), Err(error)) => Err(error),
            (opened, _) => opened,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    Chunked,
    UntilClosed,
}

/// An answer whose body is still to be read.
pub struct Open {
    stream: BufReader<TcpStream>,
    framing: Framing,
    answer: Answer,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether it ended as its head had said.
    pub is_whole: bool,
}

impl Open {
    fn read_head(mut stream: BufReader<TcpStream>, of_head: bool) -> io::Result<Open> {
        let line = line(&mut stream)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status: {line:?}")))?;
        let mut headers = Vec::new();
        while let Some((name, value)) = self::line(&mut stream)?.split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let answer = Answer {
            status,
            headers,
            body: Vec::new(),
            is_whole: false,
        };
        let length = answer.header("content-length").map(str::parse);
        let framing = match (length, answer.header("transfer-encoding")) {
            _ if of_head => Framing::Length(0),
            (Some(bytes), _) => Framing::Length(bytes.map_err(io::Error::other)?),
            (None, Some("chunked")) => Framing::Chunked,
            (None, _) => Framing::UntilClosed,
        };
        Ok(Open {
            stream,
            framing,
            answer,
        })
    }

    pub fn status(&self) -> u16 {
        self.answer.status
    }

    /// How much of the body was read.
    pub fn bytes(&self) -> usize {
        self.answer.body.len()
    }

    /// Reads a little more of the body; false at its end, be it as it may.
    pub fn read_on(&mut self) -> bool {
        match self.piece() {
            Ok(Some(piece)) => {
                self.answer.body.extend(piece);
                true
            }
            Ok(None) => {
                self.answer.is_whole = true;
                false
            }
            Err(error) if is_time_over(&error) => panic!("the body does not go on: {error}"),
            Err(_) => false,
        }
    }

    pub fn finish(mut self) -> Answer {
        while self.read_on() {}
        self.answer
    }

    /// None where it ended as it should.
    fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.framing {
            Framing::Length(0) => Ok(None),
            Framing::Length(left) => {
                let most = usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
                let piece = self.some(most)?;
                self.framing = Framing::Length(left - piece.len() as u64);
                match piece.is_empty() {
                    true => Err(io::ErrorKind::UnexpectedEof.into()),
                    false => Ok(Some(piece)),
                }
            }
            Framing::Chunked => {
                let size = line(&mut self.stream)?;
                let size = usize::from_str_radix(&size, 16).map_err(io::Error::other)?;
                let mut piece = vec![0; size];
                self.stream.read_exact(&mut piece)?;
                line(&mut self.stream)?;
                Ok((size > 0).then_some(piece))
            }
            Framing::UntilClosed => {
                let piece = self.some(PIECE_BYTES)?;
                Ok((!piece.is_empty()).then_some(piece))
            }
        }
    }

    fn some(&mut self, most_bytes: usize) -> io::Result<Vec<u8>> {
        let mut piece = vec![0; most_bytes];
        let read_bytes = self.stream.read(&mut piece)?;
        piece.truncate(read_bytes);
        Ok(piece)
    }
}

impl Answer {
    /// By its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of UTF-8")
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }

    /// The rows of a page.
    #[track_caller]
    pub fn items(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()["items"].as_array().expect("items").clone()
    }

    /// Status and code of what must be a problem, whole.
    #[track_caller]
    pub fn problem(&self) -> (u16, String) {
        let kind = self.header("content-type");
        assert_eq!(kind, Some("application/problem+json"), "{}", self.status);
        assert!(self.is_whole, "{}", self.status);
        let body: Value = serde_json::from_slice(&self.body).expect("a body of JSON");
        assert_eq!(body["status"], self.status);
        for text in ["title", "detail", "type"] {
            assert!(body[text].is_string(), "{body}");
        }
        (
            self.status,
            body["code"].as_str().expect("a code").to_owned(),
        )
    }

    #[track_caller]
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.problem(), (status, code.to_owned()));
    }
}

fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    match stream.read_line(&mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end().to_owned()),
    }
}

fn is_time_over(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
