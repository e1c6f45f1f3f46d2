//! `callvault check`: the settings, and on request whether PBX and store answer to them.

use std::path::Path;

use bytesize::ByteSize;
use clap::Args;
use rustix::fs::Access;

use super::{Exit, output};
use crate::clock::Clock;
use crate::config::Settings;
use crate::http::tls::Tls;
use crate::model::chain::chain;
use crate::model::id::PbxName;
use crate::model::lock::LockMode;
use crate::model::promise::{Fact, Holds, Promise};
use crate::objects::{ObjectStore, Operation};
use crate::spool::Spool;
use crate::store::status;
use crate::{app, pbx, random};

#[derive(Args)]
pub struct Arguments {
    /// Also ask each PBX, and try with canaries whether the store keeps its promises
    #[arg(long)]
    online: bool,
}

/// What was found, a line each.
#[derive(Default)]
struct Findings {
    failed: bool,
    /// The settings name what cannot be used.
    mistaken: bool,
}

impl Findings {
    fn say(&mut self, word: &str, about: &str, text: &str) -> anyhow::Result<()> {
        self.failed |= word == "FAILED";
        output::line(&format!("{word:<8}{about}: {}", output::printable(text)))
    }

    fn mistake(&mut self, about: &str, text: &str) -> anyhow::Result<()> {
        self.mistaken = true;
        self.say("FAILED", about, text)
    }
}

/// Mistakes in the settings ended the program before this: all of them were told.
pub async fn run(arguments: Arguments, settings: &Settings) -> anyhow::Result<Exit> {
    let mut findings = Findings::default();
    let names: Vec<String> = settings
        .pbxs
        .iter()
        .map(|pbx| pbx.name.to_string())
        .collect();
    findings.say(
        "ok",
        "settings",
        &format!("right; PBX: {}", names.join(", ")),
    )?;
    look_at_data_dir(settings, &mut findings)?;
    let admin = settings.listen.admin;
    let is_safe = settings.listen.tls.is_some() || settings.listen.allow_plain_http;
    if !is_safe && !admin.ip().to_canonical().is_loopback() {
        let text = format!(
            "admin = \"{admin}\" is not on loopback, and without TLS everyone on the way reads \
             tokens and recordings"
        );
        findings.say("warning", "listen", &text)?;
    }
    if let Some(files) = &settings.listen.tls {
        match Tls::load(&files.cert, &files.key) {
            Ok(_) => findings.say("ok", "tls", "certificate and key are a pair")?,
            Err(error) => findings.mistake("tls", &chain(&error))?,
        }
    }
    for pbx in &settings.pbxs {
        let about = format!("pbx {}", pbx.name);
        match pbx::Client::new(pbx).await {
            Ok(client) if arguments.online => ask_pbx(pbx, &client, &mut findings).await?,
            Ok(_) => {}
            Err(error) => findings.mistake(&about, &chain(&error))?,
        }
    }
    if arguments.online {
        try_store(settings, &mut findings).await?;
    }
    Ok(match findings {
        Findings { mistaken: true, .. } => Exit::Usage,
        Findings { failed: true, .. } => Exit::Failed,
        _ => Exit::Done,
    })
}

/// Nothing is made here: a directory may be another user's to make.
fn look_at_data_dir(settings: &Settings, findings: &mut Findings) -> anyhow::Result<()> {
    let data_dir = &settings.data_dir;
    let about = format!("data_dir {}", data_dir.display());
    let there = data_dir.ancestors().find(|above| above.exists());
    let there = there.unwrap_or(Path::new("."));
    if !there.is_dir() {
        let text = format!("{} is no directory", there.display());
        return findings.say("FAILED", &about, &text);
    }
    if let Err(errno) = rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK) {
        let text = format!(
            "{} may not be written to by this user: {errno}",
            there.display()
        );
        return findings.say("FAILED", &about, &text);
    }
    let (free, reserve) = (
        Spool::free_bytes(there)?,
        settings.archive.spool_reserve_bytes,
    );
    if free < reserve {
        let text = format!(
            "{} free, and spool_reserve keeps {}: nothing would be downloaded",
            ByteSize(free),
            ByteSize(reserve)
        );
        findings.say("warning", &about, &text)?;
    }
    Ok(())
}

async fn ask_pbx(
    settings: &crate::config::Pbx,
    client: &pbx::Client,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let about = format!("pbx {}", settings.name);
    // No recording has this name: a 404 is the answer of a PBX that is well.
    let path = settings.vendor.nothing();
    let asked = client.ask(&path, true).await;
    let base_url = &settings.base_url;
    match (asked, settings.login.is_some()) {
        (Err(error), _) => return findings.say("FAILED", &about, &chain(&error)),
        (Ok(401 | 403), true) => {
            let text = format!("reached at {base_url}, and refuses this login");
            return findings.say("FAILED", &about, &text);
        }
        (Ok(status @ (401 | 403)), false) => {
            let text = format!("reached at {base_url}, and wants a login: HTTP {status}");
            return findings.say("FAILED", &about, &text);
        }
        (Ok(status @ 500..), _) => {
            let text = format!("reached at {base_url}, and fails: HTTP {status}");
            return findings.say("FAILED", &about, &text);
        }
        (Ok(status @ 300..=399), _) => {
            let text = format!(
                "{base_url} redirects (HTTP {status}), which is never followed: \
                 let base_url point where recordings are served"
            );
            return findings.say("FAILED", &about, &text);
        }
        (Ok(status @ (400 | 402 | 405..=409 | 411..=499)), _) => {
            let text = format!("reached at {base_url}: HTTP {status}, where 404 was expected");
            findings.say("warning", &about, &text)?;
        }
        (Ok(status @ 200..=299), _) => {
            let text = format!(
                "reached at {base_url}: HTTP {status} for a recording that there is not, where 404 \
                 was expected; whatever it serves is looked at, and an error page is no recording"
            );
            findings.say("warning", &about, &text)?;
        }
        (Ok(status), _) => {
            findings.say(
                "ok",
                &about,
                &format!("reached at {base_url}: HTTP {status}"),
            )?;
        }
    }
    if !matches!(client.ask(&path, false).await, Ok(401 | 403) | Err(_)) {
        let text = "hands out recordings to anybody who knows their names: no login is asked for";
        findings.say("warning", &about, text)?;
    }
    Ok(())
}

async fn try_store(settings: &Settings, findings: &mut Findings) -> anyhow::Result<()> {
    let store = ObjectStore::open(&settings.store).await;
    let holds = match app::index_path(settings).exists() {
        true => status::has_archived(&*super::reader(settings)?)?,
        false => false,
    };
    store.make_ready(holds).await;
    let about = format!("store {}", store.describe());
    let mode = settings.store.object_lock().map(|lock| lock.mode);
    let tried = store
        .probe(&random::hex::<8>()?, mode, Clock::system().now())
        .await;
    let probe = match tried {
        Ok(probe) => probe,
        Err(error) => {
            let right = match error.operation() {
                Some(Operation::Put) => "could not write",
                Some(Operation::Get | Operation::Head) => "wrote, but could not read back",
                _ => "failed",
            };
            let text = format!("{right}: {}", chain(&error));
            return findings.say("FAILED", &about, &text);
        }
    };
    match probe.stays {
        None => findings.say("ok", &about, "a canary was written, read back and removed")?,
        Some((key, error)) => {
            let text = format!(
                "a canary was written and read back; {key} stays: {}",
                chain(&error)
            );
            findings.say("warning", &about, &text)?;
        }
    }
    for fact in &probe.facts {
        findings.say(word(fact, mode), &about, &fact.says())?;
    }
    Ok(())
}

/// Compliance that the store does not keep is a promise broken; all else has its way round.
fn word(fact: &Fact, mode: Option<LockMode>) -> &'static str {
    let of_lock = Promise::OF_LOCKS.contains(&fact.promise);
    match fact.holds {
        Holds::Yes => "ok",
        Holds::No if of_lock && mode == Some(LockMode::Compliance) => "FAILED",
        Holds::No | Holds::Unknown => "warning",
    }
}

/// For verbs that take `--pbx`.
pub fn known_pbx<'s>(
    settings: &'s Settings,
    name: &PbxName,
) -> anyhow::Result<&'s crate::config::Pbx> {
    let found = settings.pbxs.iter().find(|pbx| pbx.name == *name);
    found.ok_or_else(|| {
        let names: Vec<String> = settings
            .pbxs
            .iter()
            .map(|pbx| pbx.name.to_string())
            .collect();
        let error = anyhow::anyhow!("the settings name no PBX {name}");
        super::Trouble::usage(error, format!("--pbx {}", names.join(" or --pbx ")))
    })
}
