//! Who looks into a complaint: finds a call, says why, hears it; and who may not hear.

use serde_json::json;

use super::{ATTENDED, FIRST, SECOND, audio, give_reason, player, search, sign_in};
use crate::support::browser::{Browser, link};
use crate::support::calls::{RECORDINGS, post_corpus, post_table};
use crate::support::pbx::{Answer, Pbx};
use crate::support::people;
use crate::support::service::Setup;
use crate::support::vault::Vault;

/// A frame of MPEG-1 Layer III at 320 kbit/s and 44.1 kHz that holds silence: 26 ms.
const FRAME_BYTES: usize = 1044;
const FRAME_HEADER: [u8; 4] = [0xff, 0xfb, 0xe0, 0xc4];
/// So slow that a browser cannot have all of a long recording at once.
const SLOW_BYTES_A_S: u32 = 64 * 1024;

/// About half a minute, of more bytes than a browser reads ahead on a slow line.
fn long_recording() -> Vec<u8> {
    let mut frame = FRAME_HEADER.to_vec();
    frame.resize(FRAME_BYTES, 0);
    frame.repeat(1200)
}

#[test]
fn a_compliance_officer_finds_a_call_and_hears_it() {
    let pbx = Pbx::start();
    pbx.script(SECOND, [Answer::ok(long_recording())]);
    let vault = Vault::bucket();
    let service = vault.set_up(Setup::hq(&pbx.base_url())).start();
    post_corpus(&service);
    service.wait_for_recordings("archived", RECORDINGS.len() as i64);
    let token = people::add(&service, "kim", "compliance", &[]);

    let mut browser = Browser::start(service.admin());
    sign_in(&browser, &token);
    search(&browser, "+90 555 222 11 33");
    browser.click(&format!("//a[@href='{ATTENDED}']"));
    browser.wait_for_text("Why do you listen?");
    assert_eq!(browser.count("//audio"), 0, "a reason comes first");
    give_reason(&browser, "complaint 4711");
    assert_eq!(browser.count("//audio"), 2);

    // The browser's own play button, at the left of its player.
    browser.click_at(&player(FIRST), 20.0);
    let first = audio(FIRST);
    browser.wait_until("it plays", &format!("{first}.currentTime > 0.5"));
    let loudness = browser.script(&format!(
        "const bytes = await (await fetch({first}.currentSrc)).arrayBuffer();
         const decoded = await new OfflineAudioContext(1, 1, 44100).decodeAudioData(bytes);
         return decoded.getChannelData(0).reduce((most, one) => Math.max(most, Math.abs(one)), 0);"
    ));
    assert!(loudness.as_f64() > Some(0.1), "{loudness}");

    seek(&mut browser);
    browser.click(&format!("//nav{}", link("Custody")));
    browser.wait_for_text("Newest first");
    let row = |recording: &str| {
        format!(
            "//tr[contains(., 'kim of the test') and contains(., 'listened') \
             and contains(., '{recording}') and contains(., 'complaint 4711')]"
        )
    };
    for recording in [FIRST, SECOND] {
        browser.find(&row(recording));
    }
    browser.finish();
}

/// What is played further on is asked for from there on, not from the start.
fn seek(browser: &mut Browser) {
    let slow = json!({
        "offline": false, "latency": 0,
        "downloadThroughput": SLOW_BYTES_A_S, "uploadThroughput": -1,
    });
    browser.devtools("Network.emulateNetworkConditions", slow);
    let second = audio(SECOND);
    browser.click_at(&player(SECOND), 20.0);
    browser.wait_until("it plays", &format!("{second}.currentTime > 0.1"));
    browser.script(&format!("{second}.currentTime = 28"));
    browser.wait_until("it plays on", &format!("{second}.currentTime > 28.2"));
    let first = audio(FIRST);
    browser.wait_until("only one is heard", &format!("{first}.paused"));
    let exchanges = browser.exchanges();
    let of = |recording: &str| {
        let path = format!("{recording}/audio");
        let of = exchanges.iter().filter(move |one| one.url.ends_with(&path));
        of.filter(|one| one.range.is_some()).collect::<Vec<_>>()
    };
    for one in of(FIRST).iter().chain(&of(SECOND)) {
        let seen = (one.status, one.kind.as_str());
        assert_eq!(seen, (206, "audio/mpeg"), "{one:?}");
    }
    let from = |range: &str| {
        range
            .strip_prefix("bytes=")?
            .split('-')
            .next()?
            .parse()
            .ok()
    };
    let starts = of(SECOND).into_iter();
    let starts: Vec<usize> = starts
        .filter_map(|one| from(one.range.as_deref()?))
        .collect();
    let sought = starts.iter().any(|start| *start > 500_000);
    assert!(starts.contains(&0) && sought, "{exchanges:#?}");
}

#[test]
fn who_may_not_hear_is_told_so_and_gets_nothing() {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    post_table(&service, 2);
    service.wait_for_recordings("archived", 2);
    let token = people::add(&service, "sam", "viewer", &[]);
    let mut browser = Browser::start(service.admin());
    sign_in(&browser, &token);
    browser.click(&format!("//a[@href='{ATTENDED}']"));
    browser.wait_for_text("Your role sees recordings and does not hear them");
    assert_eq!(browser.count("//audio | //a[contains(., 'Download')]"), 0);
    assert_eq!(
        browser.count("//main//form"),
        0,
        "nor is a reason asked for"
    );
    let path = format!("/api/v1/recordings/hq/{FIRST}/audio");
    browser.expect_refusal(&path, 403);
    let status = browser.script(&format!("return (await fetch('{path}')).status"));
    assert_eq!(status, 403);
    browser.finish();
}
