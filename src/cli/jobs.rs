//! `callvault jobs`: what is not archived yet, why, and making it due again.

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::{Exit, Trouble, fetch, output};
use crate::app::index_path;
use crate::clock::Clock;
use crate::config::Settings;
use crate::model::access::Scope;
use crate::model::id::RecordingId;
use crate::pipeline::table;
use crate::store::jobs::{self, JobRow, Retried};
use crate::store::{Reader, Store};

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    act: Option<Act>,
    /// One object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Act {
    /// What is pending or failed
    List,
    /// Make recordings due at once, and give them a new window before they are given up
    Retry {
        /// Recordings, or calls or legs for all their recordings
        #[arg(value_name = "ID", required_unless_present = "all_failed")]
        ids: Vec<String>,
        /// Every recording that has failed
        #[arg(long, conflicts_with = "ids")]
        all_failed: bool,
    },
}

pub async fn run(arguments: Arguments, settings: &Settings) -> anyhow::Result<Exit> {
    let reader = super::reader(settings)?;
    match arguments.act.unwrap_or(Act::List) {
        Act::List => list(&reader, settings, arguments.json),
        Act::Retry { ids, all_failed } => {
            let ids = match all_failed {
                true => jobs::all_failed(&reader)?,
                false => {
                    let rows = fetch::named(&ids, &reader, "jobs retry")?;
                    rows.into_iter().map(|row| row.recording).collect()
                }
            };
            retry(settings, ids, arguments.json).await
        }
    }
}

/// An empty backlog is a success.
fn list(reader: &Reader, settings: &Settings, json: bool) -> anyhow::Result<Exit> {
    let rows = jobs::list(reader, &Scope::default(), None, None)?;
    if json {
        rows.iter().try_for_each(output::json)?;
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        eprintln!("nothing is pending or failed");
        return Ok(Exit::Done);
    }
    let head = [
        "RECORDING",
        "STATE",
        "CODE",
        "ATTEMPTS",
        "ANNOUNCED",
        "LOCAL TIME",
        "NEXT",
        "LOCAL TIME",
        "REASON",
    ];
    let cells = |row: &JobRow| {
        let zone = settings.zone(&row.recording.pbx);
        let local =
            |at: Option<&str>| output::or_dash(at.and_then(|at| output::local(at, zone.as_ref())));
        // Of who keeps it from being tried, only what that means is known for sure.
        let means = row.code.as_deref().and_then(table::explain);
        let means = means.map(|(means, _)| means);
        vec![
            row.recording.to_string(),
            row.state.clone(),
            output::or_dash(row.code.as_deref()),
            row.attempts.to_string(),
            row.announced_at.clone(),
            local(Some(&row.announced_at)),
            output::or_dash(row.next_at.as_deref()),
            local(row.next_at.as_deref()),
            output::or_dash(row.reason.as_deref().or(means)),
        ]
    };
    output::table(&head, &rows.iter().map(cells).collect::<Vec<_>>())?;
    Ok(Exit::Done)
}

async fn retry(settings: &Settings, ids: Vec<RecordingId>, json: bool) -> anyhow::Result<Exit> {
    if ids.is_empty() {
        eprintln!("nothing has failed that another try could help");
        return Ok(Exit::Done);
    }
    let store = Store::open(&index_path(settings))?;
    let (mut due, mut not) = (0usize, 0usize);
    for id in ids {
        let (asked, actor, now) = (id.clone(), super::actor(), Clock::system().now());
        let retried = store
            .write(move |tx| jobs::retry(tx, &asked, (&actor, None), now))
            .await?;
        let said = match retried {
            Retried::Due => "due at once",
            Retried::Running => "being worked on right now",
            Retried::Archived => "archived already",
            Retried::NeverFetched => "its URL is never requested, so no try can help",
            Retried::Unknown => "unknown",
        };
        let is_due = matches!(retried, Retried::Due | Retried::Running | Retried::Archived);
        due += usize::from(is_due);
        not += usize::from(!is_due);
        match json {
            true => {
                output::json(&serde_json::json!({ "recording": id, "said": said, "ok": is_due }))?
            }
            false => output::line(&format!("{id}  {said}"))?,
        }
    }
    match (due, not) {
        (_, 0) => Ok(Exit::Done),
        (0, _) => Err(Trouble {
            exit: Exit::Failed,
            error: anyhow!("nothing was made due"),
            advice: Some("callvault jobs, for the reasons".to_owned()),
        }
        .into()),
        _ => Ok(Exit::Partly),
    }
}
