//! The command line: a verb a file.
//!
//! Data goes to stdout, talk and progress to stderr. Never here: what a verb does beyond arguments
//! and output; `catalog` and `app` know that.

mod check;
mod custody;
mod demo;
mod fetch;
mod ingest;
mod jobs;
mod output;
mod panics;
mod search;
mod serve;
mod show;
mod status;
mod token;
mod verify;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::clock::Clock;
use crate::config::{self, Settings};
use crate::model::id::RecordingId;
use crate::store::custody::{self as custody_log, Entry};
use crate::store::{Reader, Store, integrity};

/// Archives the call recordings of a PBX: every event logged, every recording verified, tagged,
/// stored and proved.
#[derive(Parser)]
#[command(name = "callvault", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Arguments {
    /// The settings
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CALLVAULT_CONFIG",
        default_value = "/etc/callvault/callvault.toml"
    )]
    config: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed or nothing found, 2 done in part, 64 usage or \
    configuration, 65 an integrity check failed.";

#[derive(Subcommand)]
enum Verb {
    /// Run the service: log events, archive recordings
    Serve,
    /// Show it all on loopback with a simulated PBX and a directory as store
    Demo(demo::Arguments),
    /// Say all that is wrong with the settings, and on request whether PBX and store answer
    Check(check::Arguments),
    /// Log a file of events, for backfill and replay, without the service or beside it
    Ingest(ingest::Arguments),
    /// List recordings, newest first; or calls
    Search(search::Arguments),
    /// Show a call or a recording with all that is known of it
    Show(show::Arguments),
    /// Take recordings out of the archive, checked
    Fetch(fetch::Arguments),
    /// Read recordings back from the store and prove that they are what was archived
    Verify(verify::Arguments),
    /// List what is pending or failed, and why; make it due again
    Jobs(jobs::Arguments),
    /// Make, list and revoke the tokens of those who use the web page and the API
    Token(token::Arguments),
    /// List who did what to which recording, and prove that no entry was changed
    Custody(custody::Arguments),
    /// Say how the archive stands, and whether a person must act
    Status(status::Arguments),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    Failed,
    Partly,
    Usage,
    Integrity,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Partly => 2,
            Exit::Usage => 64,
            Exit::Integrity => 65,
        })
    }
}

/// An error with its exit code and, where there is one, a next step.
#[derive(Debug, thiserror::Error)]
#[error("{error:#}")]
struct Trouble {
    exit: Exit,
    error: anyhow::Error,
    advice: Option<String>,
}

impl Trouble {
    fn usage(error: impl Into<anyhow::Error>, advice: impl Into<String>) -> anyhow::Error {
        let trouble = Trouble {
            exit: Exit::Usage,
            error: error.into(),
            advice: Some(advice.into()),
        };
        trouble.into()
    }
}

/// Runs a verb. Errors print their whole chain, and a line `try: …` where there is something to try.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    panics::say_no_more_than_is_fixed();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let program = arguments
        .first()
        .cloned()
        .unwrap_or_else(|| "callvault".into());
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            if error.use_stderr() {
                // It quotes the arguments.
                eprintln!("{}", output::printable_lines(&error.render().to_string()));
                return Exit::Usage.into();
            }
            // Help goes to stdout and is no error. A closed pipe is none either.
            let _ = error.print();
            return Exit::Done.into();
        }
    };
    let ended = block_on(parsed.verb.run(&parsed.config, &program));
    match ended {
        Ok(exit) => exit.into(),
        Err(error) if output::is_broken_pipe(&error) => Exit::Done.into(),
        Err(error) => report(&error).into(),
    }
}

/// Blocking work that is stuck on a disk does not keep the program.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    const STUCK_MAX: std::time::Duration = std::time::Duration::from_millis(500);
    let runtime = tokio::runtime::Runtime::new().context("start the async runtime")?;
    let ended = runtime.block_on(work);
    runtime.shutdown_timeout(STUCK_MAX);
    ended
}

fn report(error: &anyhow::Error) -> Exit {
    let trouble = error.downcast_ref::<Trouble>();
    eprintln!(
        "callvault: {}",
        output::printable_lines(&format!("{error:#}"))
    );
    if let Some(advice) = trouble.and_then(|trouble| trouble.advice.as_ref()) {
        eprintln!("try: {}", output::printable(advice));
    }
    trouble.map_or(Exit::Failed, |trouble| trouble.exit)
}

impl Verb {
    async fn run(self, config: &Path, program: &OsString) -> anyhow::Result<Exit> {
        match self {
            Verb::Serve => serve::run(config).await,
            Verb::Demo(arguments) => demo::run(arguments, program).await,
            Verb::Search(arguments) => search::run(arguments, &settings(config)?).await,
            Verb::Show(arguments) => show::run(arguments, &settings(config)?),
            Verb::Fetch(arguments) => fetch::run(arguments, &settings(config)?).await,
            Verb::Check(arguments) => check::run(arguments, &settings(config)?).await,
            Verb::Ingest(arguments) => ingest::run(arguments, &settings(config)?).await,
            Verb::Verify(arguments) => verify::run(arguments, &settings(config)?).await,
            Verb::Jobs(arguments) => jobs::run(arguments, &settings(config)?).await,
            Verb::Token(arguments) => token::run(arguments, &settings(config)?).await,
            Verb::Custody(arguments) => custody::run(arguments, &settings(config)?),
            Verb::Status(arguments) => status::run(arguments, &settings(config)?),
        }
    }
}

fn settings(path: &Path) -> anyhow::Result<Settings> {
    config::load(path).map_err(|error| {
        let advice = match &error {
            config::Errors::Read { .. } => {
                "--config FILE, or begin with a copy of config/callvault.toml".to_owned()
            }
            config::Errors::Check { path, .. } => format!("edit {}", path.display()),
        };
        Trouble::usage(error, advice)
    })
}

/// Reads beside a running service, or without one.
fn reader(settings: &Settings) -> anyhow::Result<Reader> {
    let path = crate::app::index_path(settings);
    if !path.exists() {
        return Err(Trouble {
            exit: Exit::Failed,
            error: anyhow::anyhow!("there is no index at {} yet", path.display()),
            advice: Some("callvault serve, which makes it".to_owned()),
        }
        .into());
    }
    Ok(Reader::open(&path)?)
}

/// The operating system's user: on the command line there is no other.
fn actor() -> String {
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    format!("os user {}", name.unwrap_or_else(|| uid.to_string()))
}

/// For short transactions of a verb beside the service.
fn store(settings: &Settings) -> anyhow::Result<Store> {
    // Fails where there is no index yet, as reading does.
    reader(settings)?;
    Ok(Store::open(&crate::app::index_path(settings))?)
}

/// Enters in custody what somebody does on the command line; what cannot be entered is not done.
async fn enter(settings: &Settings, entries: Vec<Entry>) -> anyhow::Result<()> {
    let store = store(settings)?;
    let entered = store.write(move |tx| {
        entries
            .iter()
            .try_for_each(|entry| custody_log::append(tx, entry))
    });
    entered
        .await
        .context("enter this in custody, without which it is not done")
}

/// What reading an object to its end has shown. Said where it cannot be noted: it was seen all the
/// same.
async fn note_integrity(settings: &Settings, seen: Vec<(RecordingId, Option<String>)>) {
    let note = async {
        store(settings)?
            .write(move |tx| {
                seen.iter().try_for_each(|(id, damage)| {
                    integrity::note(tx, id, damage.as_deref(), act("read back", &id.to_string()))
                })
            })
            .await?;
        anyhow::Ok(())
    };
    if let Err(error) = note.await {
        eprintln!("callvault: this could not be noted in the index: {error:#}");
    }
}

/// An act of the one at the command line.
fn act(act: &'static str, subject: &str) -> Entry {
    Entry {
        actor: actor(),
        ..Entry::of_service(Clock::system().now(), act, &subject)
    }
}
