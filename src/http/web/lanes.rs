//! How a call went, as a lane for each conversation, and the same as a list.
//!
//! Places are percentages and heights are pixels, so that words stay legible at any width.

use maud::{Markup, html};

use super::call::transfer;
use crate::catalog::CallDetail;
use crate::catalog::story::Story;
use crate::model::call::{Call, Leg};
use crate::model::event::Transfer;
use crate::model::time::{Moment, UtcMs, clock_text};

const LANE_PX: usize = 64;
/// With a line below the bar that names what is missing.
const LANE_WITH_GAPS_PX: usize = 78;
const BAR_TOP_PX: usize = 24;
const BAR_PX: usize = 20;
/// Nobody lets it ring for so long; events that come later were sent again, or from a log.
const RINGING_MAX_S: f64 = 900.0;
/// How far a leg's own duration and the arrival of its events may be apart.
const SKEW_MAX_S: f64 = 5.0;
/// A conversation of unknown length is drawn as long.
const UNKNOWN_S: f64 = 10.0;

/// In seconds from the call's start.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Times {
    ringing: Option<f64>,
    answered: f64,
    ended: f64,
}

struct Lane<'a> {
    leg: &'a Leg,
    before: Option<&'a Leg>,
    times: Times,
}

pub fn lanes(detail: &CallDetail, story: &Story) -> Markup {
    let call = &detail.call;
    let by_clock = by_clock(detail);
    let times = by_clock.clone().unwrap_or_else(|| in_a_row(call, story));
    let whole = times.iter().map(|times| times.ended).fold(1.0, f64::max);
    let percent = |seconds: f64| format!("{:.2}%", (seconds / whole * 100.0).clamp(0.0, 100.0));
    let lanes: Vec<Lane> = call
        .legs
        .iter()
        .zip(times)
        .enumerate()
        .map(|(at, (leg, times))| Lane {
            leg,
            before: at.checked_sub(1).and_then(|before| call.legs.get(before)),
            times,
        })
        .collect();
    let has_gaps = lanes.iter().any(|lane| !gaps(lane).is_empty());
    let lane_px = if has_gaps { LANE_WITH_GAPS_PX } else { LANE_PX };
    html! {
        figure.lanes {
            svg width="100%" height=(lanes.len() * lane_px) aria-hidden="true" {
                @for (at, lane) in lanes.iter().enumerate() { (bars(lane, at * lane_px, &percent)) }
                @for (at, pair) in lanes.windows(2).enumerate() {
                    (arrow(pair, at * lane_px, lane_px, &percent))
                }
                @for (at, lane) in lanes.iter().enumerate() { (captions(lane, at * lane_px)) }
            }
            figcaption.dim {
                span.key.ringing {} "ringing" span.key.talk {} "talk"
                span.scale {
                    @match by_clock {
                        Some(_) => { "the first " (clock_text(whole as u64)) " from the start" },
                        None => "lengths as the PBX tells them; the pauses between are not known",
                    }
                }
            }
        }
        ol.visually-hidden aria-label="How it went" {
            @for lane in &lanes { li { (in_words(lane)) } }
        }
    }
}

fn bars(lane: &Lane, top: usize, percent: &dyn Fn(f64) -> String) -> Markup {
    let times = lane.times;
    let bar = top + BAR_TOP_PX;
    let width = |from: f64, to: f64| percent((to - from).max(0.0));
    let class = match lane.leg.recordings.is_empty() {
        true => "talk unrecorded",
        false => "talk",
    };
    html! {
        line.rail x1="0" x2="100%" y1=(bar + BAR_PX / 2) y2=(bar + BAR_PX / 2) {}
        @if let Some(from) = times.ringing {
            rect.ringing x=(percent(from)) y=(bar) rx="3" height=(BAR_PX)
                width=(width(from, times.answered)) {}
        }
        rect class=(class) x=(percent(times.answered)) y=(bar) rx="3" height=(BAR_PX)
            width=(width(times.answered, times.ended)) {}
        @if lane.leg.ended.is_none() {
            line.open x1=(percent(times.ended)) x2=(percent(times.ended)) y1=(bar - 3)
                y2=(bar + BAR_PX + 3) {}
        }
    }
}

/// From where a conversation was handed on to where it went on.
fn arrow(pair: &[Lane], top: usize, lane_px: usize, percent: &dyn Fn(f64) -> String) -> Markup {
    let [from, to] = pair else {
        return html! {};
    };
    // An attended one is answered before the first conversation ends.
    let x = percent(to.times.answered.min(from.times.ended));
    let (top, bottom) = (top + BAR_TOP_PX + BAR_PX, top + lane_px + BAR_TOP_PX);
    html! {
        @if from.leg.transfer.is_some() {
            svg.arrow x=(x) y=(top) width="12" height=(bottom - top) overflow="visible" {
                path d={ "M0 0V" (bottom - top - 2) "M-4 " (bottom - top - 7) "l4 5 4-5" } {}
            }
        }
    }
}

fn captions(lane: &Lane, top: usize) -> Markup {
    let gaps = gaps(lane);
    html! {
        text x="0" y=(top + 15) {
            tspan.ext { (lane.leg.extension.as_deref().unwrap_or("—")) }
            @for part in parts(lane) { " · " (part) }
        }
        @if !gaps.is_empty() {
            text.gap x="0" y=(top + BAR_TOP_PX + BAR_PX + 16) { (gaps.join(" · ")) }
        }
    }
}

/// What should be known of a conversation and is not.
fn gaps(lane: &Lane) -> Vec<&'static str> {
    let no_end = lane.leg.ended.is_none().then_some("no end event");
    let silent = lane.leg.recordings.is_empty();
    let silent = silent.then_some("no recording announced");
    no_end.into_iter().chain(silent).collect()
}

fn parts(lane: &Lane) -> Vec<String> {
    let leg = lane.leg;
    let length = leg.duration_s.map(|s| clock_text(s.into()));
    let from = lane.before.and_then(|before| {
        let how = before.transfer.map(Transfer::as_str)?;
        let from = before.extension.as_deref().unwrap_or("—");
        Some(format!("{} from {from}", transfer(how, None)))
    });
    let length = length.unwrap_or_else(|| "length unknown".to_owned());
    [Some(length), from].into_iter().flatten().collect()
}

fn in_words(lane: &Lane) -> Markup {
    let leg = lane.leg;
    html! {
        "Conversation " (leg.leg) " with " (leg.extension.as_deref().unwrap_or("an unknown extension"))
        @for part in parts(lane) { ", " (part) }
        @for gap in gaps(lane) { ", " (gap) }
        @if let Some(how) = leg.transfer {
            ", ended by " (transfer(how.as_str(), leg.transferred_to.as_deref()))
        }
        "."
    }
}

/// When each conversation was answered; none where that is not known.
pub fn answered(detail: &CallDetail) -> Vec<UtcMs> {
    let started = detail.call.started.as_ref().map(|started| started.utc);
    let (Some(started), Some(times)) = (started, by_clock(detail)) else {
        return Vec::new();
    };
    let after_s = times.iter().map(|times| times.answered);
    let at = |after_s: f64| UtcMs(started.0 + (after_s * 1000.0) as i64);
    after_s.map(at).collect()
}

/// By when events came; none where that tells nothing of when things happened.
fn by_clock(detail: &CallDetail) -> Option<Vec<Times>> {
    let call = &detail.call;
    let started = call.started.as_ref()?.utc;
    let seconds = |at: UtcMs| (at.0 - started.0) as f64 / 1000.0;
    let rings = detail.events.iter().filter_map(|event| {
        let rings = event.kind.as_deref() == Some("ringing");
        let at: Moment = event.received_at.parse().ok().filter(|_| rings)?;
        Some(seconds(at.as_utc()))
    });
    let rings: Vec<f64> = rings.collect();
    let mut before = f64::MIN;
    let mut times = Vec::new();
    for leg in &call.legs {
        let answered = seconds(leg.answered?);
        let ended = match (leg.ended, leg.duration_s) {
            (Some(ended), _) => seconds(ended),
            (None, Some(s)) => answered + f64::from(s),
            (None, None) => answered + UNKNOWN_S,
        };
        let skew = leg.duration_s.map(|s| ended - answered - f64::from(s));
        let first = times.is_empty();
        if answered < 0.0
            || ended < answered
            || (first && answered > RINGING_MAX_S)
            || skew.is_some_and(|skew| skew.abs() > SKEW_MAX_S)
        {
            return None;
        }
        let between = |at: &&f64| **at > before && **at < answered;
        let ringing = rings.iter().find(between).map(|at| at.max(0.0));
        times.push(Times {
            ringing,
            answered,
            ended,
        });
        before = answered;
    }
    Some(times)
}

/// One after the other, each as long as it is said to be.
fn in_a_row(call: &Call, story: &Story) -> Vec<Times> {
    let length = |leg: &Leg| {
        let of = |row: &crate::store::search::RecordingRow| {
            row.media_duration_s.filter(|_| row.leg == Some(leg.leg))
        };
        let media = story.recordings.iter().find_map(|one| of(&one.row));
        let said = leg.duration_s.map(f64::from);
        said.or(media).unwrap_or(UNKNOWN_S).max(1.0)
    };
    let talk: f64 = call.legs.iter().map(length).sum();
    let ring = talk * 0.08;
    let mut now = 0.0;
    let mut place = |leg: &Leg| {
        let rang = call
            .ring_path
            .iter()
            .any(|user| Some(user) == leg.extension.as_ref());
        let answered = now + if rang { ring } else { 0.0 };
        let times = Times {
            ringing: rang.then_some(now),
            answered,
            ended: answered + length(leg),
        };
        now = times.ended;
        times
    };
    call.legs.iter().map(&mut place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::EventSeq;
    use crate::model::time::Started;
    use crate::store::events::EventRow;

    /// A call of two conversations; its events came at these seconds after its start.
    fn came_at(answered: [i64; 2], ended: [i64; 2], rang: i64) -> Option<Vec<Times>> {
        let at = |s: i64| UtcMs(s * 1000);
        let leg = |leg: usize| Leg {
            leg: leg as u32 + 1,
            answered: Some(at(answered[leg])),
            ended: Some(at(ended[leg])),
            duration_s: Some(10),
            ..Leg::default()
        };
        let call = Call {
            id: crate::model::id::CallId {
                pbx: "hq".parse().unwrap(),
                call: "1".parse().unwrap(),
            },
            direction: None,
            external: None,
            did: None,
            started: Some(Started {
                utc: UtcMs(0),
                local: jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0),
                ambiguous: false,
            }),
            outcome: None,
            legs: vec![leg(0), leg(1)],
            ring_path: Vec::new(),
        };
        let ring = EventRow {
            seq: EventSeq(1),
            received_at: at(rang).to_string(),
            kind: Some("ringing".to_owned()),
            repaired: false,
            duplicate_of: None,
            leg: None,
        };
        let events = vec![ring];
        by_clock(&CallDetail { call, events })
    }

    #[test]
    fn arrivals_are_believed_only_where_they_fit_what_the_pbx_says() {
        let times = came_at([5, 14], [15, 24], 2).unwrap();
        assert_eq!((times[0].ringing, times[0].answered), (Some(2.0), 5.0));
        assert_eq!((times[1].ringing, times[1].ended), (None, 24.0));
        let later = came_at([5, 14], [15, 24], 8).unwrap();
        assert_eq!((later[0].ringing, later[1].ringing), (None, Some(8.0)));
        for (answered, ended) in [
            ([5, 14], [5, 14]),
            ([-5, 14], [5, 24]),
            ([5000, 5014], [5010, 5024]),
        ] {
            assert_eq!(came_at(answered, ended, 2), None, "{answered:?} {ended:?}");
        }
    }
}
