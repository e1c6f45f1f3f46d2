//! How recordings are announced, and which of them are asked for.

use callvault::model::digest::Digest;
use serde_json::{Value, json};

use crate::support::hook::{self, Request, acknowledged, target};
use crate::support::pbx::{Answer, Pbx};
use crate::support::service::{Service, Setup};

const JSON: &str = "application/json";
const OFF_PATH: &str = "url_off_path";
const FORM: &str = "application/x-www-form-urlencoded";

const ENDED_WITH_FILE: &str = r#"{"event":"incoming","callerid":"05552221133","user":"117","finishtype":"OK","transfer":"false","did":"empty","FILES":["URL1"],"id":"CALL-1"}"#;

fn start() -> (Pbx, Service) {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    (pbx, service)
}

/// The row of a recording, as `show` says it.
fn recording(service: &Service, id: &str) -> Value {
    service.json(&["show", id]).remove(0)
}

#[test]
fn an_announcement_in_every_shape() {
    let (pbx, service) = start();
    // With how many files each announces.
    let shapes = [
        (
            JSON,
            r#"{"Event":"recording","FileUrls":["URL1"],"User":"117","Id":"CALL-1"}"#,
            1,
        ),
        (JSON, r#"{"FILES":["URL1"]}"#, 1),
        (JSON, r#"{"files":"URL1"}"#, 1),
        (JSON, ENDED_WITH_FILE, 1),
        ("text/plain", "URL1", 1),
        ("", "\u{feff}URL1\r\n", 1),
        (JSON, r#""URL1""#, 1),
        (FORM, "event=recording&files=URL1&id=CALL-1", 1),
        (
            JSON,
            r#"{"Event":"recording","FileUrls":["URL1","URL2"],"Id":"CALL-1"}"#,
            2,
        ),
        (JSON, r#"["URL1","URL2"]"#, 2),
        ("text/plain", "URL1\nURL2\n", 2),
    ];
    let mut announced = 0;
    for (counter, (content_type, shape, files)) in (1..).zip(&shapes) {
        let call = format!("230307142318_{counter}");
        let url = |part| format!("https://FQDN:5001/webapi/recording/{call}-1-{part}.mp3");
        let body = shape
            .replace("URL1", &url(1))
            .replace("URL2", &url(2))
            .replace("CALL", &call);
        for part in 1..=*files {
            let name = format!("{call}-1-{part}");
            pbx.script(&name, [Answer::audio("230307142318_40-1-1")]);
        }
        acknowledged(
            service.hook(),
            &Request::post(target("hq"), content_type, &body),
        );
        announced += files;
        service.wait_until_read();
        let found = service.number(&format!(
            "SELECT count(*) FROM recordings WHERE call = '{call}' AND leg = 1"
        ));
        assert_eq!(found, *files, "{body}");
    }
    service.wait_for_recordings("archived", announced);
    let deliveries = service.number("SELECT count(DISTINCT seq) FROM events");
    assert_eq!(deliveries, shapes.len() as i64);
    let ended = "SELECT count(*) FROM events WHERE kind = 'ended'";
    assert_eq!(service.number(ended), 1, "the end event with files");
}

/// A host is whatever somebody has set the PBX up with; most of these no URL parser takes.
#[test]
fn a_bare_url_is_an_announcement_whatever_its_host() {
    let (pbx, service) = start();
    let hosts = [
        "FQDN_with_underscore!:5001",
        "FQDN:port",
        "<FQDN>:5001",
        "[FQDN",
        "a:b:c",
        "100%",
        "\u{fffd}",
        "",
    ];
    let mut expected = Vec::new();
    for (counter, host) in (1..).zip(hosts) {
        let recording = format!("250101120000_{counter}-1-1");
        pbx.script(&recording, [Answer::audio("230307142318_40-1-1")]);
        let body = format!("https://{host}/webapi/recording/{recording}.mp3");
        // What a PBX says that a body is tells nothing.
        let content_type = ["text/plain", JSON, FORM, ""][counter % 4];
        let request = Request::post(target("hq"), content_type, &body);
        acknowledged(service.hook(), &request);
        service.wait_until_read();
        let read = service.rows(&format!(
            "SELECT json_array(kind, call, leg) FROM events WHERE seq = {counter}"
        ));
        let call = format!("250101120000_{counter}");
        assert_eq!(read, [json!(["recording", call, 1])], "{body}");
        assert_eq!(self::recording(&service, &recording)["source_url"], body);
        expected.push(format!("/webapi/recording/{recording}.mp3"));
    }
    service.wait_for_recordings("archived", hosts.len() as i64);
    let mut asked: Vec<String> = pbx.requests().into_iter().map(|r| r.path).collect();
    asked.sort();
    assert_eq!(asked, expected);
}

#[test]
fn a_recording_belongs_to_the_leg_in_its_file_name() {
    let (_pbx, service) = start();
    for file in ["230307142318_40-2-1", "230307142318_40-1-1"] {
        let url = format!("https://FQDN:5001/webapi/recording/{file}.mp3");
        let event = json!({"Event": "recording", "FileUrls": [url], "User": "117",
            "Id": "230307142318_40-1"});
        hook::post(service.hook(), event.to_string());
    }
    service.wait_for_recordings("archived", 2);
    let mismatched = recording(&service, "hq/230307142318_40-2-1");
    assert_eq!(
        (&mismatched["leg"], &mismatched["flags"]),
        (&json!(2), &json!(["id_mismatch"]))
    );
    // The event's user is that of the leg it names.
    assert_eq!(mismatched["extension"], Value::Null);
    let own = recording(&service, "230307142318_40-1-1");
    assert_eq!(
        (&own["leg"], &own["flags"], &own["extension"]),
        (&json!(1), &json!([]), &json!("117"))
    );
}

#[test]
fn a_file_name_that_is_no_id_is_archived_by_its_url() {
    let (pbx, service) = start();
    let path = "/webapi/recording/owner%20greeting.mp3";
    let url = format!("https://FQDN:5001{path}");
    pbx.script_path(path, [Answer::audio("230307142318_40-1-1")]);
    hook::post(service.hook(), format!(r#"{{"FILES":["{url}"]}}"#));
    service.wait_for_recordings("archived", 1);
    let name = format!("hq/u-{}", &Digest::of(url.as_bytes()).to_string()[..16]);
    let recording = recording(&service, &name);
    for key in ["call", "leg", "part", "direction", "started_at"] {
        assert_eq!(recording[key], Value::Null, "{key}");
    }
    // Dated by its announcement, in the PBX's own zone.
    let announced: jiff::Timestamp = recording["announced_at"].as_str().unwrap().parse().unwrap();
    let prague = jiff::tz::TimeZone::get("Europe/Prague").unwrap();
    let day = announced
        .to_zoned_datetime(prague)
        .strftime("%Y/%m/%d")
        .to_string();
    let file = name.strip_prefix("hq/").unwrap();
    assert_eq!(recording["object_key"], format!("hq/{day}/{file}.mp3"));
}

#[test]
fn a_url_off_the_recording_path_is_never_fetched() {
    let (pbx, service) = start();
    let base = pbx.base_url();
    let long = format!("{base}/webapi/recording/{}.mp3", "a".repeat(3000));
    let below_base = |path: &str| format!("{base}/webapi/{path}");
    let urls = [
        (below_base("other/230307142318_40-1-1.mp3"), OFF_PATH),
        (
            below_base("recording/../users/230307142318_40-1-1.mp3"),
            OFF_PATH,
        ),
        (below_base("recording/%2e%2e%2fusers.mp3"), OFF_PATH),
        (
            below_base("recording/sub/230307142318_40-1-1.mp3"),
            OFF_PATH,
        ),
        (below_base("recording/"), OFF_PATH),
        (base.clone(), OFF_PATH),
        ("file:///etc/passwd".to_owned(), "url_invalid"),
        ("no URL at all".to_owned(), "url_invalid"),
        (long, "url_too_long"),
    ];
    for (url, _) in &urls {
        hook::post(
            service.hook(),
            json!({"Event": "recording", "FileUrls": [url]}).to_string(),
        );
    }
    // Another host is no reason: only the path is taken, and asked of this PBX.
    let elsewhere = "http://169.254.169.254/webapi/recording/230307142318_40-2-1.mp3";
    hook::post(service.hook(), elsewhere);
    service.wait_for_recordings("archived", 1);
    for (url, code) in &urls {
        let name = format!("u-{}", &Digest::of(url.as_bytes()).to_string()[..16]);
        let found = service.rows(&format!(
            "SELECT json_array(state, code, attempts, call) FROM recordings \
                WHERE recording = 'hq/{name}'"
        ));
        assert_eq!(found, [json!(["failed", code, 0, null])], "{url}");
        assert!(recording(&service, &name)["last_error"].is_string());
    }
    let asked: Vec<String> = pbx
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(asked, ["/webapi/recording/230307142318_40-2-1.mp3"]);
}
