//! The dialects of the 3CX webhook add-on and of its older sibling.
//!
//! A delivery is tried against the table below, top down; the first dialect that recognises it
//! reads it. A new dialect is one function and one row. Never here: what an event does to a call.

mod fields;
pub mod files;
mod form;
pub mod ids;
mod json;
pub mod repair;

use crate::model::event::Reading;
use fields::Fields;

/// Reads a body and says what it holds, or that it is none of this dialect.
type Dialect = fn(&str) -> Option<Vec<Reading>>;

const DIALECTS: [Dialect; 4] = [
    json::read,     // {"Event": …}, [{…}, …], "https://…", whatever the content type says
    urls,           // https://…/webapi/recording/….mp3 and nothing else
    json::repaired, // JSON that lost a quote
    form::read,     // event=ringing&callerid=…
];

/// A delivery that announces more than this is left unread: none does, and each call that it names
/// would be folded from all of it.
const FILES_MAX: usize = 1000;

pub fn read(raw: &[u8]) -> Vec<Reading> {
    let text = String::from_utf8_lossy(raw);
    let text = text.trim_start_matches('\u{feff}');
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    DIALECTS
        .iter()
        .find_map(|dialect| dialect(text))
        .filter(|readings| !readings.is_empty() && files(readings) <= FILES_MAX)
        .unwrap_or_else(|| vec![Reading::NotUnderstood])
}

fn files(readings: &[Reading]) -> usize {
    let events = readings.iter().filter_map(Reading::event);
    events.map(|event| event.files.len()).sum()
}

/// A bare URL as the whole body, or several.
pub(super) fn urls(text: &str) -> Option<Vec<Reading>> {
    let urls = files::several(text);
    let all_urls = !urls.is_empty() && urls.iter().all(|url| files::is_bare_url(url));
    all_urls.then(|| {
        let fields = Fields::of_urls(urls.into_iter().map(str::to_owned).collect());
        vec![Reading::Event(fields.into_event())]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Direction, Event, Finish, Kind, RefusedUrl, Transfer};

    fn one(raw: &str) -> Event {
        let readings = read(raw.as_bytes());
        assert_eq!(readings.len(), 1, "{raw}: {readings:?}");
        readings[0]
            .event()
            .unwrap_or_else(|| panic!("{raw}"))
            .clone()
    }

    #[test]
    fn the_same_event_in_every_dialect() {
        let expected = one(
            r#"{"Event":"incoming","Callerid":"05552221133","User":"117","Finishtype":"Ok","Transfer":"True","Did":"","Duration":"00:14","Id":"230307142318_40-1"}"#,
        );
        assert_eq!(expected.kind, Kind::Ended);
        assert_eq!(expected.direction, Some(Direction::Incoming));
        assert_eq!(expected.finish, Some(Finish::Ok));
        assert_eq!(
            (expected.transferred, expected.duration_s),
            (Some(true), Some(14))
        );
        assert_eq!(expected.did, None);
        for same in [
            "\u{feff}{\"event\":\"incoming\",\"callerid\":\" 05552221133\",\"user\":\"117\",\"finishtype\":\"OK\",\"transfer\":\"true\",\"did\":\"empty\",\"duration\":\"0:14\",\"id\":\"230307142318_40-1\",\"new_key\":{\"a\":[1]}}",
            r#"{"Event":"INCOMING","Callerid":05552221133","User":117,"Finishtype":"ok","Transfer":true,"Duration":"14","Id":"230307142318_40-1"}"#,
            r#"{"Event":"incoming","Callerid":05552221133,"User":117,"Finishtype":"ok","Transfer":true,"Duration":"0:00:14","Id":"230307142318_40-1"}"#,
            "event=incoming&callerid=05552221133&user=117&finishtype=Ok&transfer=True&did=&title=Rule A:Answered call from 05552221133 (0:14)&id=230307142318_40-1",
            "?event=incoming&callerid=05552221133&user=117&finishtype=Ok&transfer=True&did=empty&title=Rule+A%3AAnswered+call+from+05552221133+%280%3A14%29&id=230307142318_40-1",
            r#"{"event":"incoming","title":"Success call N(0:14)","callerid":"05552221133","user":"117","finishtype":"Ok","transfer":"True","id":"230307142318_40-1"}"#,
        ] {
            assert_eq!(one(same), expected, "{same}");
        }
    }

    /// The name of the rule that let a call in.
    #[test]
    fn a_rule_is_told_by_either_key() {
        for (raw, expected) in [
            (
                r#"{"event":"ringing","inbound_did":"Rule A"}"#,
                Some("Rule A"),
            ),
            (
                r#"{"event":"ringing","Did":"","Inbound_Did":" Rule A "}"#,
                Some("Rule A"),
            ),
            ("event=ringing&did=empty&inbound_did=Rule+A", Some("Rule A")),
            (
                r#"{"event":"ringing","inbound_did":"Rule A","did":"Rule B"}"#,
                Some("Rule B"),
            ),
            (r#"{"event":"ringing","inbound_did":"empty"}"#, None),
        ] {
            assert_eq!(one(raw).did.as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn event_names() {
        use Direction::{Incoming, Outgoing};
        for (name, kind, direction) in [
            ("ringing", Kind::Ringing, None),
            ("dialing", Kind::Dialing, Some(Outgoing)),
            ("incomingcall_started", Kind::Answered, Some(Incoming)),
            ("outgoingcall_started", Kind::Answered, Some(Outgoing)),
            ("hangupincoming", Kind::Answered, Some(Incoming)),
            ("hangupoutgoing", Kind::Answered, Some(Outgoing)),
            ("pickupincoming", Kind::Answered, Some(Incoming)),
            ("PickupOutgoing ", Kind::Answered, Some(Outgoing)),
            ("incoming", Kind::Ended, Some(Incoming)),
            ("outgoing", Kind::Ended, Some(Outgoing)),
            ("recording", Kind::Recording, None),
            ("extension_status", Kind::Unknown, None),
        ] {
            let event = one(&format!(r#"{{"event":"{name}","id":"230307142318_40-1"}}"#));
            assert_eq!((event.kind, event.direction), (kind, direction), "{name}");
        }
    }

    #[test]
    fn announcements_in_every_shape() {
        let url = "https://FQDN:5001/webapi/recording/230307142318_40-2-1.mp3";
        for (raw, kind) in [
            (
                format!(r#"{{"Event":"recording","FileUrls":["{url}"]}}"#),
                Kind::Recording,
            ),
            (format!(r#"{{"FILES":["{url}"]}}"#), Kind::Recording),
            (format!(r#"{{"FILES":"{url}"}}"#), Kind::Recording),
            (
                format!(r#"{{"event":"incoming","files":["{url}"],"finishtype":"OK"}}"#),
                Kind::Ended,
            ),
            (url.to_owned(), Kind::Recording),
            (format!("\"{url}\""), Kind::Recording),
            (format!("[\"{url}\"]"), Kind::Recording),
            (format!("event=recording&files={url}"), Kind::Recording),
            (
                format!("%EF%BB%BFevent=recording&files[]={url}"),
                Kind::Recording,
            ),
            (
                format!("event=recording&files=[\"{url}\"]"),
                Kind::Recording,
            ),
            (url.replace("FQDN", "3CX FQDN"), Kind::Recording),
            (
                url.replace(":/", "%3A%2F").replace('/', "%2f"),
                Kind::Recording,
            ),
        ] {
            let event = one(&raw);
            assert_eq!(event.kind, kind, "{raw}");
            assert_eq!(event.files.len(), 1, "{raw}");
            assert_eq!(event.files[0].recording.as_str(), "230307142318_40-2-1");
            let path = event.files[0].path.as_ref().unwrap().as_str();
            assert_eq!(path, "/webapi/recording/230307142318_40-2-1.mp3");
            assert_eq!(event.leg.unwrap().to_string(), "230307142318_40-2");
        }
        let other = url.replace("-2-1", "-1-1");
        for raw in [
            format!("{url}\n{other}"),
            format!(r#"{{"FILES":"{url},{other}"}}"#),
            format!(r#"{{"FILES":"{url}\n{other} "}}"#),
            format!(r#"{{"FILES":["{url}; {other}"]}}"#),
            format!("files={url},{other}"),
            format!("{url}\n{other}")
                .replace(':', "%3A")
                .replace('/', "%2F")
                .replace('\n', "%0A"),
            format!("files[]={url}&files[]={other}"),
            format!("files[0]={url}&files[1]={other}"),
            format!("FILES=[\"{url}\",\"{other}\"]"),
        ] {
            let several = one(&raw);
            let names = several.files.iter().map(|file| file.recording.as_str());
            assert_eq!(
                names.collect::<Vec<_>>(),
                ["230307142318_40-2-1", "230307142318_40-1-1"],
                "{raw}"
            );
            assert_eq!(several.leg, None, "two legs: neither is the event's own");
        }
    }

    #[test]
    fn urls_that_are_never_requested() {
        for (url, expected) in [
            ("https://h/webapi/recording/my%20file.mp3", Ok(())),
            ("https://3CX FQDN:port/webapi/recording/x.mp3", Ok(())),
            (
                "https://h/other/230307142318_40-2-1.mp3",
                Err(RefusedUrl::OffPath),
            ),
            (
                "https://h/webapi/recording/../x.mp3",
                Err(RefusedUrl::OffPath),
            ),
            (
                "https://h/webapi/recording/%2e%2e%2fx.mp3",
                Err(RefusedUrl::OffPath),
            ),
            (
                "https://h/webapi/recording/%2E%2e",
                Err(RefusedUrl::OffPath),
            ),
            (
                "https://h/webapi/recording/a\r\nb.mp3",
                Err(RefusedUrl::OffPath),
            ),
            ("https://h/webapi/recording/", Err(RefusedUrl::OffPath)),
            ("file:///etc/passwd", Err(RefusedUrl::NotAUrl)),
            ("nothing", Err(RefusedUrl::NotAUrl)),
        ] {
            let body = serde_json::json!({ "FILES": [url] }).to_string();
            let event = one(&body);
            let file = &event.files[0];
            assert_eq!(
                file.path.as_ref().map(|_| ()).map_err(|e| *e),
                expected,
                "{url}"
            );
            assert!(file.recording.as_str().starts_with("u-"), "{url}");
            assert_eq!(file.recording.as_str().len(), 18);
        }
    }

    #[test]
    fn damage() {
        let raw = r#"{ "Event": "outgoing", "Callerid": "05552221133", "User": "117", "Id": 30307135611_31-1"}"#;
        let readings = read(raw.as_bytes());
        let [Reading::Repaired(event)] = readings.as_slice() else {
            panic!("{readings:?}")
        };
        assert_eq!(event.damaged_id.as_deref(), Some("30307135611_31-1"));
        assert_eq!(event.leg, None);
    }

    #[test]
    fn what_nobody_can_read_says_so() {
        for raw in [
            "",
            "   ",
            "{",
            "hello",
            "[]",
            "42",
            "null",
            "a=b&c=d",
            "abc==",
            "https://h/webapi/recording/230307142318_40-2-1.mp3 is ready",
            "\u{0}\u{1}",
        ] {
            assert_eq!(
                read(raw.as_bytes()),
                vec![Reading::NotUnderstood],
                "{raw:?}"
            );
        }
        assert_eq!(read(&[0xff, 0xfe, 0x00]), vec![Reading::NotUnderstood]);
        let urls = |count: usize| vec!["https://h/webapi/recording/x.mp3"; count].join("\n");
        assert_eq!(one(&urls(FILES_MAX)).files.len(), FILES_MAX);
        let too_many = urls(FILES_MAX + 1);
        assert_eq!(read(too_many.as_bytes()), vec![Reading::NotUnderstood]);
        let mixed = read(br#"[{"event":"ringing","id":"230307142318_40-0"},7,{"event":"login"}]"#);
        let kinds: Vec<_> = mixed.iter().map(|r| r.event().map(|e| e.kind)).collect();
        assert_eq!(kinds, [Some(Kind::Ringing), None, Some(Kind::Unknown)]);
    }

    #[test]
    fn sentinels_say_nothing() {
        let event =
            one(r#"{"event":"dialing","callerid":"MAKECALL","user":"117","trtype":"Accomp"}"#);
        assert_eq!(event.external, None);
        assert_eq!(event.handed_on, Some(Transfer::Attended));
        let event = one("event=ringing&callerid=+420774852629&user=800");
        assert_eq!(event.external.as_deref(), Some("+420774852629"));
    }
}
