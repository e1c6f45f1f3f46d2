//! The real binary on a directory of its own, gone when dropped; what it said is then searched for
//! every secret of its settings.
//!
//! Never here: a service in the test's own process, or settings that a test did not ask for beyond
//! small durations and free ports.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub use super::output::Output;
use super::secrets::Secrets;
use super::wait::wait_for;
use super::weed::Weed;

const BINARY: &str = env!("CARGO_BIN_EXE_callvault");
const READY_WITHIN: Duration = Duration::from_secs(20);
/// DESIGN.md allows ten seconds; a test that cares looks at what `terminate` returns.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// The last part of every hook URL in tests.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Settings in the making.
pub struct Setup {
    pbxs: String,
    store: Option<String>,
    archive: BTreeMap<String, String>,
    env: Vec<(String, String)>,
    files_max: Option<u32>,
}

impl Setup {
    pub fn new() -> Setup {
        let archive = [
            ("wait_for_late_events", r#""100ms""#),
            ("retry", r#"["50ms", "100ms", "200ms"]"#),
            ("recheck_doubtful", r#""200ms""#),
            ("spool_reserve", r#""1MiB""#),
        ];
        Setup {
            pbxs: String::new(),
            store: None,
            archive: archive
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            env: Vec::new(),
            files_max: None,
        }
    }

    /// What most tests want: one PBX called `hq`, in Prague.
    pub fn hq(base_url: &str) -> Setup {
        Setup::new().pbx("hq", "Europe/Prague", base_url, "")
    }

    /// `more`: further lines of its section.
    pub fn pbx(mut self, name: &str, timezone: &str, base_url: &str, more: &str) -> Setup {
        self.pbxs += &format!(
            "[[pbx]]\nname = \"{name}\"\ntimezone = \"{timezone}\"\nhook_secret = \"{SECRET}\"\n\
             base_url = \"{base_url}\"\n{more}\n"
        );
        self
    }

    /// A bucket that is there already. Without this the store is the directory `archive`.
    pub fn bucket(self, weed: &Weed, bucket: &str) -> Setup {
        self.bucket_at(&weed.endpoint(), weed, bucket)
    }

    /// As `bucket`, reached another way.
    pub fn bucket_at(self, endpoint: &str, weed: &Weed, bucket: &str) -> Setup {
        let (access_key, secret_key) = (weed.access_key(), weed.secret_key());
        self.store(&format!(
            "kind = \"s3\"\nbucket = \"{bucket}\"\nendpoint = \"{endpoint}\"\npath_style = true\n\
             access_key = \"{access_key}\"\nsecret_key = \"{secret_key}\"\n",
        ))
    }

    /// The lines of `[store]`, as they are.
    pub fn store(mut self, lines: &str) -> Setup {
        self.store = Some(lines.to_owned());
        self
    }

    /// Further lines of `[store]`.
    pub fn store_more(mut self, lines: &str) -> Setup {
        self.store.get_or_insert_default().push_str(lines);
        self
    }

    /// A setting of `[archive]`; the value is TOML: `r#""5s""#`.
    pub fn archive(mut self, key: &str, value: &str) -> Setup {
        self.archive.insert(key.to_owned(), value.to_owned());
        self
    }

    /// A variable for the service's environment, at every start.
    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// How many files it may have open, sockets too.
    pub fn files_max(mut self, most: u32) -> Setup {
        self.files_max = Some(most);
        self
    }

    /// Its directory and settings, nothing running.
    pub fn prepare(self) -> Service {
        let dir = tempfile::Builder::new().prefix("callvault-").tempdir();
        let dir = dir.expect("a temporary directory");
        let path = dir.path().display();
        let directory = format!("kind = \"directory\"\npath = \"{path}/archive\"\n");
        let archive = self
            .archive
            .iter()
            .map(|(key, value)| format!("{key} = {value}\n"));
        let settings = format!(
            "data_dir = \"{path}/data\"\n[listen]\nhook = \"127.0.0.1:0\"\n\
             admin = \"127.0.0.1:0\"\n{}[store]\n{}\n[archive]\n{}",
            self.pbxs,
            self.store.unwrap_or(directory),
            archive.collect::<String>(),
        );
        let service = Service {
            dir,
            env: self.env,
            files_max: self.files_max,
            sockets: None,
            running: None,
            secrets: Secrets::default(),
        };
        service.secrets.learn(SECRET);
        service.rewrite(&settings);
        service
    }

    /// Ready when it returns.
    pub fn start(self) -> Service {
        let mut service = self.prepare();
        service.restart();
        service
    }
}

pub struct Service {
    dir: TempDir,
    env: Vec<(String, String)>,
    files_max: Option<u32>,
    /// Of hook and admin, where somebody holds them in systemd's place.
    sockets: Option<[TcpListener; 2]>,
    running: Option<Running>,
    pub secrets: Secrets,
}

struct Running {
    child: Child,
    hook: SocketAddr,
    admin: SocketAddr,
}

/// How a service ended that was asked to.
#[derive(Debug)]
pub struct Stopped {
    pub status: ExitStatus,
    pub took: Duration,
}

impl Service {
    pub fn hook(&self) -> SocketAddr {
        self.running.as_ref().expect("a running service").hook
    }

    pub fn admin(&self) -> SocketAddr {
        self.running.as_ref().expect("a running service").admin
    }

    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("a running service").child.id()
    }

    /// The directory with all that is the service's: `data`, `archive`, its settings and its log.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir().join("data")
    }

    pub fn config(&self) -> PathBuf {
        self.dir().join("callvault.toml")
    }

    pub fn settings(&self) -> String {
        fs::read_to_string(self.config()).expect("the settings")
    }

    /// Other settings, from the next start on.
    pub fn rewrite(&self, settings: &str) {
        self.secrets.learn_settings(settings);
        fs::write(self.config(), settings).expect("write the settings");
    }

    /// From the next start on it is passed two sockets, as systemd would, which outlive it.
    pub fn hold_sockets(&mut self) -> [SocketAddr; 2] {
        let sockets =
            [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket"));
        let addresses = sockets
            .each_ref()
            .map(|socket| socket.local_addr().expect("its address"));
        self.sockets = Some(sockets);
        addresses
    }

    /// A variable for the environment, from the next start on; none to take it away.
    pub fn set_env(&mut self, name: &str, value: Option<&str>) {
        self.env.retain(|(known, _)| known != name);
        let set = value.map(|value| (name.to_owned(), value.to_owned()));
        self.env.extend(set);
    }

    /// All that was said since the first start.
    pub fn log(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Starts on what is there; what still runs is killed first. Ready when it returns.
    pub fn restart(&mut self) {
        if let Err(exited) = self.try_restart() {
            // The log follows: dropping the service prints it.
            panic!("it ended before it was ready: {exited}");
        }
    }

    /// As `restart`, of one that may end before it is ready.
    pub fn try_restart(&mut self) -> Result<(), ExitStatus> {
        self.kill();
        let listen = self.data_dir().join("listen.json");
        // What an earlier start wrote would be taken for this one's.
        let _ = fs::remove_file(&listen);
        let mut child = self.spawn();
        let deadline = Instant::now() + READY_WITHIN;
        let (hook, admin) = loop {
            if let Some(addresses) = addresses(&listen) {
                break addresses;
            }
            if let Some(exited) = child.try_wait().expect("ask for the service's exit") {
                return Err(exited);
            }
            if Instant::now() >= deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("not ready within {READY_WITHIN:?}");
            }
            thread::sleep(Duration::from_millis(5));
        };
        self.running = Some(Running { child, hook, admin });
        Ok(())
    }

    /// Whether nothing runs, by its own doing or another's.
    pub fn has_ended(&mut self) -> bool {
        if let Some(running) = &mut self.running {
            let exited = running
                .child
                .try_wait()
                .expect("ask for the service's exit");
            if exited.is_some() {
                self.running = None;
            }
        }
        self.running.is_none()
    }

    /// SIGKILL; nothing if nothing runs.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            running.child.wait().expect("reap the service");
        }
    }

    pub fn signal(&self, signal: Signal) {
        let child = &self.running.as_ref().expect("a running service").child;
        // Not reaped yet, so the id is still its own.
        kill_process(Pid::from_child(child), signal).expect("send a signal");
    }

    /// SIGTERM.
    pub fn terminate(&mut self) -> Stopped {
        let began = Instant::now();
        self.signal(Signal::TERM);
        let status = self.wait_for_exit();
        let took = began.elapsed();
        Stopped { status, took }
    }

    /// For a service that is to end by itself.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let child = &mut self.running.as_mut().expect("a running service").child;
        let mut status = None;
        wait_for("the service ends", STOPPED_WITHIN, || {
            status = child.try_wait().expect("ask for the service's exit");
            status.is_some()
        });
        self.running = None;
        status.expect("waited for")
    }

    /// Runs a verb with the service's settings.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        let output = self.verb(arguments).output().expect("run callvault");
        self.heard(arguments, Output::of(output))
    }

    /// No verb tells a secret; but for the one that makes a token, which is for whoever asked.
    fn heard(&self, arguments: &[&str], output: Output) -> Output {
        let verb = arguments.join(" ");
        match arguments {
            ["token", "add", ..] => self.secrets.learn(output.stdout.trim_end()),
            _ => self.secrets.assert_untold(&verb, &output.stdout),
        }
        self.secrets.assert_untold(&verb, &output.stderr);
        output
    }

    /// Runs a verb that reads this from stdin.
    pub fn cli_reading(&self, arguments: &[&str], stdin: &[u8]) -> Output {
        let mut command = self.verb(arguments);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("run callvault");
        let mut pipe = child.stdin.take().expect("a pipe");
        // What does not fit into the pipe is read while the verb runs, and little is said meanwhile.
        pipe.write_all(stdin).expect("write to the verb");
        drop(pipe);
        let output = child.wait_with_output().expect("wait for callvault");
        self.heard(arguments, Output::of(output))
    }

    /// A verb with the service's settings, not yet run.
    pub fn verb(&self, arguments: &[&str]) -> Command {
        let mut command = self.command();
        command.args(arguments);
        command
    }

    /// Runs a verb that is to succeed, and reads each line of what it says.
    pub fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.cli(&[arguments, &["--json"]].concat());
        assert_eq!(output.status, 0, "{arguments:?}: {}", output.stderr);
        let line = |line| serde_json::from_str(line).expect("a line is a JSON object");
        output.stdout.lines().map(line).collect()
    }

    /// As anybody may who has the right to the file.
    pub fn index(&self) -> Connection {
        let path = self.data_dir().join("index.sqlite");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let index = Connection::open_with_flags(path, flags).expect("open the index");
        let set = index.busy_timeout(Duration::from_secs(5));
        set.expect("set a timeout");
        index
    }

    /// A query's only value.
    pub fn number(&self, sql: &str) -> i64 {
        let row = self.index().query_row(sql, [], |row| row.get(0));
        row.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// A query's rows, each a JSON text that SQLite makes: `SELECT json_array(seq, kind) FROM …`.
    pub fn rows(&self, sql: &str) -> Vec<Value> {
        let index = self.index();
        let mut query = index.prepare(sql).expect(sql);
        let rows = query.query_map([], |row| row.get(0)).expect(sql);
        let parsed = |text: String| serde_json::from_str(&text).expect(sql);
        rows.map(|row| row.map(parsed).expect(sql)).collect()
    }

    /// Until all that was logged has been read, and calls and recordings are what it says.
    pub fn wait_until_read(&self) {
        // Progress is no public view; a delivery that is read has a kind, understood or not.
        wait_for("every event is read", Duration::from_secs(20), || {
            self.number("SELECT count(*) FROM events WHERE kind IS NULL") == 0
        });
    }

    /// Until it is known what the store is worth, and no canary is under way.
    pub fn wait_until_store_is_tried(&self) {
        wait_for("the store is tried", Duration::from_secs(20), || {
            !["", "unknown"].contains(&self.promise("keeps_objects").as_str())
        });
    }

    /// Whether the store keeps a promise, as `status` tells it; empty where it was not tried.
    pub fn promise(&self, promise: &str) -> String {
        let status = self.json(&["status"]).pop().expect("a status");
        let facts = status["store"]["facts"].as_array().expect("facts");
        let fact = facts.iter().find(|fact| fact["promise"] == promise);
        let holds = fact.and_then(|fact| fact["holds"].as_str());
        holds.unwrap_or_default().to_owned()
    }

    /// Until so many recordings are in the state.
    pub fn wait_for_recordings(&self, state: &str, count: i64) {
        let sql = format!("SELECT count(*) FROM recordings WHERE state = '{state}'");
        let what = format!("{count} recordings are {state}");
        wait_for(&what, Duration::from_secs(30), || {
            self.number(&sql) == count
        });
    }

    /// A verb with the service's settings, for a test that wants more of it than `cli`.
    pub fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(self.config());
        for inherited in [
            "CALLVAULT_CONFIG",
            "CREDENTIALS_DIRECTORY",
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
        ] {
            command.env_remove(inherited);
        }
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    fn spawn(&self) -> Child {
        let mut log = File::options();
        log.create(true).append(true);
        let log = || log.open(self.log_path()).expect("the service's log");
        let mut command = match &self.sockets {
            None => match self.files_max {
                None => self.command(),
                Some(most) => self.by_shell(&format!("ulimit -n {most} && exec \"$0\" \"$@\"")),
            },
            Some(sockets) => self.passed(sockets),
        };
        command.arg("serve").stderr(log());
        if self.sockets.is_none() {
            command.stdout(log());
        }
        command.envs(self.env.iter().cloned());
        command.spawn().expect("start callvault")
    }

    /// The service with these as its descriptors 3 and 4. They come as stdin and stdout, and by a
    /// shell, which has the process id that they are meant for.
    fn passed(&self, [hook, admin]: &[TcpListener; 2]) -> Command {
        let script = "exec 3<&0 4<&1 </dev/null >&2; LISTEN_PID=$$ exec \"$0\" \"$@\"";
        let mut command = self.by_shell(script);
        let names = [("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "hook:admin")];
        let held = |socket: &TcpListener| OwnedFd::from(socket.try_clone().expect("a descriptor"));
        command.envs(names).stdin(held(hook)).stdout(held(admin));
        command
    }

    /// A script that becomes the service.
    fn by_shell(&self, script: &str) -> Command {
        let plain = self.command();
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(plain.get_program());
        command.args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null());
        command
    }

    fn log_path(&self) -> PathBuf {
        self.dir().join("log")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
        match thread::panicking() {
            true => eprintln!("the service said:\n{}", self.log()),
            false => self.secrets.assert_untold("the service", &self.log()),
        }
    }
}

/// None until the file is there, whole.
fn addresses(listen: &Path) -> Option<(SocketAddr, SocketAddr)> {
    let text = fs::read(listen).ok()?;
    let listen: Value = serde_json::from_slice(&text).expect("listen.json is JSON");
    let address = |key: &str| listen[key].as_str()?.parse().ok();
    Some((address("hook")?, address("admin")?))
}
