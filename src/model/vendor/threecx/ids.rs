//! 3CX ids: `YYMMDDhhmmss_<counter>-<n>`, a recording `<id>-<part>`, and `chid`.
//!
//! The stamp is the call's start in the PBX's local time, cut to seconds. Source: the vendor's
//! documented events, and `chid` beside `id` in newer ones.

use jiff::civil::{DateTime, date};

use crate::model::id::LegId;
use crate::model::time::UtcMs;

const STAMP_DIGITS: usize = 12;
const NUMBER_MAX_DIGITS: usize = 9;

/// `230307142318_40-2` → the leg and the call's local start.
pub fn leg(text: &str) -> Option<(LegId, DateTime)> {
    let (call, leg) = text.rsplit_once('-')?;
    let started_local = call_start(call)?;
    let leg = LegId {
        call: call.parse().ok()?,
        leg: number(leg)?,
    };
    Some((leg, started_local))
}

/// `230307142318_40-2-1` → the leg, its part and the call's local start.
pub fn leg_and_part(text: &str) -> Option<(LegId, u32, DateTime)> {
    let (id, part) = text.rsplit_once('-')?;
    let (leg, started_local) = leg(id)?;
    Some((leg, number(part)?, started_local))
}

/// What is left of an id that lost its beginning: it must still show its counter and its leg.
pub fn damaged(text: &str) -> Option<String> {
    let (stamp_and_counter, leg) = text.rsplit_once('-')?;
    let (stamp, count) = stamp_and_counter.rsplit_once('_')?;
    let shown = stamp.bytes().all(|b| b.is_ascii_digit())
        && stamp.len() <= STAMP_DIGITS
        && counter(count).is_some()
        && number(leg).is_some();
    shown.then(|| text.to_owned())
}

/// The moment in a `chid` such as `00000000-01dc-27dd-cc8a-799100000029`, if its counter is the
/// id's: after 32 zero bits a Windows FILETIME (100 ns since 1601, UTC), then the counter. An
/// older form of `chid` is opaque.
pub fn chid_start(chid: &str, leg: &LegId) -> Option<UtcMs> {
    const UNIX_EPOCH_100NS: i64 = 116_444_736_000_000_000;
    if chid.len() != 36 || chid.bytes().filter(|b| *b == b'-').count() != 4 {
        return None;
    }
    let hex: String = chid.chars().filter(|c| *c != '-').collect();
    if hex.len() != 32
        || !hex.bytes().all(|b| b.is_ascii_hexdigit())
        || !hex.starts_with("00000000")
    {
        return None;
    }
    let filetime = i64::from_str_radix(&hex[8..24], 16).ok()?;
    let count = u32::from_str_radix(&hex[24..], 16).ok()?;
    let (_, id_count) = leg.call.as_str().split_once('_')?;
    (id_count.parse() == Ok(count)).then(|| UtcMs((filetime - UNIX_EPOCH_100NS) / 10_000))
}

fn call_start(call: &str) -> Option<DateTime> {
    let (stamp, count) = call.split_once('_')?;
    counter(count)?;
    if stamp.len() != STAMP_DIGITS || !stamp.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let two = |at: usize| stamp[at..at + 2].parse::<i8>().ok();
    let (year, month, day) = (2000 + i16::from(two(0)?), two(2)?, two(4)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let day = jiff::civil::Date::new(year, month, day).ok()?;
    let (hour, minute, second) = (two(6)?, two(8)?, two(10)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(date(day.year(), day.month(), day.day()).at(hour, minute, second, 0))
}

/// A leg or a part: no leading zero, so that an id has one spelling.
fn number(text: &str) -> Option<u32> {
    let canonical = text == "0" || !text.starts_with('0');
    canonical.then(|| counter(text)).flatten()
}

fn counter(text: &str) -> Option<u32> {
    let plain = !text.is_empty()
        && text.len() <= NUMBER_MAX_DIGITS
        && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_what_is_none() {
        let (id, start) = leg("230307142318_40-2").unwrap();
        assert_eq!((id.to_string().as_str(), id.leg), ("230307142318_40-2", 2));
        assert_eq!(start, date(2023, 3, 7).at(14, 23, 18, 0));
        assert_eq!(leg_and_part("230307142318_40-2-1").unwrap().1, 1);
        for none in [
            "",
            "230307142318_40",
            "30307135611_31-1",
            "231307142318_40-1",
            "230230142318_40-1",
            "230307242318_40-1",
            "230307142318_-1",
            "230307142318_40-",
            "230307142318_40-1-",
            "230307142318_40--1",
            "230307142318_9999999999-1",
        ] {
            assert!(leg(none).is_none(), "{none}");
        }
        assert_eq!(damaged("30307135611_31-1").unwrap(), "30307135611_31-1");
        assert_eq!(damaged("_31-1").unwrap(), "_31-1");
        assert!(damaged("31-1").is_none() && damaged("x_31-1").is_none());
    }

    #[test]
    fn chid_tells_utc() {
        let (id, _) = leg("250917161728_41-1").unwrap();
        let utc = chid_start("00000000-01dc-27dd-cc8a-799100000029", &id).unwrap();
        assert_eq!(utc.to_seconds(), "2025-09-17T14:17:28Z");
        let (other, _) = leg("250917161728_42-1").unwrap();
        assert!(chid_start("00000000-01dc-27dd-cc8a-799100000029", &other).is_none());
        assert!(chid_start("01dc27ddcc8a_41", &id).is_none());
    }
}
