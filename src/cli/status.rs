//! `callvault status`: how the archive stands, and whether a person must act.

use clap::Args;
use jiff::tz::TimeZone;

use super::{Exit, output};
use crate::catalog::status::{PbxStatus, Status, ago, counted, status};
use crate::clock::Clock;
use crate::config::Settings;

#[derive(Args)]
pub struct Arguments {
    /// One object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments, settings: &Settings) -> anyhow::Result<Exit> {
    let found = status(&*super::reader(settings)?, settings, Clock::system().now())?;
    match arguments.json {
        true => output::json(&found)?,
        false => print(&found, settings)?,
    }
    Ok(Exit::Done)
}

fn print(status: &Status, settings: &Settings) -> anyhow::Result<()> {
    let line = match status.act {
        true => format!("a person must act: {}", status.reasons.join("; ")),
        false => "all is well, nobody need act".to_owned(),
    };
    output::line(&output::printable(&line))?;
    output::line("")?;
    let head = [
        "PBX",
        "LAST EVENT",
        "LAST ARCHIVED",
        "PENDING",
        "FAILED",
        "BACKLOG BY STAGE",
        "OLDEST PENDING",
    ];
    output::table(&head, &status.pbxs.iter().map(cells).collect::<Vec<_>>())?;
    output::line("")?;
    output::line(&spool(status))?;
    for line in status.store.lines() {
        output::line(&output::printable(&line))?;
    }
    for away in &status.away {
        output::line(&output::printable(&away.line()))?;
    }
    if status.not_understood > 0 {
        let text = "their text is in the view events, as unknown or unparsed";
        output::line(&format!(
            "{} not understood: {text}",
            counted(status.not_understood, "event was", "events were")
        ))?;
    }
    for beside in &status.conflicts {
        output::line(&format!(
            "{beside}: its PBX has other content by now, kept under this name"
        ))?;
    }
    if status.unread_events > 0 {
        output::line(&format!(
            "{} logged and not read yet",
            counted(status.unread_events, "event is", "events are")
        ))?;
    }
    let zone = settings.common_zone();
    print_refused(status, zone.as_ref())?;
    print_gaps(status, zone.as_ref())
}

fn print_refused(status: &Status, zone: Option<&TimeZone>) -> anyhow::Result<()> {
    if !status.refused.is_empty() {
        output::line("")?;
        let rows = status.refused.iter().map(|refused| {
            let last = refused.last_at.to_string();
            vec![
                refused.reason.clone(),
                refused.peer.clone(),
                refused.count.to_string(),
                last.clone(),
                output::or_dash(output::local(&last, zone)),
            ]
        });
        output::table(
            &["REFUSED FOR", "PEER", "COUNT", "LAST", "LOCAL TIME"],
            &rows.collect::<Vec<_>>(),
        )?;
    }
    Ok(())
}

fn print_gaps(status: &Status, zone: Option<&TimeZone>) -> anyhow::Result<()> {
    if !status.gaps.is_empty() {
        output::line("")?;
        let rows = status.gaps.iter().map(|gap| {
            let length = ago(gap.duration_s as i64);
            vec![
                output::with_local(Some(&gap.started_at), zone),
                output::with_local(Some(&gap.ended_at), zone),
                length,
            ]
        });
        output::table(
            &["NOT RUNNING FROM", "TO", "FOR"],
            &rows.collect::<Vec<_>>(),
        )?;
    }
    Ok(())
}

fn cells(pbx: &PbxStatus) -> Vec<String> {
    let age = |age_s: Option<i64>| match age_s {
        Some(age_s) => format!("{} ago", ago(age_s)),
        None => "never".to_owned(),
    };
    let backlog: Vec<String> = pbx
        .backlog
        .iter()
        .map(|(stage, count)| format!("{stage} {count}"))
        .collect();
    let expires = pbx.oldest_pending_expires_in_s.map(|left_s| match left_s {
        0.. => format!("expires on the PBX in {}", ago(left_s)),
        _ => format!("expired on the PBX {} ago", ago(-left_s)),
    });
    vec![
        pbx.pbx.to_string(),
        age(pbx.last_event_age_s),
        age(pbx.last_archived_age_s),
        pbx.pending.to_string(),
        pbx.failed.to_string(),
        output::or_dash((!backlog.is_empty()).then(|| backlog.join(", "))),
        output::or_dash(expires),
    ]
}

fn spool(status: &Status) -> String {
    let size = |bytes: u64| bytesize::ByteSize(bytes).display().iec().to_string();
    let spool = &status.spool;
    let Some(free) = spool.free_bytes else {
        return "spool: its room is not known".to_owned();
    };
    let room = free.saturating_sub(spool.reserve_bytes);
    let forecast = match spool.room_for_s.and_then(|s| i64::try_from(s).ok()) {
        Some(seconds) if seconds < 3650 * 86_400 => {
            format!(
                ", enough for {} of recordings if the store were away",
                ago(seconds)
            )
        }
        _ => String::new(),
    };
    format!(
        "spool: {} free beyond a reserve of {}{forecast}",
        size(room),
        size(spool.reserve_bytes)
    )
}
