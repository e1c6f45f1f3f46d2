//! How the archive stands, and whether a person must act.
//!
//! Green means that recordings arrive, not that a process runs: a PBX that sends nothing, a backlog
//! that grows old and deliveries that are turned away are all said.

mod absent;
mod facts;
mod reasons;

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

pub use absent::AwayStatus;
pub use facts::{StoreFact, StoreStatus};

use crate::config::{Pbx, Settings};
use crate::model::id::PbxName;
use crate::model::time::{UtcMs, day_start};
use crate::spool::Spool;
use crate::store::away;
use crate::store::comparison;
use crate::store::heartbeat;
use crate::store::integrity;
use crate::store::probe;
use crate::store::series::{self, Since};
use crate::store::status::{self, Flow, Gap, Refused};
use crate::store::{Db, Error};

use reasons::{
    reason_of_conflicts, reason_of_damage, reason_of_refusals, reason_of_silence, reasons_of,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A PBX that sent nothing for so long is asked about.
const SILENCE_MAX: Duration = DAY;
/// How far back gaps and conflicts are told.
const TOLD_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
#[derive(Debug, Serialize, JsonSchema)]
pub struct Status {
    #[schemars(with = "String")]
    pub at: UtcMs,
    /// Whether a person must act, and why, in words.
    pub act: bool,
    pub reasons: Vec<String>,
    /// When the service was last known to run.
    #[schemars(with = "Option<String>")]
    pub running_at: Option<UtcMs>,
    pub pbxs: Vec<PbxStatus>,
    pub store: StoreStatus,
    pub spool: SpoolStatus,
    /// Whom recordings wait for at this time.
    pub away: Vec<AwayStatus>,
    pub refused: Vec<Refused>,
    pub not_understood: u64,
    pub unread_events: u64,
    pub gaps: Vec<Gap>,
    /// Recordings whose PBX has had other content under an archived name, found this week.
    pub conflicts: Vec<String>,
}

/// Ages in seconds; unknown is null.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PbxStatus {
    #[schemars(with = "String")]
    pub pbx: PbxName,
    /// Whether a person must act because of this PBX.
    pub act: bool,
    #[schemars(with = "Option<String>")]
    pub last_event_at: Option<UtcMs>,
    pub last_event_age_s: Option<i64>,
    /// It has sent nothing for a day, or never.
    pub silent: bool,
    pub today: Today,
    #[schemars(with = "Option<String>")]
    pub last_archived_at: Option<UtcMs>,
    pub last_archived_age_s: Option<i64>,
    pub pending: u64,
    pub failed: u64,
    /// Pending by stage: `new`, `running`, or where the last attempt failed.
    pub backlog: BTreeMap<String, u64>,
    #[schemars(with = "Option<String>")]
    pub oldest_pending_at: Option<UtcMs>,
    /// When the PBX deletes it.
    #[schemars(with = "Option<String>")]
    pub oldest_pending_expires_at: Option<UtcMs>,
    pub oldest_pending_expires_in_s: Option<i64>,
}

/// Of the day that it is at the PBX.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Today {
    pub day: String,
    /// That the PBX sent.
    pub events: u64,
    /// That began.
    pub calls: u64,
    /// That were announced.
    pub recordings: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct SpoolStatus {
    pub free_bytes: Option<u64>,
    pub reserve_bytes: u64,
    /// Announced and downloaded within the last day.
    pub bytes_a_day: u64,
    /// How long there is room at that rate if nothing could be uploaded; null where nothing comes.
    pub room_for_s: Option<u64>,
}

pub fn status(db: &Db, settings: &Settings, now: UtcMs) -> Result<Status, Error> {
    let running_at = heartbeat::last(db)?;
    let mut reasons: Vec<String> = reason_of_silence(running_at, now).into_iter().collect();
    let mut pbxs = Vec::new();
    let this_week = UtcMs(now.0.saturating_sub(TOLD_FOR.as_millis() as i64));
    for pbx in &settings.pbxs {
        let flow = status::flow(db, &pbx.name, this_week)?;
        let mut shown = shown(
            &pbx.name,
            &flow,
            pbx.source_keeps,
            today(db, pbx, now)?,
            now,
        );
        let own = reasons_of(&shown, &flow, now);
        shown.act = !own.is_empty();
        reasons.extend(own);
        pbxs.push(shown);
    }
    let known: Vec<&PbxName> = settings.pbxs.iter().map(|pbx| &pbx.name).collect();
    for (pbx, count) in status::orphaned(db, &known)? {
        let wait = counted(
            count,
            "recording or event waits",
            "recordings and events wait",
        );
        reasons.push(format!("{wait} for {pbx}, which the settings do not name"));
    }
    let refused = status::refused(db)?;
    reasons.extend(reason_of_refusals(&refused, now));
    let known = probe::facts(db)?;
    reasons.extend(known.iter().filter_map(|known| facts::reason(&known.fact)));
    let spool = spool(db, settings, now)?;
    if spool
        .free_bytes
        .is_some_and(|free| free < spool.reserve_bytes)
    {
        reasons.push("the spool's disk is full up to its reserve".to_owned());
    }
    let conflicts = comparison::conflicts(db, this_week)?;
    reasons.extend(reason_of_conflicts(conflicts.len() as u64));
    reasons.extend(reason_of_damage(&integrity::mismatches(db)?));
    Ok(Status {
        at: now,
        act: !reasons.is_empty(),
        reasons,
        running_at,
        pbxs,
        store: StoreStatus {
            facts: known.into_iter().map(facts::shown).collect(),
        },
        spool,
        away: away::all_seen(db)?
            .into_iter()
            .map(|seen| AwayStatus::of(seen, settings, now))
            .collect(),
        refused,
        not_understood: status::not_understood(db)?,
        unread_events: status::unread(db)?,
        gaps: status::gaps(db, this_week)?,
        conflicts,
    })
}

fn today(db: &Db, pbx: &Pbx, now: UtcMs) -> Result<Today, Error> {
    let day = now.local(&pbx.timezone).date();
    let Since {
        events,
        calls,
        recordings,
    } = series::since(db, &pbx.name, day_start(day, &pbx.timezone))?;
    Ok(Today {
        day: day.to_string(),
        events,
        calls,
        recordings,
    })
}

fn shown(
    pbx: &PbxName,
    flow: &Flow,
    source_keeps: Duration,
    today: Today,
    now: UtcMs,
) -> PbxStatus {
    let age_s = |then: Option<UtcMs>| then.map(|then| (now.0 - then.0).max(0) / 1000);
    let expires = flow
        .oldest_pending
        .map(|announced| announced.plus(source_keeps));
    let silent_s = age_s(flow.last_event);
    PbxStatus {
        pbx: pbx.clone(),
        act: false,
        last_event_at: flow.last_event,
        last_event_age_s: silent_s,
        silent: silent_s.is_none_or(|age_s| age_s > SILENCE_MAX.as_secs() as i64),
        today,
        last_archived_at: flow.last_archived,
        last_archived_age_s: age_s(flow.last_archived),
        pending: flow.backlog.iter().map(|(_, count)| count).sum(),
        failed: flow.failed,
        backlog: flow.backlog.iter().cloned().collect(),
        oldest_pending_at: flow.oldest_pending,
        oldest_pending_expires_at: expires,
        oldest_pending_expires_in_s: expires.map(|expires| (expires.0 - now.0) / 1000),
    }
}

fn spool(db: &Db, settings: &Settings, now: UtcMs) -> Result<SpoolStatus, Error> {
    let reserve_bytes = settings.archive.spool_reserve_bytes;
    let free_bytes = Spool::free_bytes(&settings.data_dir).ok();
    let bytes_a_day = status::downloaded_bytes(db, UtcMs(now.0 - DAY.as_millis() as i64))?;
    let room = free_bytes.map(|free| free.saturating_sub(reserve_bytes));
    let room_for_s = room.and_then(|room| {
        let seconds = u128::from(room) * u128::from(DAY.as_secs());
        u64::try_from(seconds.checked_div(u128::from(bytes_a_day))?).ok()
    });
    Ok(SpoolStatus {
        free_bytes,
        reserve_bytes,
        bytes_a_day,
        room_for_s,
    })
}

/// `1 event`, `2 events`
pub fn counted(count: u64, one: &str, many: &str) -> String {
    let what = if count == 1 { one } else { many };
    format!("{count} {what}")
}

/// `2 d`, `5 h`, `3 min`, `12 s`
pub fn ago(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}
