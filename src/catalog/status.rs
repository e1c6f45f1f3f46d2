//! How the archive stands, and whether a person must act.
//!
//! Green means that recordings arrive, not that a process runs: a PBX that sends nothing, a backlog
//! that grows old and deliveries that are turned away are all said.

mod facts;

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

pub use facts::{StoreFact, StoreStatus};

use crate::config::{Pbx, Settings};
use crate::model::id::PbxName;
use crate::model::time::{UtcMs, day_start};
use crate::spool::Spool;
use crate::store::comparison;
use crate::store::integrity;
use crate::store::probe;
use crate::store::series::{self, Since};
use crate::store::status::{self, Flow, Gap, Refused};
use crate::store::{Db, Error};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A PBX that sent nothing for so long is asked about.
const SILENCE_MAX: Duration = DAY;
/// A recording that the PBX will delete within this time is asked about.
const EXPIRY_MIN: Duration = Duration::from_secs(2 * 24 * 3600);
/// How far back gaps and conflicts are told.
const TOLD_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// Codes that no waiting mends.
const FOR_A_PERSON: [&str; 13] = [
    "pbx_login",
    "pbx_tls",
    "pbx_not_configured",
    "store_refused",
    "store_no_bucket",
    "store_unsent",
    "store_full",
    "store_permission",
    "store_clock_skew",
    "spool_full",
    "lock_not_enforced",
    "lock_not_tried",
    "lock_not_kept",
];

#[derive(Debug, Serialize, JsonSchema)]
pub struct Status {
    #[schemars(with = "String")]
    pub at: UtcMs,
    /// Whether a person must act, and why, in words.
    pub act: bool,
    pub reasons: Vec<String>,
    pub pbxs: Vec<PbxStatus>,
    pub store: StoreStatus,
    pub spool: SpoolStatus,
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
    let (mut pbxs, mut reasons) = (Vec::new(), Vec::new());
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
        let own = reasons_of(&shown, &flow);
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
        pbxs,
        store: StoreStatus {
            facts: known.into_iter().map(facts::shown).collect(),
        },
        spool,
        refused,
        not_understood: status::not_understood(db)?,
        unread_events: status::unread(db)?,
        gaps: status::gaps(db, this_week)?,
        conflicts,
    })
}

fn reason_of_refusals(refused: &[Refused], now: UtcMs) -> Option<String> {
    let lately = now.0 - DAY.as_millis() as i64;
    let turned_away = |refused: &&Refused| {
        refused.last_at.0 >= lately
            && matches!(
                refused.reason.as_str(),
                "wrong_secret" | "wrong_pbx" | "peer_not_allowed"
            )
    };
    let count: u64 = refused
        .iter()
        .filter(turned_away)
        .map(|refused| refused.count)
        .sum();
    let were = counted(count, "delivery was", "deliveries were");
    (count > 0).then(|| {
        format!("{were} turned away, the last within a day: did a PBX's address or secret change?")
    })
}

fn reason_of_conflicts(count: u64) -> Option<String> {
    let have = counted(count, "archived recording has", "archived recordings have");
    (count > 0).then(|| format!("{have} other content by now: did a PBX's counter begin anew?"))
}

fn reason_of_damage(damaged: &[(String, UtcMs)]) -> Option<String> {
    let (last, _) = damaged.first()?;
    let count = damaged.len() as u64;
    let are = counted(count, "archived recording is", "archived recordings are");
    Some(format!(
        "{are} not what was archived, the last one found is {last}: callvault verify {last}"
    ))
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

fn reasons_of(shown: &PbxStatus, flow: &Flow) -> Vec<String> {
    let pbx = &shown.pbx;
    let mut reasons = Vec::new();
    match shown.last_event_age_s {
        None => reasons.push(format!("{pbx} has never sent an event")),
        Some(age_s) if shown.silent => {
            reasons.push(format!("{pbx} has sent no event for {}", ago(age_s)));
        }
        Some(_) => {}
    }
    let failed = shown.failed.saturating_sub(flow.refused_before);
    if failed > 0 {
        reasons.push(format!(
            "{} failed: callvault jobs",
            counted(
                failed,
                &format!("recording of {pbx} has"),
                &format!("recordings of {pbx} have")
            )
        ));
    }
    match shown.oldest_pending_expires_in_s {
        Some(left_s) if left_s <= 0 => {
            reasons.push(format!(
                "the oldest pending recording of {pbx} has expired on the PBX"
            ));
        }
        Some(left_s) if left_s < EXPIRY_MIN.as_secs() as i64 => reasons.push(format!(
            "the oldest pending recording of {pbx} expires on the PBX in {}",
            ago(left_s)
        )),
        _ => {}
    }
    for (code, count) in flow
        .codes
        .iter()
        .filter(|(code, _)| FOR_A_PERSON.contains(&code.as_str()))
    {
        reasons.push(format!(
            "{} because of {code}",
            counted(
                *count,
                &format!("recording of {pbx} waits"),
                &format!("recordings of {pbx} wait")
            )
        ));
    }
    reasons
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eighteen_silent_days_are_red_on_day_one() {
        let flow = Flow {
            last_event: Some(UtcMs(0)),
            last_archived: Some(UtcMs(0)),
            ..Flow::default()
        };
        for (days, red) in [(0.5, false), (0.99, false), (1.1, true), (18.0, true)] {
            let now = UtcMs((days * 86_400_000.0) as i64);
            let shown = shown(
                &"hq".parse().unwrap(),
                &flow,
                14 * DAY,
                Today::default(),
                now,
            );
            assert_eq!(!reasons_of(&shown, &flow).is_empty(), red, "{days}");
        }
    }

    #[test]
    fn a_backlog_that_grows_old_is_said() {
        let flow = Flow {
            last_event: Some(UtcMs(12 * 86_400_000)),
            oldest_pending: Some(UtcMs(0)),
            backlog: vec![("upload".to_owned(), 3)],
            codes: vec![("store_refused".to_owned(), 3)],
            ..Flow::default()
        };
        let now = UtcMs(12 * 86_400_000 + 3_600_000);
        let shown = shown(
            &"hq".parse().unwrap(),
            &flow,
            14 * DAY,
            Today::default(),
            now,
        );
        assert_eq!(shown.pending, 3);
        let reasons = reasons_of(&shown, &flow);
        assert_eq!(
            reasons,
            [
                "the oldest pending recording of hq expires on the PBX in 47 h",
                "3 recordings of hq wait because of store_refused",
            ]
        );
    }
}
