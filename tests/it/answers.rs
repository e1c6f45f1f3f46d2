//! What a PBX may answer before it gives a recording.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::hook;
use crate::support::pbx::{Answer, Pbx, audio};
use crate::support::service::{Service, Setup};
use crate::support::wait::wait_for;

const RECORDING: &str = "230307142318_40-1-1";

fn start(pbx: &Pbx) -> Service {
    let setup = Setup::hq(&pbx.base_url()).archive("retry", r#"["1ms"]"#);
    setup.start()
}

fn announce(service: &Service) {
    let url = format!("https://FQDN:5001/webapi/recording/{RECORDING}.mp3");
    hook::post(service.hook(), url);
}

/// The codes of all ended attempts, null for success.
fn codes(service: &Service) -> Vec<Value> {
    let sql = "SELECT json_quote(code) FROM attempts WHERE ended_at IS NOT NULL ORDER BY attempt";
    service.rows(sql)
}

/// Each answer is asked for once: none of them stands in for the next one.
#[test]
fn a_recording_comes_after_every_bad_answer() {
    let pbx = Pbx::start();
    let cut = &audio(RECORDING)[..1000];
    let answers = [
        (Answer::status(404), "not_there"),
        (Answer::status(410), "not_there"),
        (Answer::status(500), "pbx_failed"),
        (Answer::status(503).header("Retry-After", "0"), "pbx_busy"),
        (Answer::status(401), "pbx_login"),
        (Answer::status(206).body(cut), "pbx_status"),
        (Answer::redirect("http://127.0.0.1:9/elsewhere"), "redirect"),
        (Answer::ok("<html>come back later</html>"), "not_audio"),
        (Answer::ok("").without_length(), "body_empty"),
        (Answer::audio(RECORDING).cut(1000), "body_short"),
        (Answer::audio(RECORDING).length_off_by(50), "body_short"),
        (Answer::audio(RECORDING).chunked_without_end(), "body_short"),
        (Answer::garbage("no HTTP\r\n\r\n"), "pbx_unreachable"),
        (Answer::hang_up(), "pbx_unreachable"),
    ];
    let (script, mut expected): (Vec<Answer>, Vec<Value>) = answers
        .into_iter()
        .map(|(answer, code)| (answer, json!(code)))
        .unzip();
    let good = Answer::audio(RECORDING)
        .chunked()
        .drip(4000, Duration::from_millis(1))
        .delay(Duration::from_millis(20));
    pbx.script(RECORDING, script.into_iter().chain([good]));
    expected.push(Value::Null);
    let service = start(&pbx);
    announce(&service);
    service.wait_for_recordings("archived", 1);
    assert_eq!(codes(&service), expected);
    assert_eq!(pbx.requests().len(), expected.len());
    let fetched = service.dir().join("fetched");
    let fetch = service.cli(&["fetch", RECORDING, "-o", fetched.to_str().unwrap()]);
    assert_eq!(fetch.status, 0, "{}", fetch.stderr);
}

#[test]
fn a_pbx_that_is_away_is_waited_for() {
    let mut pbx = Pbx::start();
    pbx.go_down();
    let service = start(&pbx);
    announce(&service);
    let tried = |count| {
        wait_for("it is tried again", Duration::from_secs(20), || {
            codes(&service).len() >= count
        });
    };
    tried(2);
    pbx.hang_up_at_accept();
    tried(4);
    pbx.come_back();
    service.wait_for_recordings("archived", 1);
    let mut codes = codes(&service);
    assert_eq!(codes.pop(), Some(Value::Null));
    assert!(
        codes.iter().all(|code| code == "pbx_unreachable"),
        "{codes:?}"
    );
}
