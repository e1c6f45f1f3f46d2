//! `callvault demo`: the whole of it on loopback, through the real hook, pipeline and store.

mod scenarios;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::search::{legs, transfer};
use super::{Exit, output};
use crate::app::sockets::Sockets;
use crate::app::{self, Service, index_path};
use crate::catalog::status::counted;
use crate::catalog::{self, verify::verify};
use crate::clock::Clock;
use crate::config::{self, Settings};
use crate::http::listener::{Limits, Listener};
use crate::http::simulated;
use crate::model::access::{Role, Scope};
use crate::model::chain::chain;
use crate::model::filter::Filter;
use crate::model::id::CallId;
use crate::model::time::clock_text;
use crate::objects::ObjectStore;
use crate::random;
use crate::store::Reader;
use crate::store::search::{RecordingRow, attempts};

const DATA_DIR: &str = "data";
const FIRST_LINE: &str = "# Written by `callvault demo`.";
const LOOK: Duration = Duration::from_millis(100);
/// With nothing newly archived for so long, the demo has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Args)]
pub struct Arguments {
    /// Where settings, index and archive are kept; a new temporary directory otherwise
    #[arg(long, value_name = "D")]
    dir: Option<PathBuf>,
    /// Stop when all is archived, and succeed only if all of it is verified
    #[arg(long)]
    once: bool,
    /// Port of the admin listener; a free one otherwise
    #[arg(long, value_name = "P", default_value_t = 0)]
    port: u16,
}

pub async fn run(arguments: Arguments, program: &OsString) -> anyhow::Result<Exit> {
    super::serve::log_to_stderr("warn");
    let directory = directory(arguments.dir)?;
    let pbx = Listener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let secret = random::hex::<16>().context("make a secret")?;
    app::refuse_a_second(&directory.join(DATA_DIR))?;
    let file = write_settings(&directory, pbx.local_addr(), &secret, arguments.port)?;
    let settings = config::load(&file)?;
    tokio::spawn(pbx.serve(
        simulated::routes(scenarios::pbx()),
        Limits::default(),
        std::future::pending(),
    ));
    let mut service = Service::start(&settings, Clock::system(), Sockets::default()).await?;
    eprintln!("the demo is in {}", directory.display());
    let reader = Reader::open(&index_path(&settings))?;
    let path = format!("/hook/demo/{secret}");
    let posting = post_all(service.hook, &path);
    let archiving = archived(&reader, scenarios::recordings());
    let (posted, rows) = tokio::join!(posting, archiving);
    posted?;
    let rows = rows?;
    let verified = show(&settings, &reader, &rows).await?;
    show_faults(&reader, &rows)?;
    output::line("")?;
    for command in commands(program, &file, &directory) {
        output::line(&command)?;
    }
    if !arguments.once {
        invite(&settings, service.admin).await?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => {}
            ended = tokio::signal::ctrl_c() => ended?,
            reason = service.died() => bail!("{reason}"),
        }
    }
    service.stop().await;
    let all = verified == rows.len() && rows.len() == scenarios::recordings();
    Ok(if all { Exit::Done } else { Exit::Failed })
}

/// Absolute, so that the printed commands work from anywhere.
fn directory(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let directory = match given {
        Some(directory) => {
            std::fs::create_dir_all(&directory)
                .with_context(|| format!("make the directory {}", directory.display()))?;
            directory
        }
        None => {
            let made = tempfile::Builder::new().prefix("callvault-demo-").tempdir();
            made.context("make a temporary directory")?.keep()
        }
    };
    let absolute = directory.canonicalize();
    absolute.with_context(|| format!("find the directory {}", directory.display()))
}

/// To the demo's page, as one who hears and downloads, for a day.
async fn invite(settings: &Settings, admin: SocketAddr) -> anyhow::Result<()> {
    let now = Clock::system().now();
    let name = format!("demo-{}", now.0);
    let who = super::token::Who {
        name: name.clone(),
        person: "Whoever runs the demo".to_owned(),
        role: Role::Compliance,
        scope: Scope::default(),
        expires: Some(now.plus(Duration::from_secs(24 * 3600))),
    };
    let made = super::token::make(settings, who).await?;
    let token = made.context("a name that holds this moment is not taken")?;
    let code = super::token::link(settings, name).await?;
    eprintln!(
        "\nthe service goes on, Ctrl-C ends it. Its page; this link signs in once, within {} minutes:\n\
         http://{admin}/sign-in?once={code}\n\
         after that, and for the API, the token: {token}",
        super::token::LINK_HOLDS.as_secs() / 60,
    );
    Ok(())
}

/// Writes the settings, over those of an earlier demo only.
fn write_settings(
    directory: &Path,
    pbx: SocketAddr,
    secret: &str,
    port: u16,
) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = directory.join("callvault.toml");
    if let Ok(before) = std::fs::read_to_string(&file)
        && !before.starts_with(FIRST_LINE)
    {
        bail!("{} is not the demo's: choose another --dir", file.display());
    }
    let text = format!(
        r#"{FIRST_LINE}
data_dir = "{DATA_DIR}"

[listen]
hook = "127.0.0.1:0"
admin = "127.0.0.1:{port}"

[[pbx]]
name = "demo"
timezone = "Europe/Prague"
hook_secret = "{secret}"
base_url = "http://{pbx}"

[store]
kind = "directory"
path = "archive"

[archive]
wait_for_late_events = "1s"
retry = ["500ms", "1s", "2s"]
spool_reserve = "16MiB"
"#
    );
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options
        .open(&file)
        .and_then(|mut opened| std::io::Write::write_all(&mut opened, text.as_bytes()));
    written.with_context(|| format!("write {}", file.display()))?;
    Ok(file)
}

async fn post_all(hook: SocketAddr, path: &str) -> anyhow::Result<()> {
    for scenario in scenarios::all()? {
        scenario.post(hook, path).await?;
        let (table, title, events) = (scenario.table, &scenario.title, scenario.events());
        let events = counted(events as u64, "event", "events");
        eprintln!("posted scenario {table:>2}: {title} ({events})");
    }
    Ok(())
}

/// Waits until so many are archived, telling of each; comes back with fewer when it gives up.
async fn archived(reader: &Reader, expected: usize) -> anyhow::Result<Vec<RecordingRow>> {
    let filter = Filter {
        state: Some(crate::model::job::State::Archived),
        ..Filter::default()
    };
    let mut told = std::collections::BTreeSet::new();
    let mut last_news = Instant::now();
    loop {
        let rows = catalog::recordings(reader, &filter)?;
        for row in &rows {
            if told.insert(row.recording.clone()) {
                last_news = Instant::now();
                let key = row.object_key.as_deref().unwrap_or_default();
                eprintln!("archived {} as {key}", row.recording);
            }
        }
        if told.len() >= expected || last_news.elapsed() > PATIENCE {
            return Ok(rows);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The table of what was archived, each read back from the store; returns how many are sound.
async fn show(
    settings: &Settings,
    reader: &Reader,
    rows: &[RecordingRow],
) -> anyhow::Result<usize> {
    let store = ObjectStore::open(&settings.store).await;
    let (mut cells, mut sound) = (Vec::new(), 0);
    for row in rows.iter().rev() {
        let verified = verify(&store, row).await;
        sound += usize::from(verified.is_ok());
        let call = row.call.as_deref().map(|call| {
            Ok::<_, anyhow::Error>(CallId {
                pbx: row.pbx.clone(),
                call: call.parse()?,
            })
        });
        let call = match call.transpose()? {
            Some(id) => catalog::call(reader, &id)?.map(|detail| detail.call),
            None => None,
        };
        cells.push(vec![
            output::or_dash(row.call.as_deref()),
            output::or_dash(row.direction.as_deref()),
            output::or_dash(row.external.as_deref()),
            output::or_dash(call.as_ref().and_then(legs)),
            output::or_dash(row.leg),
            output::or_dash(row.media_duration_s.map(|s| clock_text(s as u64))),
            output::or_dash(transfer(
                row.transfer.as_deref(),
                row.transferred_to.as_deref(),
            )),
            row.recording.to_string(),
            verified.map_or_else(|error| chain(&error), |_| "verified".to_owned()),
        ]);
    }
    let head = [
        "CALL",
        "DIRECTION",
        "EXTERNAL",
        "LEGS",
        "LEG",
        "AUDIO",
        "TRANSFER",
        "RECORDING",
        "DIGEST",
    ];
    output::table(&head, &cells)?;
    Ok(sound)
}

/// What went wrong on the way, by the index, and how it ended.
fn show_faults(reader: &Reader, rows: &[RecordingRow]) -> anyhow::Result<()> {
    output::line("")?;
    for fault in &scenarios::FAULTS {
        let row = rows
            .iter()
            .find(|row| row.recording.recording.as_str() == fault.recording);
        let Some(row) = row else { continue };
        let history = attempts(reader, &row.recording)?;
        let failed = history.iter().find_map(|attempt| attempt.code.as_deref());
        let Some(code) = failed else { continue };
        let (answered, done) = (fault.answered, fault.done);
        output::line(&format!(
            "{}: the PBX {answered} ({code}); {done}; archived at attempt {}",
            row.recording,
            history.len()
        ))?;
    }
    Ok(())
}

/// What to try next, each line as it can be run.
fn commands(program: &OsString, file: &Path, directory: &Path) -> Vec<String> {
    let program = quoted(&program.to_string_lossy());
    let config = quoted(&file.to_string_lossy());
    let out = quoted(&directory.join("fetched").to_string_lossy());
    [
        "search --number 05552221133".to_owned(),
        "search --calls".to_owned(),
        "show 230307142318_40".to_owned(),
        "show demo/230307142318_40-2-1".to_owned(),
        format!("fetch 230307142318_40 -o {out}"),
    ]
    .map(|verb| format!("{program} --config {config} {verb}"))
    .to_vec()
}

/// As a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    match text.chars().all(plain) && !text.is_empty() {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
