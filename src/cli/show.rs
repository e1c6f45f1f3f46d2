//! `callvault show`.

use anyhow::anyhow;
use clap::Args;
use jiff::tz::TimeZone;

use super::search::{legs, short_local, transfer};
use super::{Exit, Trouble, output};
use crate::catalog::{self, CallDetail, Found, RecordingDetail};
use crate::config::Settings;
use crate::model::call::Call;
use crate::model::time::{Started, clock_text};
use crate::store::custody::CustodyRow;
use crate::store::events::EventRow;
use crate::store::search::AttemptRow;

#[derive(Args)]
pub struct Arguments {
    /// A call (230307142318_40) or a recording (hq/230307142318_40-2-1), with or without its PBX
    id: String,
    /// One object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments, settings: &Settings) -> anyhow::Result<Exit> {
    let reader = &super::reader(settings)?;
    match catalog::find(reader, &arguments.id)? {
        Found::Call(id, _) => {
            let Some(call) = catalog::call(reader, &id)? else {
                return Err(nothing(&arguments.id));
            };
            match arguments.json {
                true => output::json(&call)?,
                false => print_call(&call, settings.zone(&id.pbx).as_ref())?,
            }
        }
        Found::Recording(id) => {
            let Some(recording) = catalog::recording(reader, &id)? else {
                return Err(nothing(&arguments.id));
            };
            match arguments.json {
                true => output::json(&recording)?,
                false => print_recording(&recording, settings.zone(&id.pbx).as_ref())?,
            }
        }
        Found::Nothing => return Err(nothing(&arguments.id)),
        Found::Ambiguous(ids) => return Err(ambiguous(&arguments.id, &ids, "show")),
    }
    Ok(Exit::Done)
}

pub fn nothing(id: &str) -> anyhow::Error {
    let trouble = Trouble {
        exit: Exit::Failed,
        error: anyhow!("nothing is known of {id:?}: neither a call nor a recording has this id"),
        advice: Some("callvault search".to_owned()),
    };
    trouble.into()
}

pub fn ambiguous(id: &str, ids: &[String], verb: &str) -> anyhow::Error {
    // What it cannot do without.
    let more = if verb == "fetch" { " -o DIR" } else { "" };
    let advice = format!("callvault {verb} {}{more}", ids[0]);
    Trouble::usage(
        anyhow!("{id} is ambiguous: it may be {}", ids.join(" or ")),
        advice,
    )
}

fn print_call(detail: &CallDetail, zone: Option<&TimeZone>) -> anyhow::Result<()> {
    let call = &detail.call;
    let started = call.started.as_ref();
    let mut facts = vec![
        ("call", call.id.to_string()),
        (
            "started",
            output::or_dash(started.map(|s| s.utc.to_seconds())),
        ),
        (
            "local time",
            output::or_dash(started.map(Started::local_text)),
        ),
        ("direction", output::or_dash(call.direction)),
        ("external", output::or_dash(call.external.as_deref())),
        ("did", output::or_dash(call.did.as_deref())),
        ("outcome", output::or_dash(call.outcome)),
        (
            "rang",
            output::or_dash((!call.ring_path.is_empty()).then(|| call.ring_path.join(" "))),
        ),
        ("legs", output::or_dash(legs(call))),
    ];
    if started.is_some_and(|started| started.ambiguous) {
        facts.push((
            "note",
            "the hour is ambiguous: the clock showed it twice that night".into(),
        ));
    }
    print_facts(&facts)?;
    if !call.legs.is_empty() {
        print_legs(call, zone)?;
    }
    print_events(&detail.events, zone)
}

fn print_legs(call: &Call, zone: Option<&TimeZone>) -> anyhow::Result<()> {
    output::line("")?;
    let head = [
        "LEG",
        "EXT",
        "ANSWERED",
        "LOCAL TIME",
        "ENDED",
        "LOCAL TIME",
        "LENGTH",
        "TRANSFER",
        "FINISH",
        "RECORDINGS",
    ];
    let rows = call.legs.iter().map(|leg| {
        let recordings: Vec<String> = leg
            .recordings
            .iter()
            .map(|name| format!("{}/{name}", call.id.pbx))
            .collect();
        let how = leg.transfer.map(|how| how.as_str());
        vec![
            leg.leg.to_string(),
            output::or_dash(leg.extension.as_deref()),
            output::or_dash(leg.answered),
            output::or_dash(leg.answered.zip(zone).map(|(at, zone)| at.wall_clock(zone))),
            output::or_dash(leg.ended),
            output::or_dash(leg.ended.zip(zone).map(|(at, zone)| at.wall_clock(zone))),
            output::or_dash(leg.duration_s.map(|s| clock_text(s.into()))),
            output::or_dash(transfer(how, leg.transferred_to.as_deref())),
            output::or_dash(leg.finish),
            output::or_dash((!recordings.is_empty()).then(|| recordings.join(" "))),
        ]
    });
    output::table(&head, &rows.collect::<Vec<_>>())
}

fn print_events(events: &[EventRow], zone: Option<&TimeZone>) -> anyhow::Result<()> {
    output::line("")?;
    let rows = events.iter().map(|event| {
        let same = event.duplicate_of.map(|seq| format!("same as {seq}"));
        let note = event.repaired.then(|| "repaired".to_owned()).or(same);
        vec![
            event.seq.to_string(),
            event.received_at.clone(),
            output::or_dash(output::local(&event.received_at, zone)),
            output::or_dash(event.kind.as_deref()),
            note.unwrap_or_default(),
        ]
    });
    output::table(
        &["EVENT", "RECEIVED", "LOCAL TIME", "KIND", ""],
        &rows.collect::<Vec<_>>(),
    )
}

fn print_recording(detail: &RecordingDetail, zone: Option<&TimeZone>) -> anyhow::Result<()> {
    let row = &detail.row;
    let call = row.call.as_ref().map(|call| format!("{}/{call}", row.pbx));
    let seconds = |s: f64| format!("{s:.3} s");
    print_facts(&[
        ("recording", row.recording.to_string()),
        ("state", row.state.clone()),
        ("reason", output::or_dash(row.last_error.as_deref())),
        ("next try", output::with_local(row.next_at.as_deref(), zone)),
        ("call", output::or_dash(call)),
        ("leg", output::or_dash(row.leg)),
        ("started", output::or_dash(row.started_at.as_deref())),
        (
            "local time",
            output::or_dash(row.started_at_local.as_deref().map(short_local)),
        ),
        ("direction", output::or_dash(row.direction.as_deref())),
        ("external", output::or_dash(row.external.as_deref())),
        ("extension", output::or_dash(row.extension.as_deref())),
        ("did", output::or_dash(row.did.as_deref())),
        (
            "length",
            output::or_dash(row.duration_s.map(|s| clock_text(s.into()))),
        ),
        ("audio", output::or_dash(row.media_duration_s.map(seconds))),
        (
            "transfer",
            output::or_dash(transfer(
                row.transfer.as_deref(),
                row.transferred_to.as_deref(),
            )),
        ),
        (
            "flags",
            output::or_dash((!row.flags.is_empty()).then(|| row.flags.join(", "))),
        ),
        ("key", output::or_dash(row.object_key.as_deref())),
        ("bytes", output::or_dash(row.bytes)),
        (
            "original SHA-256",
            output::or_dash(row.original_sha256.as_deref()),
        ),
        (
            "object SHA-256",
            output::or_dash(row.object_sha256.as_deref()),
        ),
        (
            "announced",
            output::with_local(Some(&row.announced_at), zone),
        ),
        (
            "archived",
            output::with_local(row.archived_at.as_deref(), zone),
        ),
        ("locked", output::or_dash(row.lock_text())),
        ("source", row.source_url.clone()),
    ])?;
    if !detail.history.is_empty() {
        print_attempts(&detail.history, zone)?;
    }
    print_custody(&detail.custody, zone)
}

fn print_attempts(attempts: &[AttemptRow], zone: Option<&TimeZone>) -> anyhow::Result<()> {
    output::line("")?;
    let rows = attempts.iter().map(|attempt| {
        vec![
            attempt.attempt.to_string(),
            attempt.started_at.clone(),
            output::or_dash(output::local(&attempt.started_at, zone)),
            output::or_dash(attempt.ended_at.as_deref()),
            output::or_dash(
                attempt
                    .ended_at
                    .as_deref()
                    .and_then(|at| output::local(at, zone)),
            ),
            output::or_dash(attempt.stage.as_deref()),
            attempt.code.clone().unwrap_or_else(|| "ok".to_owned()),
            attempt.error.clone().unwrap_or_default(),
        ]
    });
    let head = [
        "ATTEMPT",
        "STARTED",
        "LOCAL TIME",
        "ENDED",
        "LOCAL TIME",
        "STAGE",
        "CODE",
        "ERROR",
    ];
    output::table(&head, &rows.collect::<Vec<_>>())
}

fn print_custody(entries: &[CustodyRow], zone: Option<&TimeZone>) -> anyhow::Result<()> {
    output::line("")?;
    let rows = entries.iter().map(|entry| {
        vec![
            entry.at.clone(),
            output::or_dash(output::local(&entry.at, zone)),
            entry.actor.clone(),
            entry.act.clone(),
            entry.detail.clone().unwrap_or_default(),
        ]
    });
    output::table(
        &["CUSTODY", "LOCAL TIME", "ACTOR", "ACT", "DETAIL"],
        &rows.collect::<Vec<_>>(),
    )
}

fn print_facts(facts: &[(&str, String)]) -> anyhow::Result<()> {
    facts.iter().try_for_each(|(name, value)| {
        output::line(&format!("{name:<17} {}", output::printable(value)))
    })
}
