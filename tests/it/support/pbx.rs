//! A PBX's web server: real files over real HTTP/1.1, and all that can go wrong on the way, as a
//! test scripts it.
//!
//! Never here: an HTTP library, which would refuse to misbehave.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const RECORDING_PATH: &str = "/webapi/recording/";

/// The MP3 that the PBX has for a recording, by its name: `230307142318_40-2-1`.
pub fn audio(recording: &str) -> Vec<u8> {
    let path = audio_dir().join(format!("{recording}.mp3"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn audio_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audio")
}

/// One answer of a script.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    framing: Framing,
    delay: Duration,
    cut: Option<usize>,
    drip: Option<(usize, Duration)>,
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    /// With a Content-Length of so many bytes more or less than the body has.
    Length(isize),
    /// In chunks, the last one sent or not.
    Chunked { ended: bool },
    /// Until the connection ends.
    Close,
    /// The body is all there is: no status, no headers.
    Raw,
}

impl Answer {
    pub fn status(status: u16) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            framing: Framing::Length(0),
            delay: Duration::ZERO,
            cut: None,
            drip: None,
        }
    }

    pub fn ok(body: impl Into<Vec<u8>>) -> Answer {
        Answer::status(200).body(body)
    }

    /// What the PBX has for a recording.
    pub fn audio(recording: &str) -> Answer {
        Answer::ok(audio(recording)).header("Content-Type", "audio/mpeg")
    }

    pub fn redirect(to: &str) -> Answer {
        Answer::status(302).header("Location", to)
    }

    /// These bytes instead of HTTP.
    pub fn garbage(bytes: impl Into<Vec<u8>>) -> Answer {
        Answer {
            framing: Framing::Raw,
            ..Answer::ok(bytes)
        }
    }

    /// Takes the request and hangs up.
    pub fn hang_up() -> Answer {
        Answer::garbage(Vec::new())
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Answer {
        self.body = body.into();
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Before the first byte.
    pub fn delay(mut self, delay: Duration) -> Answer {
        self.delay = delay;
        self
    }

    /// Hangs up after so many bytes of the body, whatever was promised.
    pub fn cut(mut self, bytes: usize) -> Answer {
        self.cut = Some(bytes);
        self
    }

    /// A Content-Length that is wrong by so much; too short a one leaves bytes over.
    pub fn length_off_by(mut self, bytes: isize) -> Answer {
        self.framing = Framing::Length(bytes);
        self
    }

    pub fn chunked(mut self) -> Answer {
        self.framing = Framing::Chunked { ended: true };
        self
    }

    /// Chunked, and then no more: the last chunk never comes.
    pub fn chunked_without_end(mut self) -> Answer {
        self.framing = Framing::Chunked { ended: false };
        self
    }

    /// No length: the body ends with the connection.
    pub fn without_length(mut self) -> Answer {
        self.framing = Framing::Close;
        self
    }

    /// So many bytes of the body at a time, with a pause after each.
    pub fn drip(mut self, bytes: usize, pause: Duration) -> Answer {
        self.drip = Some((bytes, pause));
        self
    }

    /// True if the connection can go on.
    fn write(&self, to: &mut impl Write) -> io::Result<bool> {
        thread::sleep(self.delay);
        to.write_all(&self.head())?;
        let end = self
            .cut
            .map_or(self.body.len(), |cut| cut.min(self.body.len()));
        let (piece, pause) = self.drip.unwrap_or((16 * 1024, Duration::ZERO));
        for piece in self.body[..end].chunks(piece) {
            match self.framing {
                Framing::Chunked { .. } => {
                    write!(to, "{:x}\r\n", piece.len())?;
                    to.write_all(piece)?;
                    to.write_all(b"\r\n")?;
                }
                _ => to.write_all(piece)?,
            }
            to.flush()?;
            thread::sleep(pause);
        }
        let is_whole = self.cut.is_none();
        match self.framing {
            Framing::Chunked { ended: true } if is_whole => {
                to.write_all(b"0\r\n\r\n")?;
                Ok(true)
            }
            Framing::Length(0) => Ok(is_whole),
            _ => Ok(false),
        }
    }

    fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Whatever\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        match self.framing {
            Framing::Raw => return Vec::new(),
            Framing::Length(off) => {
                let bytes = self.body.len().saturating_add_signed(off);
                head += &format!("Content-Length: {bytes}\r\n");
            }
            Framing::Chunked { .. } => head += "Transfer-Encoding: chunked\r\n",
            Framing::Close => head += "Connection: close\r\n",
        }
        (head + "\r\n").into_bytes()
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub at: Instant,
}

impl Request {
    /// By its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct State {
    scripts: Mutex<HashMap<String, VecDeque<Answer>>>,
    requests: Mutex<Vec<Request>>,
    /// By its peer, a second handle of each open connection: what ends it.
    open: Mutex<HashMap<SocketAddr, TcpStream>>,
    mode: Mutex<Mode>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Mode {
    #[default]
    Serving,
    HangingUp,
    Down,
}

/// Has the files of `tests/audio`, and whatever a script says instead.
pub struct Pbx {
    address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

impl Pbx {
    pub fn start() -> Pbx {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let mut pbx = Pbx {
            address: listener.local_addr().expect("its address"),
            state: Arc::default(),
            accepting: None,
        };
        pbx.accept(listener);
        pbx
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers for a recording, one after another; the last one stays.
    pub fn script(&self, recording: &str, answers: impl IntoIterator<Item = Answer>) {
        self.script_path(&format!("{RECORDING_PATH}{recording}.mp3"), answers);
    }

    /// Answers for a path and query.
    pub fn script_path(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        let answers: VecDeque<Answer> = answers.into_iter().collect();
        assert!(!answers.is_empty(), "a script without an answer");
        let mut scripts = self.state.scripts.lock().unwrap();
        scripts.insert(path.to_owned(), answers);
    }

    /// All that was asked for, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    pub fn requests_of(&self, recording: &str) -> Vec<Request> {
        let path = format!("{RECORDING_PATH}{recording}.mp3");
        let mut requests = self.requests();
        requests.retain(|request| request.path == path);
        requests
    }

    /// Connections are refused, and those that are open end.
    pub fn go_down(&mut self) {
        *self.state.mode.lock().unwrap() = Mode::Down;
        if let Some(accepting) = self.accepting.take() {
            // Wakes it, so that it sees what it is to do.
            let _ = TcpStream::connect(self.address);
            accepting.join().expect("the accepting thread");
        }
        for (_, stream) in self.state.open.lock().unwrap().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Connections are taken and ended at once.
    pub fn hang_up_at_accept(&mut self) {
        self.go_down();
        self.listen_again(Mode::HangingUp);
    }

    /// On the same port again.
    pub fn come_back(&mut self) {
        self.go_down();
        self.listen_again(Mode::Serving);
    }

    fn listen_again(&mut self, mode: Mode) {
        *self.state.mode.lock().unwrap() = mode;
        self.accept(TcpListener::bind(self.address).expect("the same port again"));
    }

    fn accept(&mut self, listener: TcpListener) {
        let state = self.state.clone();
        let accept = move || {
            for stream in listener.incoming() {
                let mode = *state.mode.lock().unwrap();
                match (mode, stream) {
                    (Mode::Down, _) => return,
                    (Mode::Serving, Ok(stream)) => serve(stream, state.clone()),
                    (Mode::HangingUp, _) | (_, Err(_)) => {}
                }
            }
        };
        self.accepting = Some(thread::spawn(accept));
    }
}

impl Drop for Pbx {
    fn drop(&mut self) {
        self.go_down();
    }
}

/// On a thread of its own, until either side ends it.
fn serve(stream: TcpStream, state: Arc<State>) {
    // The other side may be gone again.
    let (Ok(peer), Ok(ends)) = (stream.peer_addr(), stream.try_clone()) else {
        return;
    };
    state.open.lock().unwrap().insert(peer, ends);
    thread::spawn(move || {
        let _ = converse(stream, &state);
        // The last handle: this closes it.
        state.open.lock().unwrap().remove(&peer);
    });
}

/// Answers requests as long as both sides like. Any stream will do, also an encrypted one.
fn converse(stream: impl Read + Write, state: &State) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream)? {
        let answer = answer(&request.path, state);
        state.requests.lock().unwrap().push(request);
        if !answer.write(stream.get_mut())? {
            break;
        }
    }
    Ok(())
}

fn read(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = words.next().zip(words.next()).unwrap_or_default();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Some(Request {
        method,
        path,
        headers,
        at: Instant::now(),
    }))
}

fn answer(path: &str, state: &State) -> Answer {
    if let Some(script) = state.scripts.lock().unwrap().get_mut(path) {
        let last = script.len() == 1;
        let next = if last {
            script.front().cloned()
        } else {
            script.pop_front()
        };
        return next.expect("a script has an answer");
    }
    let name = path.strip_prefix(RECORDING_PATH);
    let file = name
        .filter(|name| !name.contains('/'))
        .map(|name| audio_dir().join(name));
    match file.and_then(|file| std::fs::read(file).ok()) {
        Some(body) => Answer::ok(body).header("Content-Type", "audio/mpeg"),
        None => Answer::status(404).body("<html>no such recording</html>"),
    }
}
