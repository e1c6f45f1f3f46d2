//! What every page owes everybody: no barrier, room on a telephone, nothing that jumps.

use std::fmt::Write as _;

use serde_json::Value;

use super::{ATTENDED, FIRST, give_reason, sign_in};
use crate::support::browser::{Browser, DESK_PX, TELEPHONE_PX};
use crate::support::calls::{RECORDINGS, announce, post_corpus, url};
use crate::support::pbx::{Answer, Pbx};
use crate::support::people;
use crate::support::service::{Service, Setup};

const AXE: &str = include_str!("../../vendored/axe.min.js");

/// Every kind of page has something on it: failures, refusals, tokens, custody, a reason asked for
/// and one given.
fn archive(pbx: &Pbx) -> Service {
    pbx.script("greeting", [Answer::audio(FIRST)]);
    let service = Setup::hq(&pbx.base_url()).start();
    post_corpus(&service);
    announce(&service, &url("greeting"));
    announce(
        &service,
        "https://pbx.example:5001/other/230401142318_1-1-1.mp3",
    );
    service.wait_for_recordings("archived", RECORDINGS.len() as i64 + 1);
    service.wait_for_recordings("failed", 1);
    people::add(&service, "old", "viewer", &["--extension", "117"]);
    people::revoke(&service, "old");
    service
}

/// Serious and critical findings of axe, which is there already, each with the first places where it is.
fn barriers(browser: &Browser) -> String {
    let found = browser.script(
        "const { violations } = await axe.run(document, { resultTypes: ['violations'] });
         return violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))
             .map(({ id, help, nodes }) => [id, help, nodes.length, nodes.slice(0, 3)
                 .map(({ html, failureSummary }) => html.slice(0, 200) + failureSummary)]);",
    );
    let mut text = String::new();
    for one in found.as_array().expect("findings") {
        writeln!(text, "{one:#}").expect("a string takes all");
    }
    text
}

/// How much wider a page is than there is room.
fn overhang(browser: &Browser) -> Value {
    browser.script(
        "const { scrollWidth, clientWidth } = document.documentElement;
         return scrollWidth - clientWidth;",
    )
}

/// How much moved without anybody's doing while a page came, its waveforms with it. What the
/// browser moves within its own player is no part of the page.
fn shifted(browser: &Browser) -> f64 {
    browser.wait_until(
        "there are waveforms",
        "[...document.querySelectorAll('*')].filter((one) =>
             one.shadowRoot?.querySelector('canvas')?.width > 0).length === 2",
    );
    let shifted = browser.script(
        "const painted = () => new Promise(requestAnimationFrame);
         let shifted = 0;
         new PerformanceObserver((list) => list.getEntries().forEach((one) => {
             if (one.sources.some(({ node }) => node)) shifted += one.value;
         })).observe({ type: 'layout-shift', buffered: true });
         for (let frame = 0; frame < 5; frame += 1) await painted();
         return shifted;",
    );
    shifted.as_f64().expect("a sum")
}

#[test]
fn no_page_has_a_barrier_or_is_too_wide() {
    let pbx = Pbx::start();
    let service = archive(&pbx);
    let kim = people::add(&service, "kim", "compliance", &[]);
    let ada = people::add(&service, "ada", "admin", &[]);
    let strange = service.rows(
        "SELECT json_quote(recording) FROM recordings WHERE call IS NULL AND state = 'archived'",
    );
    let recording = format!("/recording/{}", strange[0].as_str().expect("a recording"));
    let mut browser = Browser::start(service.admin());
    let mut found = String::new();
    let mut look = |browser: &Browser, path: &str| {
        browser.open(path);
        browser.run(AXE, Vec::new());
        for (width_px, scheme) in [
            (DESK_PX, "light"),
            (DESK_PX, "dark"),
            (TELEPHONE_PX, "light"),
        ] {
            browser.be_wide(width_px);
            browser.prefer(scheme);
            let (barriers, overhang) = (barriers(browser), overhang(browser));
            if !barriers.is_empty() {
                found += &format!("{path}, {scheme}, {width_px} px: {barriers}\n");
            }
            if overhang != 0 {
                found += &format!("{path}, {width_px} px: too wide by {overhang} px\n");
            }
        }
    };
    look(&browser, "/sign-in");
    sign_in(&browser, &kim);
    for path in [
        "/",
        "/?number=05552221133&outcome=answered",
        ATTENDED,
        &recording,
    ] {
        look(&browser, path);
    }
    browser.open(ATTENDED);
    give_reason(&browser, "complaint 4711");
    look(&browser, ATTENDED);
    look(&browser, "/custody");
    for width_px in [DESK_PX, TELEPHONE_PX] {
        browser.be_wide(width_px);
        browser.open(ATTENDED);
        assert_eq!(shifted(&browser), 0.0, "{width_px} px wide");
    }
    let exchanges = browser.exchanges();
    let mut heard = exchanges.iter().filter(|one| one.url.ends_with("/audio"));
    assert!(
        heard.next().is_none(),
        "nothing is fetched before it is played"
    );
    sign_in(&browser, &ada);
    look(&browser, "/health");
    look(&browser, "/tokens");
    assert!(found.is_empty(), "{found}");
    browser.finish();
}
