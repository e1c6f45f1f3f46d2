//! `callvault ingest`: backfill and replay, without the service or beside it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use super::{Exit, output};
use crate::app::{correlator, index_path};
use crate::catalog::status::counted;
use crate::clock::Clock;
use crate::config::Settings;
use crate::model::digest::Digest;
use crate::model::id::PbxName;
use crate::store::log::{self, Delivery};
use crate::store::{Store, status};

/// Lines in one transaction.
const BATCH: usize = 500;

#[derive(Args)]
pub struct Arguments {
    /// A file of events, one a line, as a body or as {"method","content_type","payload"}; - is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The PBX that they are of
    #[arg(long, value_name = "P")]
    pbx: PbxName,
    /// One object
    #[arg(long)]
    json: bool,
}

/// A line that says more than its body.
#[derive(Deserialize)]
struct Wrapped {
    payload: String,
    method: Option<String>,
    content_type: Option<String>,
}

#[derive(Default)]
struct Tally {
    logged: u64,
    there: u64,
    empty: u64,
}

pub async fn run(arguments: Arguments, settings: &Settings) -> anyhow::Result<Exit> {
    super::check::known_pbx(settings, &arguments.pbx)?;
    let (input, bytes) = open(&arguments.file)?;
    std::fs::create_dir_all(&settings.data_dir)
        .with_context(|| format!("make {}", settings.data_dir.display()))?;
    let store = Store::open(&index_path(settings))?;
    let before = store.read(|db| log::last(db)).await?;
    let bar = progress(bytes);
    let tally = log_all(&store, input, &arguments.pbx, &bar).await?;
    let rate = rate(&tally, &bar);
    bar.finish_and_clear();
    eprintln!("{rate:.0} events/s; reading what was logged");
    correlator(settings, &store).catch_up().await?;
    let not_understood = store.read(move |db| status::not_understood_after(db, before));
    let not_understood = not_understood.await?;
    match arguments.json {
        true => output::json(&serde_json::json!({
            "logged": tally.logged,
            "already_there": tally.there,
            "empty_lines": tally.empty,
            "not_understood": not_understood,
        }))?,
        false => output::line(&format!(
            "{} logged, {} there already",
            counted(tally.logged, "event", "events"),
            counted(tally.there, "was", "were")
        ))?,
    }
    if not_understood > 0 {
        // Logged all the same: what is in the log can be read when more is understood.
        eprintln!(
            "{} not understood; the view events has them",
            counted(not_understood, "event was", "events were")
        );
    }
    Ok(Exit::Done)
}

fn open(file: &Path) -> anyhow::Result<(Box<dyn BufRead + Send>, Option<u64>)> {
    if file == Path::new("-") {
        return Ok((Box::new(BufReader::new(std::io::stdin())), None));
    }
    let opened = File::open(file).with_context(|| format!("open {}", file.display()))?;
    let bytes = opened.metadata().ok().map(|metadata| metadata.len());
    Ok((Box::new(BufReader::new(opened)), bytes))
}

fn progress(bytes: Option<u64>) -> ProgressBar {
    let template = "{bar:30} {bytes}/{total_bytes} {msg} {eta}";
    let style = ProgressStyle::with_template(template).expect("a fixed template is right");
    match bytes {
        Some(bytes) => ProgressBar::new(bytes).with_style(style),
        None => ProgressBar::new_spinner(),
    }
}

/// The same file again changes nothing: the n-th copy of a body is logged only where fewer than n
/// are in the log. So an interrupted run goes on where it was, and events that arrived by
/// themselves are not logged twice.
async fn log_all(
    store: &Store,
    mut input: Box<dyn BufRead + Send>,
    pbx: &PbxName,
    bar: &ProgressBar,
) -> anyhow::Result<Tally> {
    let (mut tally, mut copies) = (Tally::default(), HashMap::<Digest, u64>::new());
    let (clock, mut batch, mut line) = (Clock::system(), Vec::with_capacity(BATCH), Vec::new());
    loop {
        line.clear();
        let read = input
            .by_ref()
            .read_until(b'\n', &mut line)
            .context("read the events")?;
        if read > 0 {
            match line.trim_ascii() {
                b"" => tally.empty += 1,
                body => {
                    let delivery = delivery(body, pbx, &clock);
                    let copy = copies.entry(Digest::of(&delivery.raw)).or_default();
                    *copy += 1;
                    batch.push((delivery, *copy));
                }
            }
        }
        if batch.len() == BATCH || (read == 0 && !batch.is_empty()) {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            let count = full.len() as u64;
            let logged = store
                .write(move |tx| log::append_missing(tx, &full))
                .await?;
            tally.logged += logged;
            tally.there += count - logged;
            bar.set_message(format!("{:.0} events/s", rate(&tally, bar)));
        }
        bar.inc(read as u64);
        if read == 0 {
            return Ok(tally);
        }
    }
}

fn rate(tally: &Tally, bar: &ProgressBar) -> f64 {
    (tally.logged + tally.there) as f64 / bar.elapsed().as_secs_f64().max(0.001)
}

fn delivery(body: &[u8], pbx: &PbxName, clock: &Clock) -> Delivery {
    let wrapped: Option<Wrapped> = match body.starts_with(b"{") {
        true => serde_json::from_slice(body).ok(),
        false => None,
    };
    let (raw, method, content_type) = match wrapped {
        Some(line) => (line.payload.into_bytes(), line.method, line.content_type),
        None => (body.to_vec(), None, None),
    };
    Delivery {
        pbx: pbx.clone(),
        received: clock.now(),
        live: false,
        method: method.unwrap_or_else(|| "POST".to_owned()),
        content_type,
        target: None,
        peer: None,
        raw,
    }
}
