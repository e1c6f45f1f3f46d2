//! Instants as the index keeps them (UTC, milliseconds) and the local stamps that PBX ids carry.
//!
//! Never here: a clock. "Now" is always an argument.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// Milliseconds since 1970-01-01T00:00:00Z. Displays as RFC 3339 with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct UtcMs(pub i64);

impl UtcMs {
    pub fn plus(self, duration: std::time::Duration) -> UtcMs {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        UtcMs(self.0.saturating_add(ms))
    }

    /// RFC 3339 to the second: for instants that are known no better.
    pub fn to_seconds(self) -> String {
        format!("{:.0}", self.timestamp())
    }

    /// A wall clock, to the second: `2023-03-07 14:23:18`.
    pub fn wall_clock(self, zone: &TimeZone) -> String {
        let local = self.timestamp().to_zoned_datetime(zone.clone()).datetime();
        local.strftime("%F %T").to_string()
    }

    /// `14:23:18`
    pub fn time_of_day(self, zone: &TimeZone) -> String {
        self.local(zone).strftime("%T").to_string()
    }

    pub fn local(self, zone: &TimeZone) -> DateTime {
        self.timestamp().to_zoned_datetime(zone.clone()).datetime()
    }

    /// Out of range instants (beyond the year 9999) are shown at the range's end.
    fn timestamp(self) -> Timestamp {
        Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
    }
}

impl fmt::Display for UtcMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.timestamp())
    }
}

impl std::str::FromStr for UtcMs {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<UtcMs, jiff::Error> {
        let at: Timestamp = text.parse()?;
        Ok(UtcMs(at.as_millisecond()))
    }
}

impl serde::Serialize for UtcMs {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// When a day begins on a PBX's wall clock.
pub fn day_start(day: jiff::civil::Date, zone: &TimeZone) -> UtcMs {
    let start = zone.to_ambiguous_timestamp(day.at(0, 0, 0, 0)).compatible();
    UtcMs(start.map_or(i64::MAX, |start| start.as_millisecond()))
}

/// A point in a PBX's local time, resolved to UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    pub utc: UtcMs,
    pub local: DateTime,
    /// The clock showed this time twice that night and nothing exact decided between the two.
    pub ambiguous: bool,
}

impl Started {
    /// The PBX's wall clock with its offset: `2023-03-07T14:23:18+01:00`.
    pub fn local_text(&self) -> String {
        let local = self
            .local
            .duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
        let minutes = (local.as_millis() as i64 - self.utc.0) / 60_000;
        let sign = if minutes < 0 { '-' } else { '+' };
        let (h, m) = (minutes.abs() / 60, minutes.abs() % 60);
        format!("{}{sign}{h:02}:{m:02}", self.local)
    }
}

/// Resolves a local stamp. In the hour that autumn repeats, `exact` decides; else the reading
/// nearest before the first live arrival; else the earlier one.
pub fn resolve(
    local: DateTime,
    zone: &TimeZone,
    exact: Option<UtcMs>,
    first_live: Option<UtcMs>,
) -> Started {
    let at = |offset: jiff::tz::Offset| {
        let utc = offset.to_timestamp(local).unwrap_or(Timestamp::MAX);
        UtcMs(utc.as_millisecond())
    };
    let sure = |utc| Started {
        utc,
        local,
        ambiguous: false,
    };
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => sure(at(offset)),
        // The hour that spring leaves out: a clock set late still runs on the old offset.
        AmbiguousOffset::Gap { before, .. } => sure(at(before)),
        AmbiguousOffset::Fold { before, after } => {
            let (earlier, later) = (at(before), at(after));
            if let Some(exact) = exact {
                let near = |utc: UtcMs| (utc.0 - exact.0).abs();
                return sure(if near(later) < near(earlier) {
                    later
                } else {
                    earlier
                });
            }
            let utc = match first_live {
                Some(arrival) if later <= arrival => later,
                _ => earlier,
            };
            Started {
                utc,
                local,
                ambiguous: true,
            }
        }
    }
}

/// A moment as people type it: exact with an offset, else the wall clock of whichever PBX a call
/// belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Exact(UtcMs),
    Local(DateTime),
}

impl Moment {
    /// A bare time read on the clock of a zone. In the hour that autumn repeats the earlier one.
    pub fn in_zone(self, zone: &TimeZone) -> Moment {
        match self {
            Moment::Exact(_) => self,
            Moment::Local(at) => match zone.to_ambiguous_timestamp(at).compatible() {
                Ok(at) => Moment::Exact(UtcMs(at.as_millisecond())),
                Err(_) => self,
            },
        }
    }

    /// Where no PBX's wall clock is meant, a bare time is UTC.
    pub fn as_utc(self) -> UtcMs {
        match self {
            Moment::Exact(at) => at,
            Moment::Local(at) => {
                let utc = jiff::tz::Offset::UTC.to_timestamp(at);
                UtcMs(utc.map_or(i64::MAX, |at| at.as_millisecond()))
            }
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Exact(at) => at.fmt(f),
            Moment::Local(at) => at.fmt(f),
        }
    }
}

impl std::str::FromStr for Moment {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Moment, NotAMoment> {
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return Ok(Moment::Exact(UtcMs(timestamp.as_millisecond())));
        }
        let local = text.replace(' ', "T").parse();
        local
            .map(Moment::Local)
            .map_err(|_| NotAMoment(text.chars().take(40).collect()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time: expected 2023-03-07, 2023-03-07T14:00 or 2023-03-07T13:00:00Z")]
pub struct NotAMoment(String);

/// How long something lasts, as people type it: `90`, `1m30s`, `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u32);

impl std::str::FromStr for Seconds {
    type Err = NoDuration;

    fn from_str(text: &str) -> Result<Seconds, NoDuration> {
        let bad = || NoDuration(text.chars().take(40).collect());
        let (mut total, mut rest) = (0u64, text);
        let mut units = [("h", 3600), ("m", 60), ("s", 1)].into_iter();
        while !rest.is_empty() {
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (number, unit) = rest.split_at(end);
            let number: u32 = number.parse().map_err(|_| bad())?;
            // Larger units first, each once; a bare number is seconds and stands alone.
            let (word, seconds) = match (unit, text.len()) {
                ("", length) if length == end => ("", 1),
                _ => units
                    .find(|(word, _)| unit.starts_with(word))
                    .ok_or_else(bad)?,
            };
            total += u64::from(number) * seconds;
            rest = &unit[word.len()..];
        }
        let total = u32::try_from(total).ok().filter(|_| !text.is_empty());
        total.map(Seconds).ok_or_else(bad)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no duration: expected seconds, or such as 90s, 1m30s or 2h")]
pub struct NoDuration(String);

/// `14 s` as people read it: `0:14`, `1:02:03`.
pub fn clock_text(seconds: u64) -> String {
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if h > 0 {
        format!("{h}:{m:02}:{s:02}")
    } else {
        format!("{m}:{s:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn utc(text: &str) -> UtcMs {
        UtcMs(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn prints_rfc_3339() {
        assert_eq!(
            utc("2023-03-07T13:23:18Z").to_string(),
            "2023-03-07T13:23:18.000Z"
        );
        assert_eq!(
            utc("2023-03-07T13:23:18.7Z").to_seconds(),
            "2023-03-07T13:23:18Z"
        );
        assert!(!UtcMs(i64::MAX).to_string().is_empty());
    }

    #[test]
    fn autumn_hour() {
        let zone = TimeZone::get("Europe/Prague").unwrap();
        let local = date(2023, 10, 29).at(2, 30, 0, 0);
        let (earlier, later) = (utc("2023-10-29T00:30:00Z"), utc("2023-10-29T01:30:00Z"));
        // (exact, first live arrival, expected, ambiguous)
        let cases = [
            (None, None, earlier, true),
            (None, Some(utc("2023-10-29T00:31:00Z")), earlier, true),
            (None, Some(utc("2023-10-29T01:31:00Z")), later, true),
            (None, Some(utc("2023-10-28T00:00:00Z")), earlier, true),
            (Some(utc("2023-10-29T01:30:00.7Z")), None, later, false),
            (
                Some(utc("2023-10-29T00:30:00.7Z")),
                Some(utc("2023-10-29T01:31:00Z")),
                earlier,
                false,
            ),
        ];
        for (exact, live, expected, ambiguous) in cases {
            let started = resolve(local, &zone, exact, live);
            assert_eq!((started.utc, started.ambiguous), (expected, ambiguous));
        }
        let started = resolve(local, &zone, Some(later), None);
        assert_eq!(started.local_text(), "2023-10-29T02:30:00+01:00");
    }

    #[test]
    fn durations_people_type() {
        for (text, expected) in [
            ("0", Some(0)),
            ("90", Some(90)),
            ("90s", Some(90)),
            ("1m30s", Some(90)),
            ("2h", Some(7200)),
            ("1h1s", Some(3601)),
            ("", None),
            ("m", None),
            ("1m30", None),
            ("30s1m", None),
            ("1s1s", None),
            ("-1", None),
            ("1.5", None),
            ("99999999h", None),
            ("1ü", None),
        ] {
            let parsed: Result<Seconds, _> = text.parse();
            assert_eq!(parsed.ok(), expected.map(Seconds), "{text}");
        }
    }

    #[test]
    fn bare_times_in_a_zone() {
        let zone = TimeZone::get("Europe/Prague").unwrap();
        for (text, expected) in [
            ("2023-03-07", "2023-03-06T23:00:00Z"),
            ("2023-07-07T12:00", "2023-07-07T10:00:00Z"),
            ("2023-10-29T02:30", "2023-10-29T00:30:00Z"),
            ("2023-03-07T12:00Z", "2023-03-07T12:00:00Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(
                moment.in_zone(&zone),
                Moment::Exact(utc(expected)),
                "{text}"
            );
        }
    }

    #[test]
    fn moments_people_type() {
        let local = |text: &str| match text.parse() {
            Ok(Moment::Local(at)) => at,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(local("2023-03-07"), date(2023, 3, 7).at(0, 0, 0, 0));
        assert_eq!(local("2023-03-07 14:00"), date(2023, 3, 7).at(14, 0, 0, 0));
        let exact = "2023-03-07T14:00:00Z".parse();
        assert_eq!(exact, Ok(Moment::Exact(utc("2023-03-07T14:00:00Z"))));
        assert!("yesterday".parse::<Moment>().is_err());
    }
}
