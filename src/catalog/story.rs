//! A call as a person reads it: the recording of each conversation, or in a sentence why there is
//! none.
//!
//! Never here: how it is shown.

use jiff::tz::TimeZone;

use super::RecordingDetail;
use crate::config::{Pbx, Settings};
use crate::model::call::{Call, Leg, Outcome};
use crate::model::id::RecordingId;
use crate::model::job::State;
use crate::model::time::Moment;
use crate::store::foretold::{self, Awaited};
use crate::store::{Db, Error};

pub struct Story {
    /// By leg and part.
    pub recordings: Vec<RecordingDetail>,
    pub missing: Vec<Missing>,
}

/// Why there is no recording, of a leg or of all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub leg: Option<u32>,
    pub why: String,
}

/// `call` may be narrowed to what somebody sees; then nothing is said of legs that are not in it.
pub fn story(db: &Db, settings: &Settings, call: &Call, is_whole: bool) -> Result<Story, Error> {
    let pbx = settings.pbxs.iter().find(|pbx| pbx.name == call.id.pbx);
    let zone = pbx.map_or(TimeZone::UTC, |pbx| pbx.timezone.clone());
    let awaited = foretold::of_call(db, &call.id)?;
    let (mut recordings, mut missing) = (Vec::new(), Vec::new());
    let mut say = |leg: Option<u32>, why: String| missing.push(Missing { leg, why });
    if is_whole {
        let implied = awaited.iter().filter(|one| call.leg(one.leg).is_none());
        implied.for_each(|one| {
            let why = "A later conversation implies this one, but no event told of it.";
            say(Some(one.leg), format!("{why} {}", looked_for(one, &zone)));
        });
    }
    if call.legs.is_empty() {
        say(None, nobody(call).to_owned());
    }
    for leg in &call.legs {
        if leg.recordings.is_empty() {
            let awaited = awaited.iter().find(|one| one.leg == leg.leg);
            say(Some(leg.leg), unannounced(leg, pbx, awaited, &zone));
        }
        for name in &leg.recordings {
            let id = RecordingId {
                pbx: call.id.pbx.clone(),
                recording: name.clone(),
            };
            let Some(detail) = super::recording(db, &id)? else {
                continue;
            };
            if let Some(why) = why_not(&detail, &zone) {
                say(Some(leg.leg), why);
            }
            recordings.push(detail);
        }
    }
    missing.sort_by_key(|one| one.leg);
    Ok(Story {
        recordings,
        missing,
    })
}

fn nobody(call: &Call) -> &'static str {
    match call.outcome {
        Some(Outcome::Missed) => "Nobody answered, so there was no conversation to record.",
        Some(Outcome::Answered) => "None of its conversations is yours to see.",
        None => "No event says that anybody answered, so no recording is expected.",
    }
}

fn unannounced(leg: &Leg, pbx: Option<&Pbx>, awaited: Option<&Awaited>, zone: &TimeZone) -> String {
    let Some(pbx) = pbx else {
        return "No recording was announced, and the settings name this PBX no more.".to_owned();
    };
    if let Some(extension) = &leg.extension
        && pbx.not_recorded.contains(extension)
    {
        return format!("Extension {extension} is not recorded, by policy (not_recorded).");
    }
    match awaited {
        Some(awaited) => format!("Answered, but {}", looked_for(awaited, zone)),
        None if leg.ended.is_none() => "Answered; its end was not reported yet, and recordings \
            are announced at the end."
            .to_owned(),
        None => "Answered, but no recording was announced.".to_owned(),
    }
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

fn looked_for(awaited: &Awaited, zone: &TimeZone) -> String {
    let times = times(awaited.tries);
    match (awaited.tries, awaited.due) {
        (0, Some(due)) => format!(
            "no recording was announced; it will be looked for on the PBX from {} on.",
            due.wall_clock(zone)
        ),
        (_, Some(due)) => format!(
            "no recording was ever announced; looked for on the PBX {times}, next at {}.",
            due.wall_clock(zone)
        ),
        (_, None) => format!(
            "no recording was ever announced, and the PBX has none either: it was looked for {times}."
        ),
    }
}

/// Why an announced recording is not archived; none where it is.
pub fn why_not(detail: &RecordingDetail, zone: &TimeZone) -> Option<String> {
    let row = &detail.row;
    let local = |text: &str| local(text, zone);
    let reason = row.last_error.as_deref().unwrap_or("no reason is known");
    let next = row.next_at.as_deref().map(local).unwrap_or_default();
    match (State::from_word(&row.state)?, row.code.as_deref()) {
        (State::Archived, _) => None,
        (State::Failed, _) => Some(format!("Announced, but it failed: {reason}.")),
        (State::Pending, None) => Some(format!(
            "On its way: announced at {}.",
            local(&row.announced_at)
        )),
        (State::Pending, Some("not_there")) => {
            let same = detail.history.iter().rev();
            let same = same.take_while(|attempt| attempt.code.as_deref() == Some("not_there"));
            let since = same.last().map(|attempt| local(&attempt.started_at));
            Some(format!(
                "Announced, but since {} the PBX answers that it is not there ({reason}); \
                 next try at {next}.",
                since.unwrap_or_default()
            ))
        }
        (State::Pending, Some(_)) => Some(format!(
            "On its way: tried {}, the last time in vain ({reason}); next try at {next}.",
            times(row.attempts)
        )),
    }
}

/// A time of the index on the PBX's wall clock.
pub fn local(text: &str, zone: &TimeZone) -> String {
    match text.parse::<Moment>() {
        Ok(moment) => moment.as_utc().wall_clock(zone),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::UtcMs;

    #[test]
    fn a_leg_without_recording_says_why() {
        let zone = TimeZone::UTC;
        let awaited = |tries, due: Option<i64>| Awaited {
            leg: 1,
            due: due.map(UtcMs),
            tries,
        };
        for (awaited, expected) in [
            (
                awaited(0, Some(0)),
                "looked for on the PBX from 1970-01-01 00:00:00 on",
            ),
            (awaited(2, Some(0)), "2 times, next at 1970-01-01 00:00:00"),
            (awaited(3, None), "it was looked for 3 times"),
        ] {
            let why = looked_for(&awaited, &zone);
            assert!(why.contains(expected), "{why}");
        }
        let gone = unannounced(&Leg::default(), None, None, &zone);
        assert!(gone.contains("no more"), "{gone}");
    }
}
