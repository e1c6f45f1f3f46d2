//! Who is away at this time, for people and programs.
//!
//! Never here: whether a person must act for it; what waits for them long is told by its code.

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::Settings;
use crate::model::id::PbxName;
use crate::model::party::Party;
use crate::model::time::UtcMs;
use crate::store::away::Seen;

/// Somebody whom recordings wait for. One at a time tries them; once they are back, all are tried.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AwayStatus {
    /// `pbx`, `store`, or `room`: room on our disk, and that it works.
    pub party: &'static str,
    #[schemars(with = "Option<String>")]
    pub pbx: Option<PbxName>,
    /// The last failure, and in words.
    pub code: String,
    pub error: String,
    /// The first one since they last worked.
    #[schemars(with = "String")]
    pub since: UtcMs,
    /// Not tried before.
    #[schemars(with = "String")]
    pub next_try_at: UtcMs,
    /// That time has come: a recording tries them, or will as soon as one waits for them.
    pub is_tried_now: bool,
    /// The same on the PBX's wall clock, or on that of all PBXs where they have one.
    pub since_local: Option<String>,
    pub next_try_local: Option<String>,
}

impl AwayStatus {
    pub(super) fn of(seen: Seen, settings: &Settings, now: UtcMs) -> AwayStatus {
        let (party, pbx) = match seen.party {
            Party::Pbx(pbx) => ("pbx", Some(pbx)),
            Party::Store => ("store", None),
            Party::Room => ("room", None),
        };
        let own = pbx.as_ref().and_then(|pbx| settings.zone(pbx));
        let zone = own.or_else(|| settings.common_zone());
        AwayStatus {
            since_local: zone.as_ref().map(|zone| seen.since.wall_clock(zone)),
            next_try_local: zone.as_ref().map(|zone| seen.next.wall_clock(zone)),
            party,
            pbx,
            code: seen.code,
            error: seen.error,
            since: seen.since,
            next_try_at: seen.next,
            is_tried_now: seen.next <= now,
        }
    }

    /// For people.
    pub fn line(&self) -> String {
        let party = match (&self.pbx, self.party) {
            (Some(pbx), _) => format!("{pbx} is away"),
            (None, "store") => "the store is away".to_owned(),
            (None, _) => "the spool takes nothing".to_owned(),
        };
        let (code, error) = (&self.code, &self.error);
        let both = |at: UtcMs, local: &Option<String>| match local {
            Some(local) => format!("{} (local {local})", at.to_seconds()),
            None => at.to_seconds(),
        };
        let since = both(self.since, &self.since_local);
        let next = match self.is_tried_now {
            true => "and is being tried".to_owned(),
            false => format!(
                "tried again at {}",
                both(self.next_try_at, &self.next_try_local)
            ),
        };
        format!("{party} since {since}, {next}: {code}, {error}")
    }
}
