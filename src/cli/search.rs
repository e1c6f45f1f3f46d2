//! `callvault search`.

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Exit, output};
use crate::catalog::{self, Found};
use crate::config::Settings;
use crate::model::call::{Call, Outcome};
use crate::model::event::Direction;
use crate::model::filter::{Filter, Place};
use crate::model::id::{CallName, PbxName};
use crate::model::job::State;
use crate::model::time::{Moment, Seconds, Started, clock_text};
use crate::store::search::RecordingRow;
use crate::store::{Db, Error, Reader};

/// What recordings and calls are chosen by.
#[derive(Args, Default)]
pub struct Filters {
    /// External number: with or without prefix, at least 6 digits from its end; * is a wildcard,
    /// *553* finds a piece
    #[arg(long, value_name = "N")]
    pub number: Option<String>,
    /// Extension of the leg
    #[arg(long, value_name = "E")]
    pub extension: Option<String>,
    /// Name of the inbound rule
    #[arg(long, value_name = "D")]
    pub did: Option<String>,
    /// PBX, as the settings name it
    #[arg(long, value_name = "P")]
    pub pbx: Option<PbxName>,
    #[arg(long, value_enum)]
    pub direction: Option<Way>,
    /// Started at or after: 2023-03-07 or 2023-03-07T14:00 in the PBX's time, or with Z or offset
    #[arg(long, value_name = "T")]
    pub from: Option<Moment>,
    /// Started before (this moment itself is out)
    #[arg(long, value_name = "T")]
    pub to: Option<Moment>,
    /// pending, archived or failed
    #[arg(long, value_name = "S", value_parser = state)]
    pub state: Option<State>,
    /// answered or missed
    #[arg(long, value_name = "O", value_parser = outcome)]
    pub outcome: Option<Outcome>,
    /// At least so long: 90, 90s, 1m30s; of a call any leg
    #[arg(long, value_name = "L")]
    pub min_duration: Option<Seconds>,
    /// At most so long
    #[arg(long, value_name = "L")]
    pub max_duration: Option<Seconds>,
    /// Call id
    #[arg(long, value_name = "C")]
    pub call: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Way {
    #[value(alias = "incoming")]
    In,
    #[value(alias = "outgoing")]
    Out,
    Internal,
}

fn state(text: &str) -> Result<State, String> {
    let known = "expected pending, archived or failed";
    State::from_word(text).ok_or_else(|| known.to_owned())
}

fn outcome(text: &str) -> Result<Outcome, String> {
    Outcome::from_word(text).ok_or_else(|| "expected answered or missed".to_owned())
}

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    filters: Filters,
    /// List calls, missed ones too
    #[arg(long)]
    calls: bool,
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

impl Arguments {
    fn form(&self) -> Form {
        match (self.csv, self.json) {
            (true, _) => Form::Csv,
            (_, true) => Form::Json,
            _ => Form::Table,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Table,
    Csv,
    Json,
}

impl Filters {
    /// What was asked for, for custody.
    pub fn in_words(&self) -> String {
        let text = |value: Option<&dyn std::fmt::Display>| value.map(|value| value.to_string());
        let asked = [
            ("number", self.number.clone()),
            ("extension", self.extension.clone()),
            ("did", self.did.clone()),
            ("pbx", text(self.pbx.as_ref().map(|pbx| pbx as _))),
            (
                "direction",
                self.direction.map(|way| format!("{way:?}").to_lowercase()),
            ),
            ("from", text(self.from.as_ref().map(|moment| moment as _))),
            ("to", text(self.to.as_ref().map(|moment| moment as _))),
            ("state", text(self.state.as_ref().map(|state| state as _))),
            (
                "outcome",
                text(self.outcome.as_ref().map(|outcome| outcome as _)),
            ),
            ("call", self.call.clone()),
            (
                "min_duration",
                text(self.min_duration.as_ref().map(|seconds| seconds as _)),
            ),
            (
                "max_duration",
                text(self.max_duration.as_ref().map(|seconds| seconds as _)),
            ),
        ];
        let asked = asked
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        serde_json::json!(asked.collect::<std::collections::BTreeMap<_, _>>()).to_string()
    }

    /// Whether anything was asked for.
    pub fn any(&self) -> bool {
        self.filter(None)
            .is_ok_and(|filter| filter != Filter::default())
    }

    /// The same, refusing a call id that several PBXs have.
    pub fn filter_at(&self, reader: &Reader, limit: Option<u32>) -> anyhow::Result<Filter> {
        let filter = self.filter(limit)?;
        if let (Some(call), None) = (&filter.call, &filter.pbx)
            && let Found::Ambiguous(ids) = catalog::find(reader, call.as_str())?
        {
            return Err(super::show::ambiguous(call.as_str(), &ids, "search --call"));
        }
        Ok(filter)
    }

    fn filter(&self, limit: Option<u32>) -> anyhow::Result<Filter> {
        // A call may have its PBX before it.
        let (mut pbx, mut call) = (self.pbx.clone(), None);
        if let Some(text) = &self.call {
            let (before, name) = text.split_once('/').unzip();
            if let Some(before) = before {
                pbx = Some(before.parse::<PbxName>().map_err(bad_call)?);
            }
            call = Some(name.unwrap_or(text).parse::<CallName>().map_err(bad_call)?);
        }
        Ok(Filter {
            number: self.number.clone(),
            extension: self.extension.clone(),
            did: self.did.clone(),
            pbx,
            direction: self.direction.map(|way| match way {
                Way::In => Direction::Incoming,
                Way::Out => Direction::Outgoing,
                Way::Internal => Direction::Internal,
            }),
            from: self.from,
            to: self.to,
            state: self.state,
            outcome: self.outcome,
            min_duration: self.min_duration,
            max_duration: self.max_duration,
            call,
            limit,
            ..Filter::default()
        })
    }
}

fn bad_call(error: crate::model::id::BadId) -> anyhow::Error {
    super::Trouble::usage(
        error,
        "--call 230307142318_40, or with its PBX: hq/230307142318_40",
    )
}

pub async fn run(arguments: Arguments, settings: &Settings) -> anyhow::Result<Exit> {
    // A question that makes no sense is said to, also where there is no index yet.
    arguments.filters.filter(None)?;
    let reader = &super::reader(settings)?;
    let filter = arguments.filters.filter_at(reader, arguments.limit)?;
    let what = if arguments.calls {
        "calls"
    } else {
        "recordings"
    };
    let entry = super::act("searched", what).detail(arguments.filters.in_words());
    super::enter(settings, vec![entry]).await?;
    let found = match (arguments.calls, arguments.form()) {
        (true, Form::Table) => {
            let calls = catalog::calls(reader, &filter)?;
            print_calls(&calls)?;
            calls.len()
        }
        (false, Form::Table) => {
            let rows = catalog::recordings(reader, &filter)?;
            print_recordings(&rows)?;
            rows.len()
        }
        (true, form) => stream(reader, &filter, form, catalog::calls, Call::place)?,
        (false, form) => stream(
            reader,
            &filter,
            form,
            catalog::recordings,
            RecordingRow::place,
        )?,
    };
    Ok(if found == 0 { Exit::Failed } else { Exit::Done })
}

/// For programs: as it is read, however much it is.
fn stream<T: Serialize + JsonSchema>(
    reader: &Reader,
    filter: &Filter,
    form: Form,
    list: fn(&Db, &Filter) -> Result<Vec<T>, Error>,
    place: fn(&T) -> Place,
) -> anyhow::Result<usize> {
    let mut found = 0;
    catalog::in_pieces(reader, filter, list, place, |rows| {
        match form {
            Form::Csv => output::csv(rows, found == 0)?,
            _ => rows.iter().try_for_each(output::json)?,
        }
        found += rows.len();
        anyhow::Ok(())
    })?;
    Ok(found)
}

fn print_recordings(rows: &[RecordingRow]) -> anyhow::Result<()> {
    if rows.is_empty() {
        eprintln!("no recording fits");
        return Ok(());
    }
    let head = [
        "STARTED",
        "LOCAL TIME",
        "DIRECTION",
        "EXTERNAL",
        "EXT",
        "LENGTH",
        "TRANSFER",
        "STATE",
        "FLAGS",
        "RECORDING",
    ];
    let cells = |row: &RecordingRow| {
        let length = row
            .duration_s
            .map(u64::from)
            .or(row.media_duration_s.map(|s| s as u64));
        vec![
            output::or_dash(row.started_at.as_deref()),
            output::or_dash(row.started_at_local.as_deref().map(short_local)),
            output::or_dash(row.direction.as_deref()),
            output::or_dash(row.external.as_deref()),
            output::or_dash(row.extension.as_deref()),
            output::or_dash(length.map(clock_text)),
            output::or_dash(transfer(
                row.transfer.as_deref(),
                row.transferred_to.as_deref(),
            )),
            row.state.clone(),
            output::or_dash((!row.flags.is_empty()).then(|| row.flags.join(","))),
            row.recording.to_string(),
        ]
    };
    output::table(&head, &rows.iter().map(cells).collect::<Vec<_>>())
}

fn print_calls(calls: &[Call]) -> anyhow::Result<()> {
    if calls.is_empty() {
        eprintln!("no call fits");
        return Ok(());
    }
    let head = [
        "STARTED",
        "LOCAL TIME",
        "DIRECTION",
        "EXTERNAL",
        "OUTCOME",
        "LEGS",
        "RANG",
        "CALL",
    ];
    let cells = |call: &Call| {
        let started = call.started.as_ref();
        let local = started.map(Started::local_text);
        vec![
            output::or_dash(started.map(|started| started.utc.to_seconds())),
            output::or_dash(local.as_deref().map(short_local)),
            output::or_dash(call.direction),
            output::or_dash(call.external.as_deref()),
            output::or_dash(call.outcome),
            output::or_dash(legs(call)),
            output::or_dash((!call.ring_path.is_empty()).then(|| call.ring_path.join(" "))),
            call.id.to_string(),
        ]
    };
    output::table(&head, &calls.iter().map(cells).collect::<Vec<_>>())
}

/// `117 ⇢ 204`
pub fn legs(call: &Call) -> Option<String> {
    let shown = call
        .legs
        .iter()
        .map(|leg| output::or_dash(leg.extension.as_deref()));
    let shown: Vec<String> = shown.collect();
    (!shown.is_empty()).then(|| shown.join(" ⇢ "))
}

/// `attended → 204`
pub fn transfer(how: Option<&str>, to: Option<&str>) -> Option<String> {
    let how = how?;
    Some(match to {
        Some(to) => format!("{how} → {to}"),
        None => how.to_owned(),
    })
}

/// `2023-03-07 14:23:18`: the column says that it is local.
pub fn short_local(local: &str) -> String {
    local.get(..19).unwrap_or(local).replace('T', " ")
}
