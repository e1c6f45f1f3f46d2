//! `callvault verify`: objects read back, digests checked, originals rebuilt.

use anyhow::anyhow;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Exit, Trouble, fetch, output};
use crate::catalog;
use crate::catalog::verify::{ReadError, verify};
use crate::config::Settings;
use crate::model::chain::chain;
use crate::model::digest::Digest;
use crate::model::filter::Filter;
use crate::model::job::State;
use crate::objects::ObjectStore;
use crate::store::Reader;
use crate::store::search::RecordingRow;

/// A commit each would take longer than the reading.
const NOTED_TOGETHER: usize = 200;

#[derive(Args)]
pub struct Arguments {
    /// Recordings, or calls or legs for all their recordings
    #[arg(value_name = "ID", conflicts_with_all = ["all", "sample"])]
    ids: Vec<String>,
    /// Everything that is archived
    #[arg(long, conflicts_with = "sample")]
    all: bool,
    /// So many, drawn anew each day
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// One object a recording
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments, settings: &Settings) -> anyhow::Result<Exit> {
    let rows = chosen(&arguments, &super::reader(settings)?)?;
    if rows.is_empty() {
        eprintln!("nothing is archived yet");
        return Ok(Exit::Failed);
    }
    let store = ObjectStore::open(&settings.store).await;
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} {msg}")
        .expect("a fixed template is right");
    let bar = ProgressBar::new(rows.len() as u64).with_style(style);
    let (mut sound, mut broken, mut failed) = (0usize, 0usize, 0usize);
    let mut seen = Vec::new();
    for row in &rows {
        bar.set_message(row.recording.to_string());
        let verified = verify(&store, row).await.map(|_| ());
        match &verified {
            Ok(()) => {
                sound += 1;
                seen.push((row.recording.clone(), None));
            }
            Err(error) if error.is_integrity() => {
                broken += 1;
                seen.push((row.recording.clone(), Some(chain(error))));
            }
            Err(_) => failed += 1,
        }
        if seen.len() >= NOTED_TOGETHER {
            super::note_integrity(settings, std::mem::take(&mut seen)).await;
        }
        bar.suspend(|| print(row, &verified, arguments.json))?;
        bar.inc(1);
    }
    super::note_integrity(settings, seen).await;
    bar.finish_and_clear();
    eprintln!("{sound} sound, {broken} not what was archived, {failed} could not be read");
    Ok(match (broken, sound, failed) {
        (1.., ..) => Exit::Integrity,
        (0, _, 0) => Exit::Done,
        (0, 0, _) => Exit::Failed,
        _ => Exit::Partly,
    })
}

fn chosen(arguments: &Arguments, reader: &Reader) -> anyhow::Result<Vec<RecordingRow>> {
    if !arguments.ids.is_empty() {
        return fetch::named(&arguments.ids, reader, "verify");
    }
    if !arguments.all && arguments.sample.is_none() {
        let error = anyhow!("nothing was named to verify");
        return Err(Trouble::usage(
            error,
            "callvault verify ID, --sample 100 or --all",
        ));
    }
    let archived = Filter {
        state: Some(State::Archived),
        ..Filter::default()
    };
    let mut rows = catalog::recordings(reader, &archived)?;
    if let Some(sample) = arguments.sample {
        let day = crate::clock::Clock::system().now().0 / 86_400_000;
        let drawn = |row: &RecordingRow| Digest::of(format!("{day}/{}", row.recording).as_bytes());
        rows.sort_by_cached_key(drawn);
        rows.truncate(sample);
    }
    Ok(rows)
}

fn print(row: &RecordingRow, verified: &Result<(), ReadError>, json: bool) -> anyhow::Result<()> {
    let error = verified.as_ref().err().map(|error| chain(error));
    match json {
        true => output::json(&serde_json::json!({
            "recording": row.recording,
            "verified": verified.is_ok(),
            "error": error,
        })),
        false => match error {
            None => output::line(&format!("ok      {}", row.recording)),
            Some(error) => output::line(&format!("FAILED  {}", output::printable(&error))),
        },
    }
}
