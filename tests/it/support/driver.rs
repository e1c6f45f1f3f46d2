//! A Chromium of one test and the chromedriver that drives it, both gone when dropped.
//!
//! Never here: what is on a page, or a browser that tests share.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Url;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use warp::http::Method;

const MISSING: &str = "browser tests need chromium and chromedriver: \
    apt-get install chromium chromium-driver (tests/run does)";
const READY: &str = "started successfully on port ";
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Tests run as root, where Chromium has no sandbox; all else keeps it from asking anybody anything.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
];

pub struct Driver {
    pub client: Client,
    runtime: Runtime,
    chromium: Option<Pid>,
    _chromedriver: Chromedriver,
    _profile: TempDir,
}

struct Chromedriver {
    child: Child,
    port: u16,
}

impl Driver {
    /// Ready when it returns.
    pub fn start(preferences: Value) -> Driver {
        let profile = tempfile::Builder::new()
            .prefix("callvault-browser-")
            .tempdir();
        let profile = profile.expect("a temporary directory");
        let chromedriver = Chromedriver::start();
        let runtime = Runtime::new().expect("a runtime");
        let mut args = FLAGS.map(str::to_owned).to_vec();
        args.push(format!("--user-data-dir={}", profile.path().display()));
        let capabilities = json!({
            "goog:chromeOptions": {
                "args": args,
                "prefs": preferences,
                "perfLoggingPrefs": { "enableNetwork": true, "enablePage": false },
            },
            "goog:loggingPrefs": { "performance": "ALL", "browser": "ALL" },
        });
        let connected = async {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities.as_object().expect("an object").clone());
            let address = format!("http://127.0.0.1:{}", chromedriver.port);
            builder.connect(&address).await
        };
        let client = runtime.block_on(connected);
        let client = client.unwrap_or_else(|error| panic!("{MISSING}; it said: {error}"));
        let said = client.capabilities();
        let pid = said.and_then(|said| said.get("goog:processID")?.as_i64());
        let pid = pid.and_then(|pid| Pid::from_raw(pid as i32));
        Driver {
            client,
            runtime,
            chromium: pid,
            _chromedriver: chromedriver,
            _profile: profile,
        }
    }

    /// Until it has been done.
    #[track_caller]
    pub fn wait<T>(&self, doing: impl Future<Output = Result<T, CmdError>>) -> T {
        match self.try_wait(doing) {
            Ok(done) => done,
            Err(error) => panic!("the browser: {error}"),
        }
    }

    pub fn try_wait<T>(
        &self,
        doing: impl Future<Output = Result<T, CmdError>>,
    ) -> Result<T, Box<CmdError>> {
        self.runtime.block_on(doing).map_err(Box::new)
    }

    /// A command that the client has no word for; the path is below the session's.
    #[track_caller]
    pub fn command(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let command = Raw {
            method,
            path: path.to_owned(),
            body,
        };
        self.wait(self.client.issue_cmd(command))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let ending = self.client.clone().close();
        let ending = async { tokio::time::timeout(ENDS_WITHIN, ending).await };
        let is_ended = matches!(self.runtime.block_on(ending), Ok(Ok(())));
        if let Some(chromium) = self.chromium.filter(|_| !is_ended) {
            let _ = kill_process(chromium, Signal::KILL);
        }
    }
}

impl Chromedriver {
    fn start() -> Chromedriver {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let started = command.spawn();
        let child = started.unwrap_or_else(|error| panic!("{MISSING}: {error}"));
        let mut driver = Chromedriver { child, port: 0 };
        let said = driver.child.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            let (_, port) = line.trim_end_matches('.').split_once(READY)?;
            port.parse().ok()
        });
        driver.port = port.expect("chromedriver says its port");
        // It says more; a pipe that nobody reads would end it.
        thread::spawn(move || lines.for_each(drop));
        driver
    }
}

impl Drop for Chromedriver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
struct Raw {
    method: Method,
    path: String,
    body: Option<Value>,
}

type ParseError = <Url as std::str::FromStr>::Err;

impl WebDriverCompatibleCommand for Raw {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let body = self.body.as_ref().map(Value::to_string);
        (self.method.clone(), body)
    }
}
