//! `callvault fetch`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::search::Filters;
use super::{Exit, Trouble, output, show};
use crate::catalog::fetch::{Error, Fetched, fetch};
use crate::catalog::verify::ReadError;
use crate::catalog::{self, Found};
use crate::config::Settings;
use crate::model::chain::chain;
use crate::model::filter::Filter;
use crate::model::id::PbxName;
use crate::model::job::State;
use crate::objects::ObjectStore;
use crate::store::Reader;
use crate::store::custody::Entry;
use crate::store::search::RecordingRow;

#[derive(Args)]
pub struct Arguments {
    /// Recordings, or calls or legs for all their recordings
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    filters: Filters,
    /// Where the files go; made where it is missing
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Why, for custody; it holds for every recording of this run
    #[arg(long, value_name = "R")]
    reason: Option<String>,
    /// The case it is for, for custody
    #[arg(long, value_name = "C")]
    case: Option<String>,
    /// One object a file
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Who took what, and why, is entered before the first byte is read.
    fn entries(&self, rows: &[RecordingRow]) -> Vec<Entry> {
        let entry = |row: &RecordingRow| {
            let entry = Entry {
                reason: self.reason.clone(),
                case: self.case.clone(),
                ..super::act("fetched", &row.recording.to_string())
            };
            match self.reason {
                Some(_) => entry,
                None => entry.detail("no reason was given"),
            }
        };
        let archived = rows
            .iter()
            .filter(|row| row.state == State::Archived.as_str());
        archived.map(entry).collect()
    }
}

pub async fn run(arguments: Arguments, settings: &Settings) -> anyhow::Result<Exit> {
    if arguments.ids.is_empty() && !arguments.filters.any() {
        let error = anyhow!("nothing was named to fetch");
        return Err(Trouble::usage(
            error,
            "callvault fetch ID -o DIR, or --number N -o DIR",
        ));
    }
    if !arguments.ids.is_empty() && arguments.filters.any() {
        // Either of two meanings would give somebody more, or less, than was meant.
        let error = anyhow!("both recordings and a filter are named");
        return Err(Trouble::usage(
            error,
            "one of them: callvault fetch ID -o DIR, or --number N -o DIR",
        ));
    }
    let rows = chosen(&arguments, &super::reader(settings)?)?;
    if rows.is_empty() {
        eprintln!("no recording fits");
        return Ok(Exit::Failed);
    }
    let directory = &arguments.output;
    std::fs::create_dir_all(directory)
        .with_context(|| format!("make the directory {}", directory.display()))?;
    super::enter(settings, arguments.entries(&rows)).await?;
    let store = ObjectStore::open(&settings.store).await;
    let bar = progress(&rows);
    let mut tally = Tally::default();
    for (row, name) in rows.iter().zip(names(&rows)) {
        bar.set_message(row.recording.to_string());
        let fetched = fetch(&store, row, directory, &name, |bytes| bar.inc(bytes)).await;
        if let Err(Error::Read(error)) = &fetched
            && error.is_integrity()
        {
            let seen = vec![(row.recording.clone(), Some(chain(error)))];
            super::note_integrity(settings, seen).await;
        }
        bar.suspend(|| tally.take(row, fetched, arguments.json))?;
    }
    bar.finish_and_clear();
    Ok(tally.exit())
}

/// The recordings that ids name: a call's all, a leg's own.
pub fn named(ids: &[String], reader: &Reader, verb: &str) -> anyhow::Result<Vec<RecordingRow>> {
    let mut rows: Vec<RecordingRow> = Vec::new();
    for id in ids {
        match catalog::find(reader, id)? {
            Found::Recording(id) => {
                rows.extend(catalog::recording(reader, &id)?.map(|detail| detail.row));
            }
            Found::Call(call, leg) => {
                let filter = Filter {
                    pbx: Some(call.pbx),
                    call: Some(call.call),
                    ..Filter::default()
                };
                let of_call = catalog::recordings(reader, &filter)?.into_iter();
                rows.extend(of_call.filter(|row| leg.is_none() || row.leg == leg));
            }
            Found::Nothing => return Err(show::nothing(id)),
            Found::Ambiguous(ids) => return Err(show::ambiguous(id, &ids, verb)),
        }
    }
    Ok(rows)
}

/// Each recording once, in the order they were named.
fn chosen(arguments: &Arguments, reader: &Reader) -> anyhow::Result<Vec<RecordingRow>> {
    let mut rows = named(&arguments.ids, reader, "fetch")?;
    if arguments.filters.any() {
        let mut filter = arguments.filters.filter_at(reader, None)?;
        filter.state = filter.state.or(Some(State::Archived));
        rows.extend(catalog::recordings(reader, &filter)?);
    }
    let mut seen = BTreeSet::new();
    rows.retain(|row| seen.insert(row.recording.clone()));
    Ok(rows)
}

/// `230307142318_40-2-1.mp3`; with its PBX before it where two PBXs have the same.
fn names(rows: &[RecordingRow]) -> Vec<String> {
    let mut pbxs: BTreeMap<String, BTreeSet<&PbxName>> = BTreeMap::new();
    for row in rows {
        pbxs.entry(row.recording.recording.to_string())
            .or_default()
            .insert(&row.pbx);
    }
    let name = |row: &RecordingRow| {
        let recording = &row.recording.recording;
        match pbxs[recording.as_str()].len() {
            1 => format!("{recording}.mp3"),
            _ => format!("{}.{recording}.mp3", row.pbx),
        }
    };
    rows.iter().map(name).collect()
}

fn progress(rows: &[RecordingRow]) -> ProgressBar {
    let bytes = rows.iter().filter_map(|row| row.bytes).sum();
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {eta} {msg}")
        .expect("the template is right: every fetch uses it");
    ProgressBar::new(bytes).with_style(style)
}

#[derive(Default)]
struct Tally {
    sound: usize,
    failed: usize,
    integrity: bool,
}

impl Tally {
    fn take(
        &mut self,
        row: &RecordingRow,
        fetched: Result<Fetched, Error>,
        json: bool,
    ) -> anyhow::Result<()> {
        match fetched {
            Ok(fetched) => {
                self.sound += 1;
                let path = fetched.path.display().to_string();
                match json {
                    true => output::json(&serde_json::json!({
                        "recording": row.recording,
                        "path": path,
                        "bytes": fetched.bytes,
                        "object_sha256": fetched.sha256,
                        "was_there": fetched.was_there,
                    })),
                    false => output::line(&path),
                }
            }
            Err(error) => {
                self.failed += 1;
                self.integrity |= matches!(&error, Error::Read(error) if error.is_integrity());
                eprintln!("callvault: {}", output::printable(&chain(&error)));
                if let Error::Read(ReadError::NotArchived {
                    reason: Some(reason),
                    ..
                }) = &error
                {
                    eprintln!("  because: {}", output::printable(reason));
                }
                Ok(())
            }
        }
    }

    fn exit(&self) -> Exit {
        match (self.integrity, self.sound, self.failed) {
            (true, ..) => Exit::Integrity,
            (_, _, 0) => Exit::Done,
            (_, 0, _) => Exit::Failed,
            _ => Exit::Partly,
        }
    }
}
