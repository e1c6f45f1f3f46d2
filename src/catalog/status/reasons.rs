//! Why a person must act, in words.
//!
//! Never here: reading the index.

use std::time::Duration;

use super::{DAY, PbxStatus, ago, counted};
use crate::model::id::PbxName;
use crate::model::time::UtcMs;
use crate::store::heartbeat;
use crate::store::status::{Flow, HeldUp, Refused};

/// A recording that the PBX will delete within this time is asked about.
const EXPIRY_MIN: Duration = Duration::from_secs(2 * 24 * 3600);
/// What has waited for so long is asked about, whatever it waits for.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// But for a body that may be growing still.
const MAY_WAIT: &str = "doubtful";
/// Codes that no waiting mends.
const FOR_A_PERSON: [&str; 19] = [
    "pbx_login",
    "pbx_tls",
    "pbx_not_configured",
    "store_refused",
    "store_tls",
    "store_no_bucket",
    "store_unsent",
    "store_full",
    "store_permission",
    "store_disk",
    "store_other_content",
    "store_clock_skew",
    "spool_full",
    "spool",
    "index",
    "panicked",
    "lock_not_enforced",
    "lock_not_tried",
    "lock_not_kept",
];

/// Whoever looks at an index that nobody writes must not take silence for health.
pub(super) fn reason_of_silence(running_at: Option<UtcMs>, now: UtcMs) -> Option<String> {
    let Some(at) = running_at else {
        return Some("the service has never run here: callvault serve".to_owned());
    };
    let silent_ms = now.0.saturating_sub(at.0);
    (silent_ms > heartbeat::SILENCE_MAX_MS).then(|| {
        let (since, ago) = (at.to_seconds(), ago(silent_ms / 1000));
        format!("the service has not run, or could not write the index, since {since}, for {ago}")
    })
}

pub(super) fn reason_of_refusals(refused: &[Refused], now: UtcMs) -> Option<String> {
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

pub(super) fn reason_of_conflicts(count: u64) -> Option<String> {
    let have = counted(count, "archived recording has", "archived recordings have");
    (count > 0).then(|| format!("{have} other content by now: did a PBX's counter begin anew?"))
}

pub(super) fn reason_of_damage(damaged: &[(String, UtcMs)]) -> Option<String> {
    let (last, _) = damaged.first()?;
    let count = damaged.len() as u64;
    let are = counted(count, "archived recording is", "archived recordings are");
    Some(format!(
        "{are} not what was archived, the last one found is {last}: callvault verify {last}"
    ))
}

pub(super) fn reasons_of(shown: &PbxStatus, flow: &Flow, now: UtcMs) -> Vec<String> {
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
    reasons.extend(reason_of_untried(pbx, flow, now));
    let held_up = flow.held_up.iter();
    reasons.extend(held_up.filter_map(|held_up| reason_of_wait(pbx, held_up, now)));
    reasons
}

/// A long backlog drains for hours, which is well; one of which nothing is archived is not.
fn reason_of_untried(pbx: &PbxName, flow: &Flow, now: UtcMs) -> Option<String> {
    let is_long = |since: UtcMs| now.0.saturating_sub(since.0) > WAIT_MAX.as_millis() as i64;
    let (count, due) = flow.untried.filter(|(_, due)| is_long(*due))?;
    let are = counted(
        count,
        &format!("recording of {pbx} is"),
        &format!("recordings of {pbx} are"),
    );
    flow.last_archived.is_none_or(is_long).then(|| {
        let waits = ago((now.0 - due.0) / 1000);
        format!("{are} due and were never tried, for {waits}: the log says why")
    })
}

fn reason_of_wait(pbx: &PbxName, held_up: &HeldUp, now: UtcMs) -> Option<String> {
    let HeldUp { code, count, since } = held_up;
    let waited_ms = now.0.saturating_sub(since.0);
    let is_long = waited_ms > WAIT_MAX.as_millis() as i64 && code != MAY_WAIT;
    let wait = counted(
        *count,
        &format!("recording of {pbx} waits"),
        &format!("recordings of {pbx} wait"),
    );
    match FOR_A_PERSON.contains(&code.as_str()) {
        true => Some(format!("{wait} because of {code}")),
        false => is_long.then(|| {
            let waited = ago(waited_ms / 1000);
            format!("{wait} because of {code}, the oldest for {waited}")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Today, shown};
    use super::*;

    fn held_up(code: &str, count: u64, since_ms: i64) -> HeldUp {
        HeldUp {
            code: code.to_owned(),
            count,
            since: UtcMs(since_ms),
        }
    }

    #[test]
    fn what_waits_long_is_said_whatever_it_waits_for() {
        let pbx = "hq".parse().unwrap();
        for (code, minutes, told) in [
            (
                "store_disk",
                0,
                "1 recording of hq waits because of store_disk",
            ),
            ("store_unreachable", 59, ""),
            (
                "store_unreachable",
                61,
                "1 recording of hq waits because of store_unreachable, the oldest for 61 min",
            ),
            (
                "not_audio",
                600,
                "1 recording of hq waits because of not_audio, the oldest for 10 h",
            ),
            ("doubtful", 600, ""),
        ] {
            let now = UtcMs(minutes * 60_000);
            let reason = reason_of_wait(&pbx, &held_up(code, 1, 0), now);
            assert_eq!(reason.unwrap_or_default(), told, "{code} {minutes}");
        }
    }

    #[test]
    fn what_is_due_and_never_tried_is_said_where_nothing_else_comes() {
        let pbx = "hq".parse().unwrap();
        let now = UtcMs(7_200_000);
        for (due, last_archived, told) in [
            (
                0,
                None,
                "2 recordings of hq are due and were never tried, for 2 h: the log says why",
            ),
            (0, Some(UtcMs(7_000_000)), ""),
            (7_000_000, None, ""),
        ] {
            let flow = Flow {
                untried: Some((2, UtcMs(due))),
                last_archived,
                ..Flow::default()
            };
            let reason = reason_of_untried(&pbx, &flow, now).unwrap_or_default();
            assert_eq!(reason, told, "{due} {last_archived:?}");
        }
    }

    #[test]
    fn a_service_that_does_not_run_is_said() {
        let told = |at, now| reason_of_silence(at, UtcMs(now)).unwrap_or_default();
        assert_eq!(told(Some(UtcMs(0)), 150_000), "");
        assert_eq!(
            told(Some(UtcMs(0)), 7_200_000),
            "the service has not run, or could not write the index, since 1970-01-01T00:00:00Z, for 2 h"
        );
        assert_eq!(
            told(None, 0),
            "the service has never run here: callvault serve"
        );
    }

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
            assert_eq!(!reasons_of(&shown, &flow, now).is_empty(), red, "{days}");
        }
    }

    #[test]
    fn a_backlog_that_grows_old_is_said() {
        let flow = Flow {
            last_event: Some(UtcMs(12 * 86_400_000)),
            oldest_pending: Some(UtcMs(0)),
            backlog: vec![("upload".to_owned(), 3)],
            held_up: vec![held_up("store_refused", 3, 0)],
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
        let reasons = reasons_of(&shown, &flow, now);
        assert_eq!(
            reasons,
            [
                "the oldest pending recording of hq expires on the PBX in 47 h",
                "3 recordings of hq wait because of store_refused",
            ]
        );
    }
}
