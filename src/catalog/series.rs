//! How events came and recordings were archived along time: what charts and their tables show.
//!
//! Never here: how it is drawn.

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::Settings;
use crate::model::access::Scope;
use crate::model::event::words;
use crate::model::id::PbxName;
use crate::model::time::UtcMs;
use crate::store::series::{self, Count, Span};
use crate::store::{Db, Error};

const MINUTE_MS: i64 = 60_000;

/// How far back, up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Window {
    #[default]
    Day,
    Week,
}

words!(Window {
    Day => "24h",
    Week => "7d",
});

impl Window {
    /// How many, and how long each is.
    fn buckets(self) -> (usize, i64) {
        match self {
            Window::Day => (96, 15 * MINUTE_MS),
            Window::Week => (84, 120 * MINUTE_MS),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Series {
    #[schemars(with = "String")]
    pub window: Window,
    #[schemars(with = "String")]
    pub from: UtcMs,
    #[schemars(with = "String")]
    pub to: UtcMs,
    pub bucket_s: u64,
    /// Those within the scope of the one who asks.
    pub pbxs: Vec<PbxSeries>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct PbxSeries {
    #[schemars(with = "String")]
    pub pbx: PbxName,
    /// From the oldest to the newest.
    pub buckets: Vec<Bucket>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Bucket {
    /// Its end.
    #[schemars(with = "String")]
    pub at: UtcMs,
    /// That the PBX sent.
    pub events: u64,
    pub events_per_minute: f64,
    pub announced: u64,
    pub archived: u64,
    /// From announced to archived, of those archived in it; null where none was.
    pub delay_p50_s: Option<f64>,
    pub delay_p95_s: Option<f64>,
    /// How many were pending at its end.
    pub pending: u64,
}

pub fn series(
    db: &Db,
    settings: &Settings,
    scope: &Scope,
    window: Window,
    now: UtcMs,
) -> Result<Series, Error> {
    let (count, bucket_ms) = window.buckets();
    let from = UtcMs(now.0 - count as i64 * bucket_ms);
    let mut pbxs = Vec::new();
    let mine = settings.pbxs.iter().map(|pbx| &pbx.name);
    for pbx in mine.filter(|pbx| scope.has_pbx(pbx)) {
        let span = Span {
            pbx,
            scope,
            from,
            to: now,
            bucket_ms,
        };
        pbxs.push(PbxSeries {
            pbx: pbx.clone(),
            buckets: buckets(db, &span, count)?,
        });
    }
    Ok(Series {
        window,
        from,
        to: now,
        bucket_s: (bucket_ms / 1000) as u64,
        pbxs,
    })
}

fn buckets(db: &Db, span: &Span, count: usize) -> Result<Vec<Bucket>, Error> {
    let events = spread(&series::events(db, span)?, count);
    let announced = spread(&series::announced(db, span)?, count);
    let failed = spread(&series::failed(db, span)?, count);
    let mut delays_ms = vec![Vec::new(); count];
    for (at, delay_ms) in series::delays_ms(db, span)? {
        delays_ms[at].push(delay_ms);
    }
    let archived = |at: usize| delays_ms[at].len() as u64;
    // How many are pending is known of now; what went on before leads back to how many were.
    let mut pending = series::pending(db, span)?;
    let mut buckets: Vec<Bucket> = Vec::with_capacity(count);
    for at in (0..count).rev() {
        buckets.push(Bucket {
            at: UtcMs(span.from.0 + (at as i64 + 1) * span.bucket_ms),
            events: events[at],
            events_per_minute: (events[at] * MINUTE_MS as u64) as f64 / span.bucket_ms as f64,
            announced: announced[at],
            archived: archived(at),
            delay_p50_s: percentile_s(&delays_ms[at], 50),
            delay_p95_s: percentile_s(&delays_ms[at], 95),
            pending,
        });
        pending = (pending + archived(at) + failed[at]).saturating_sub(announced[at]);
    }
    buckets.reverse();
    Ok(buckets)
}

fn spread(counts: &[Count], count: usize) -> Vec<u64> {
    let mut spread = vec![0; count];
    counts.iter().for_each(|(at, n)| spread[*at] = *n);
    spread
}

/// The smallest that so many percent do not exceed; `sorted` is.
fn percentile_s(sorted: &[u64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    let found = sorted.get(rank.checked_sub(1)?)?;
    Some(*found as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_there() {
        let sorted: Vec<u64> = (1..=20).map(|s| s * 1000).collect();
        for (of, p50, p95) in [
            (&sorted[..0], None, None),
            (&sorted[..1], Some(1.0), Some(1.0)),
            (&sorted[..2], Some(1.0), Some(2.0)),
            (&sorted[..], Some(10.0), Some(19.0)),
        ] {
            let found = (percentile_s(of, 50), percentile_s(of, 95));
            assert_eq!(found, (p50, p95), "{of:?}");
        }
    }
}
