//! `callvault custody`: who did what to which recording, and whether the chain is whole.

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::{Exit, Trouble, output, show};
use crate::catalog::status::counted;
use crate::catalog::{self, Found};
use crate::config::Settings;
use crate::model::time::Moment;
use crate::store::Reader;
use crate::store::custody::{self, Broken, CustodyRow, Filter};

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Entries, newest first
    List(List),
    /// Walk the whole chain; exit 65 where it is broken
    Verify,
}

#[derive(Args)]
struct List {
    /// Who: callvault, "os user root", a token's person
    #[arg(long, value_name = "A")]
    actor: Option<String>,
    /// Recording: hq/230307142318_40-2-1; the PBX may be left out where one has it
    #[arg(long, value_name = "R")]
    recording: Option<String>,
    /// What was done: archived, listened, fetched, searched, denied …
    #[arg(long, value_name = "ACT")]
    act: Option<String>,
    /// At or after, UTC: 2023-03-07, 2023-03-07T14:00 or 2023-03-07T13:00:00Z
    #[arg(long, value_name = "T")]
    from: Option<Moment>,
    /// Before
    #[arg(long, value_name = "T")]
    to: Option<Moment>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Comma-separated values with a head line
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// One object a line
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments, settings: &Settings) -> anyhow::Result<Exit> {
    let reader = super::reader(settings)?;
    match arguments.act {
        Act::List(list) => print(list, &reader, settings),
        Act::Verify => verify(&reader),
    }
}

fn print(list: List, reader: &Reader, settings: &Settings) -> anyhow::Result<Exit> {
    let subject = list.recording.map(|text| recording(reader, &text));
    let subject = subject.transpose()?;
    let rows = custody::list(
        reader,
        &Filter {
            actor: list.actor,
            subject,
            act: list.act,
            from: list.from.map(Moment::as_utc),
            to: list.to.map(Moment::as_utc),
            before: None,
            limit: list.limit,
        },
    )?;
    match (list.csv, list.json) {
        (true, _) => output::csv(&rows, true)?,
        (_, true) => rows.iter().try_for_each(output::json)?,
        _ if rows.is_empty() => eprintln!("no entry fits"),
        _ => table(&rows, settings)?,
    }
    Ok(if rows.is_empty() {
        Exit::Failed
    } else {
        Exit::Done
    })
}

/// The whole id of a recording: a part of it would read as if nobody had touched it.
fn recording(reader: &Reader, text: &str) -> anyhow::Result<String> {
    match catalog::find(reader, text)? {
        Found::Recording(id) => Ok(id.to_string()),
        Found::Ambiguous(ids) => Err(show::ambiguous(text, &ids, "custody list --recording")),
        Found::Call(id, _) => {
            let error = anyhow!("{id} is a call, and entries are of recordings");
            Err(Trouble::usage(error, format!("callvault show {id}")))
        }
        Found::Nothing => Err(show::nothing(text)),
    }
}

/// The local time is that of the PBX whose recording or call it is of, or of all PBXs.
fn table(rows: &[CustodyRow], settings: &Settings) -> anyhow::Result<()> {
    let head = [
        "SEQ",
        "AT",
        "LOCAL TIME",
        "ACTOR",
        "ADDRESS",
        "ACT",
        "SUBJECT",
        "REASON",
        "CASE",
        "DETAIL",
    ];
    let common = settings.common_zone();
    let cells = |row: &CustodyRow| {
        let pbx = row
            .subject
            .split_once('/')
            .and_then(|(pbx, _)| pbx.parse().ok());
        let zone = pbx
            .and_then(|pbx| settings.zone(&pbx))
            .or_else(|| common.clone());
        vec![
            row.seq.to_string(),
            row.at.clone(),
            output::or_dash(output::local(&row.at, zone.as_ref())),
            row.actor.clone(),
            output::or_dash(row.address.as_deref()),
            row.act.clone(),
            row.subject.clone(),
            output::or_dash(row.reason.as_deref()),
            output::or_dash(row.case.as_deref()),
            row.detail.clone().unwrap_or_default(),
        ]
    };
    output::table(&head, &rows.iter().map(cells).collect::<Vec<_>>())
}

fn verify(reader: &Reader) -> anyhow::Result<Exit> {
    match custody::verify(reader)? {
        Ok(entries) => {
            output::line(&format!(
                "{}, each after the one before, none changed",
                counted(entries, "entry", "entries")
            ))?;
            Ok(Exit::Done)
        }
        Err(broken) => {
            let text = match broken {
                Broken::Missing { seq } => format!("entry {seq} is missing"),
                Broken::NotAfter { seq } => {
                    format!("entry {seq} does not follow the one before it")
                }
                Broken::Changed { seq } => format!("entry {seq} was changed"),
            };
            output::line(&format!("FAILED  {text}"))?;
            Ok(Exit::Integrity)
        }
    }
}
