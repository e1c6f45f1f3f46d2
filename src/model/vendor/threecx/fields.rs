//! The fields of one event, whatever dialect brought them, and what they mean.
//!
//! Key names are matched without regard to case; unknown ones are left alone. Source of names and
//! values: the vendor's documentation of both add-ons.

use crate::model::event::{Direction, Event, Finish, Kind, Transfer};

use super::{files, ids};

const FILE_KEYS: [&str; 2] = ["fileurls", "files"];
const KNOWN_KEYS: [&str; 10] = [
    "event",
    "callerid",
    "user",
    "usertype",
    "did",
    "id",
    "trtype",
    "finishtype",
    "transfer",
    "duration",
];

const NAMES: [(&str, Kind, Option<Direction>); 11] = [
    ("ringing", Kind::Ringing, None),
    ("dialing", Kind::Dialing, Some(Direction::Outgoing)),
    (
        "incomingcall_started",
        Kind::Answered,
        Some(Direction::Incoming),
    ),
    (
        "outgoingcall_started",
        Kind::Answered,
        Some(Direction::Outgoing),
    ),
    // A mistranslation of the sibling product: the phone was *picked up*.
    ("hangupincoming", Kind::Answered, Some(Direction::Incoming)),
    ("hangupoutgoing", Kind::Answered, Some(Direction::Outgoing)),
    ("pickupincoming", Kind::Answered, Some(Direction::Incoming)),
    ("pickupoutgoing", Kind::Answered, Some(Direction::Outgoing)),
    ("incoming", Kind::Ended, Some(Direction::Incoming)),
    ("outgoing", Kind::Ended, Some(Direction::Outgoing)),
    ("recording", Kind::Recording, None),
];

#[derive(Debug, Default)]
pub struct Fields {
    values: Vec<(String, String)>,
    urls: Vec<String>,
}

impl Fields {
    pub fn of_urls(urls: Vec<String>) -> Fields {
        Fields {
            values: Vec::new(),
            urls,
        }
    }

    pub fn add(&mut self, key: &str, value: &str) {
        // A mark may stand before the first key; `files[]` is how a form tells of several.
        let key = key.trim_start_matches('\u{feff}').split('[').next();
        let key = key.unwrap_or_default().trim().to_ascii_lowercase();
        let value = value.trim();
        if value.is_empty() || value.eq_ignore_ascii_case("empty") {
            return;
        }
        if FILE_KEYS.contains(&key.as_str()) {
            self.add_files(value);
        } else {
            self.values.push((key, value.to_owned()));
        }
    }

    /// One URL, several, or a list of them as JSON has it.
    fn add_files(&mut self, value: &str) {
        match serde_json::from_str::<Vec<Option<String>>>(value) {
            Ok(list) => {
                let items = list.iter().flatten();
                items.for_each(|item| self.add(FILE_KEYS[0], item));
            }
            Err(_) => {
                let urls = files::several(value).into_iter().map(str::to_owned);
                self.urls.extend(urls);
            }
        }
    }

    /// Whether anything here is of an event at all: a form can be found in any text with a `=`.
    pub fn known(&self) -> bool {
        let known = |(key, _): &(String, String)| KNOWN_KEYS.contains(&key.as_str());
        !self.urls.is_empty() || self.values.iter().any(known)
    }

    fn get(&self, key: &str) -> Option<&str> {
        let found = self.values.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(str::to_owned)
    }

    pub fn into_event(self) -> Event {
        let name = self.get("event").unwrap_or_default().to_ascii_lowercase();
        let (kind, direction) = NAMES
            .iter()
            .find(|(known, ..)| *known == name)
            .map_or((Kind::Unknown, None), |(_, kind, direction)| {
                (*kind, *direction)
            });
        let mut event = Event::new(kind);
        if kind == Kind::Unknown && !self.urls.is_empty() {
            event.kind = Kind::Recording;
        }
        event.direction = direction;
        event.files = self.urls.iter().map(|url| files::file(url)).collect();
        self.place(&mut event);
        // A click-to-call announces itself before its party is known.
        event.external = self
            .text("callerid")
            .filter(|number| !number.eq_ignore_ascii_case("MAKECALL"));
        event.user = self.text("user");
        event.did = self.text("did").or_else(|| self.text("inbound_did"));
        event.handed_on = self.get("trtype").and_then(handed_on);
        event.transferred = self.get("transfer").and_then(truth);
        event.finish = self.get("finishtype").and_then(finish);
        if event.kind == Kind::Ended {
            let title = self.get("title").and_then(title_duration);
            event.duration_s = self.get("duration").and_then(duration).or(title);
        }
        event
    }

    /// Which leg the event is of: its id says, or else the one leg that its files name.
    fn place(&self, event: &mut Event) {
        let id = self.get("id");
        if let Some((leg, started_local)) = id.and_then(ids::leg) {
            event.started_exact = self
                .get("chid")
                .and_then(|chid| ids::chid_start(chid, &leg));
            event.started_local = Some(started_local);
            event.leg = Some(leg);
            return;
        }
        event.damaged_id = id.and_then(ids::damaged);
        let mut named = event.files.iter().filter_map(|file| file.of.as_ref());
        if let Some(first) = named.next()
            && named.all(|other| other.leg == first.leg)
        {
            event.started_local = Some(first.started_local);
            event.leg = Some(first.leg.clone());
        }
    }
}

fn handed_on(value: &str) -> Option<Transfer> {
    match value.to_ascii_lowercase().as_str() {
        "attended" | "accomp" => Some(Transfer::Attended),
        "blind" => Some(Transfer::Blind),
        _ => None,
    }
}

fn truth(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn finish(value: &str) -> Option<Finish> {
    match value.to_ascii_lowercase().as_str() {
        "ok" => Some(Finish::Ok),
        "missed" => Some(Finish::Missed),
        _ => None,
    }
}

/// One to three groups, the last of them seconds: `14`, `00:14`, `75:00`, `1:02:03`.
fn duration(value: &str) -> Option<u32> {
    let mut groups = value.split(':');
    let seconds = groups.by_ref().take(3).try_fold(0u32, |sum, group| {
        let digits = (1..=5).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_digit());
        let group = digits.then(|| group.parse::<u32>().ok()).flatten()?;
        sum.checked_mul(60)?.checked_add(group)
    })?;
    groups.next().is_none().then_some(seconds)
}

/// `…Answered call from 420774852629 (0:07)`: only the last parentheses count.
fn title_duration(title: &str) -> Option<u32> {
    let inside = title.trim_end().strip_suffix(')')?;
    let (_, value) = inside.rsplit_once('(')?;
    value.contains(':').then(|| duration(value)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("14", Some(14)),
            ("00:06", Some(6)),
            ("75:01", Some(4501)),
            ("1:02:03", Some(3723)),
            ("0:00", Some(0)),
            ("", None),
            ("1:2:3:4", None),
            ("-1:00", None),
            ("1:", None),
            ("999999", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
        assert_eq!(title_duration("Success call N(3:24)"), Some(204));
        assert_eq!(
            title_duration("Answered call from N (1:03:24) "),
            Some(3804)
        );
        assert_eq!(title_duration("Missed call by queue (804)"), None);
    }
}
