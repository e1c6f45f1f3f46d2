//! Who keeps it running: sees what is wrong, and does something about it.

use std::time::Duration;

use super::{FIRST, enter, sign_in};
use crate::support::browser::Browser;
use crate::support::inside::Inside;
use crate::support::pbx::{Answer, Pbx};
use crate::support::people;
use crate::support::service::Setup;

const HOUR: Duration = Duration::from_secs(3600);

/// How red the words are that a person must act: more than they are green or blue.
fn is_red(browser: &Browser) -> bool {
    let colour = browser.script(
        "const all = [...document.querySelectorAll('main *')];
         const said = all.findLast((one) => one.textContent.includes('A person must act')
             && one.children.length < 2);
         return getComputedStyle(said).color.match(/[0-9]+/g).map(Number);",
    );
    let part = |at: usize| colour[at].as_i64().expect("a colour");
    part(0) > part(1) + 50 && part(0) > part(2) + 50
}

#[test]
fn an_administrator_sees_a_failure_retries_it_and_sees_silence() {
    let pbx = Pbx::start();
    pbx.script(FIRST, [Answer::status(404)]);
    let keeps = "source_keeps = \"1h\"";
    let setup = Setup::new().pbx("hq", "Europe/Prague", &pbx.base_url(), keeps);
    let inside = Inside::start(setup);
    inside.announce("hq", FIRST);
    inside.files.wait_until_read();
    inside.turn_to_next_try();
    inside.wait_for_attempts(1);
    inside.turn(2 * HOUR);
    inside.files.wait_for_recordings("failed", 1);
    let token = people::add(&inside.files, "ada", "admin", &[]);

    let browser = Browser::start(inside.admin());
    sign_in(&browser, &token);
    browser.open("/health");
    browser.wait_for_text("A person must act");
    browser.wait_for_text("1 recording of hq has failed");
    assert!(is_red(&browser));
    pbx.script(FIRST, [Answer::audio(FIRST)]);
    browser.click_button(&format!("Retry hq/{FIRST}"));
    browser.wait_for_text("It is due again");
    inside.files.wait_for_recordings("archived", 1);
    browser.open("/health");
    browser.wait_for_text("All is well");
    browser.wait_for_text("Nothing is pending, and nothing has failed");

    inside.turn(25 * HOUR);
    // So is the session over, which comes back to where it was.
    browser.open("/health");
    enter(&browser, &token);
    assert_eq!(browser.path(), "/health");
    browser.wait_for_text("A person must act");
    browser.wait_for_text("Hq has sent no event for 27 h");
    assert!(is_red(&browser));
    browser.finish();
}
