//! As little HTTP/1.1 as the peers need, a thread a connection, so that serving costs little of the
//! machine that is measured. Never here: a client that cannot be trusted.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

pub struct Request<'c> {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    /// By name in lower case.
    pub headers: HashMap<String, String>,
    from: &'c mut BufReader<TcpStream>,
    pub to: &'c mut TcpStream,
}

/// Serves on a port of loopback, and says which it is.
pub fn serve(
    port: u16,
    answer: impl Fn(Request<'_>) -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("{}", listener.local_addr()?.port());
    let answer = Arc::new(answer);
    for stream in listener.incoming() {
        let (stream, answer) = (stream?, answer.clone());
        std::thread::spawn(move || {
            // A client that went away is no matter of ours.
            let _ = converse(stream, &*answer);
        });
    }
    Ok(())
}

fn converse(
    mut stream: TcpStream,
    answer: &dyn Fn(Request<'_>) -> io::Result<()>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut from = BufReader::with_capacity(256 * 1024, stream.try_clone()?);
    loop {
        let mut first = String::new();
        if from.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut words = first.split_ascii_whitespace();
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        answer(Request {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            from: &mut from,
            to: &mut stream,
        })?;
    }
}

impl Request<'_> {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Reads the body to its end; returns how long it was and its beginning.
    pub fn body(&mut self, keep_bytes: usize) -> io::Result<(u64, Vec<u8>)> {
        if self.header("expect").is_some() {
            self.to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let length = self.header("content-length");
        let bytes: u64 = length.and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut kept = vec![0; bytes.min(keep_bytes as u64) as usize];
        self.from.read_exact(&mut kept)?;
        let mut left = bytes - kept.len() as u64;
        while left > 0 {
            let here = (self.from.fill_buf()?.len() as u64).min(left);
            if here == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.from.consume(here as usize);
            left -= here;
        }
        Ok((bytes, kept))
    }

    pub fn answer(&mut self, status: &str, headers: &str, body: &[u8]) -> io::Result<()> {
        let length = body.len();
        let length = match headers.contains("Content-Length") {
            true => String::new(),
            false => format!("Content-Length: {length}\r\n"),
        };
        let mut answer = format!("HTTP/1.1 {status}\r\n{length}{headers}\r\n").into_bytes();
        answer.extend_from_slice(body);
        self.to.write_all(&answer)
    }
}
