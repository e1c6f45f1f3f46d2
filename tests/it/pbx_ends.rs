//! Where a body ends: at any byte, or never.

use std::time::Duration;

use serde_json::json;

use crate::support::outcome::{Archived, announce, assert_archive_holds, outcome};
use crate::support::pbx::{Answer, Pbx, audio};
use crate::support::service::Setup;
use crate::support::wait::wait_for;

/// 94 frames of 144 bytes, for a leg of six seconds.
const FULL: &str = "230307142318_40-2-1";
const LEG_S: u32 = 6;
const FRAME_BYTES: usize = 144;
const WITHIN: Duration = Duration::from_secs(20);

fn name(counter: usize) -> String {
    format!("230307142318_{counter}-1-1")
}

fn id(counter: usize) -> String {
    format!("hq/{}", name(counter))
}

/// A body that ends with its connection is whole by HTTP's word, wherever it ends. Five frames; the
/// leg's duration is not known.
#[test]
fn a_body_without_length_cut_at_every_byte() {
    let whole = audio(FULL)[..5 * FRAME_BYTES].to_owned();
    let pbx = Pbx::start();
    let many = "concurrency = 16";
    let setup = Setup::new().pbx("hq", "Europe/Prague", &pbx.base_url(), many);
    let setup = setup.archive("workers", "16").archive("retry", r#"["1h"]"#);
    let service = setup.archive("recheck_doubtful", r#""1ms""#).start();
    for bytes in 0..=whole.len() {
        pbx.script(&name(bytes), [Answer::ok(&whole[..bytes]).without_length()]);
        announce(&service, &name(bytes), None);
    }
    // A frame counts where a second header follows it, or where it is all there is.
    let has_frames = |bytes: usize| bytes == FRAME_BYTES || bytes >= FRAME_BYTES + 4;
    let (audio, none): (Vec<usize>, Vec<usize>) =
        (0..=whole.len()).partition(|bytes| has_frames(*bytes));
    let within = Duration::from_secs(60);
    let settled = "SELECT count(*) FROM recordings WHERE state = 'archived' \
        OR (state = 'pending' AND code IN ('not_audio', 'body_empty'))";
    wait_for("each is decided on", within, || {
        service.number(settled) == whole.len() as i64 + 1
    });
    for bytes in none {
        let found = outcome(&service, &id(bytes));
        let code = if bytes == 0 {
            "body_empty"
        } else {
            "not_audio"
        };
        assert_eq!(found.code.as_deref(), Some(code), "{bytes}: {found:?}");
        assert_eq!((found.attempts, found.flags), (1, json!([])), "{bytes}");
        let pause_s = found.pause_ms.expect("a next time") / 1000;
        assert!((2880..=4320).contains(&pause_s), "{bytes}: {pause_s} s");
    }
    let ids: Vec<String> = audio.iter().map(|bytes| id(*bytes)).collect();
    let mut expected: Vec<Archived> = Vec::new();
    for (bytes, id) in audio.iter().zip(&ids) {
        let is_cut = bytes % FRAME_BYTES != 0;
        let flags: &[&str] = if is_cut { &["cut"] } else { &[] };
        let asked = pbx.requests_of(&name(*bytes)).len();
        assert_eq!(asked, if is_cut { 2 } else { 1 }, "{bytes}");
        expected.push((id, &whole[..*bytes], flags));
    }
    assert_archive_holds(&service, &expected);
}

/// Neither a body without an end nor a drip holds the service up; the attempt was none.
#[test]
fn a_body_that_never_ends_is_handed_back() {
    let pbx = Pbx::start();
    let drip = Duration::from_millis(250);
    let endless = audio(FULL).repeat(100);
    let answers = [
        Answer::audio(FULL).drip(10, drip),
        Answer::ok(&*endless)
            .without_length()
            .drip(FRAME_BYTES, drip),
        Answer::ok(&*endless).chunked().drip(FRAME_BYTES, drip),
    ];
    let mut service = Setup::hq(&pbx.base_url()).start();
    for (counter, answer) in answers.iter().enumerate() {
        pbx.script(&name(counter), [answer.clone()]);
        announce(&service, &name(counter), Some(LEG_S));
    }
    let began = "SELECT count(*) FROM attempts";
    wait_for("they drip", WITHIN, || {
        service.number(began) == 3 && pbx.requests().len() == 3
    });
    let stopped = service.terminate();
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(stopped.took < Duration::from_secs(10), "{stopped:?}");
    for counter in 0..answers.len() {
        let found = outcome(&service, &id(counter));
        let stood = (found.state.as_str(), found.code.as_deref(), found.attempts);
        assert_eq!(stood, ("pending", None, 0), "{found:?}");
        pbx.script(&name(counter), [Answer::audio(FULL)]);
    }
    assert_eq!(service.number(began), 0, "an interrupted attempt is none");
    let spool = std::fs::read_dir(service.data_dir().join("spool")).expect("the spool");
    assert_eq!(spool.count(), 0, "half a body stayed");
    assert_archive_holds(&service, &[]);
    service.restart();
    service.wait_for_recordings("archived", 3);
    let full = audio(FULL);
    let ids = [0, 1, 2].map(id);
    let expected = ids
        .each_ref()
        .map(|id| (id.as_str(), &*full, [].as_slice()));
    assert_archive_holds(&service, &expected);
}
