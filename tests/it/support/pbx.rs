//! A PBX's web server: real files over real HTTP/1.1 or HTTPS, and all that can go wrong on the
//! way, as a test scripts it.
//!
//! Never here: an HTTP library, which would refuse to misbehave.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub use super::answer::Answer;
use super::port::Port;

const RECORDING_PATH: &str = "/webapi/recording/";

/// The MP3 that the PBX has for a recording, by its name: `230307142318_40-2-1`.
pub fn audio(recording: &str) -> Vec<u8> {
    let path = audio_dir().join(format!("{recording}.mp3"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn audio_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audio")
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
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
    /// What `Authorization` must say for anything but a 401.
    login: Mutex<Option<String>>,
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
    port: Port,
    tls: Option<Arc<ServerConfig>>,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

impl Pbx {
    pub fn start() -> Pbx {
        Pbx::start_as(None)
    }

    pub fn start_tls(tls: Arc<ServerConfig>) -> Pbx {
        Pbx::start_as(Some(tls))
    }

    fn start_as(tls: Option<Arc<ServerConfig>>) -> Pbx {
        let mut pbx = Pbx {
            port: Port::reserve(),
            tls,
            state: Arc::default(),
            accepting: None,
        };
        pbx.listen(Mode::Serving);
        pbx
    }

    pub fn base_url(&self) -> String {
        let scheme = self.tls.as_ref().map_or("http", |_| "https");
        format!("{scheme}://{}", self.address())
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
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

    /// From now on whoever does not say this in `Authorization` gets a 401.
    pub fn want_login(&self, authorization: &str) {
        *self.state.login.lock().unwrap() = Some(authorization.to_owned());
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
            let _ = TcpStream::connect(self.address());
            accepting.join().expect("the accepting thread");
        }
        for (_, stream) in self.state.open.lock().unwrap().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Connections are taken and ended at once.
    pub fn hang_up_at_accept(&mut self) {
        self.go_down();
        self.listen(Mode::HangingUp);
    }

    /// On the same port again.
    pub fn come_back(&mut self) {
        self.go_down();
        self.listen(Mode::Serving);
    }

    fn listen(&mut self, mode: Mode) {
        *self.state.mode.lock().unwrap() = mode;
        self.accept(self.port.listen());
    }

    fn accept(&mut self, listener: TcpListener) {
        let (state, tls) = (self.state.clone(), self.tls.clone());
        let accept = move || {
            for stream in listener.incoming() {
                let mode = *state.mode.lock().unwrap();
                match (mode, stream) {
                    (Mode::Down, _) => return,
                    (Mode::Serving, Ok(stream)) => serve(stream, tls.clone(), state.clone()),
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
fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, state: Arc<State>) {
    // The other side may be gone again.
    let (Ok(peer), Ok(ends)) = (stream.peer_addr(), stream.try_clone()) else {
        return;
    };
    state.open.lock().unwrap().insert(peer, ends);
    thread::spawn(move || {
        let _ = match tls {
            None => converse(&mut { stream }, &state).map(drop),
            Some(tls) => converse_tls(stream, tls, &state),
        };
        // The last handle: this closes it.
        state.open.lock().unwrap().remove(&peer);
    });
}

fn converse_tls(stream: TcpStream, tls: Arc<ServerConfig>, state: &State) -> io::Result<()> {
    let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    if converse(&mut stream, state)? {
        stream.conn.send_close_notify();
        stream.flush()?;
    }
    Ok(())
}

/// Answers requests as long as both sides like; false if an answer was cut off. Any stream will
/// do, also an encrypted one.
fn converse(stream: &mut (impl Read + Write), state: &State) -> io::Result<bool> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream)? {
        let answer = answer(&request, state);
        state.requests.lock().unwrap().push(request);
        if !answer.write(stream.get_mut())? {
            return Ok(!answer.is_cut());
        }
    }
    Ok(true)
}

fn read(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (_, path) = words.next().zip(words.next()).unwrap_or_default();
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
        path,
        headers,
        at: Instant::now(),
    }))
}

fn answer(request: &Request, state: &State) -> Answer {
    let path = request.path.as_str();
    if let Some(login) = &*state.login.lock().unwrap()
        && request.header("authorization") != Some(login)
    {
        return Answer::status(401);
    }
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
