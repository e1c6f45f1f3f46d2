//! Who uses no pointer: everything is reached by keys, and it is seen where one is.

use fantoccini::key::Key;

use super::{ATTENDED, FIRST, SECOND, audio};
use crate::support::browser::Browser;
use crate::support::calls::post_table;
use crate::support::pbx::Pbx;
use crate::support::people;
use crate::support::service::Setup;

/// More stops has no page here.
const STOPS_MAX: usize = 60;

fn press(browser: &Browser, key: Key) {
    browser.press(&char::from(key).to_string());
}

/// To what is called so; each stop on the way is marked.
fn tab_to(browser: &Browser, role: &str, name: &str) {
    let mut stops = Vec::new();
    for _ in 0..STOPS_MAX {
        press(browser, Key::Tab);
        let is_marked = browser.script(
            "const at = document.activeElement;
             // A part within it, as a date's button for its calendar, which the browser marks.
             if (!at.matches(':focus')) return at.matches(':focus-within');
             const style = getComputedStyle(at);
             return at.matches(':focus-visible') && style.outlineStyle !== 'none'
                 && parseFloat(style.outlineWidth) >= 2;",
        );
        let (label, is) = browser.focused();
        assert!(is_marked == true, "the focus is not seen on {is} {label:?}");
        if is == role && label.contains(name) {
            return;
        }
        stops.push(format!("{is} {label:?}"));
    }
    panic!("no {role} {name:?} among {stops:#?}");
}

#[test]
fn all_can_be_done_with_keys() {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    post_table(&service, 2);
    service.wait_for_recordings("archived", 2);
    let token = people::add(&service, "kim", "compliance", &[]);
    let browser = Browser::start(service.admin());

    browser.open("/");
    let (label, _) = browser.focused();
    assert_eq!(label, "Token", "where one begins");
    browser.press(&token);
    press(&browser, Key::Enter);
    browser.wait_for_text("Sign out");
    tab_to(&browser, "textbox", "Number");
    browser.press("05552221133");
    press(&browser, Key::Enter);
    browser.wait_until(
        "it is searched",
        "location.search === '?number=05552221133'",
    );
    tab_to(&browser, "link", "14:23");
    press(&browser, Key::Enter);
    browser.wait_for_text("Why do you listen?");
    assert_eq!(browser.path(), ATTENDED);
    tab_to(&browser, "textbox", "Why do you listen?");
    browser.press("complaint 4711");
    press(&browser, Key::Enter);
    browser.wait_for_text("You listen because: complaint 4711");
    listen(&browser);
    browser.finish();
}

fn listen(browser: &Browser) {
    let (first, second) = (audio(FIRST), audio(SECOND));
    let seconds = |of: &str| {
        let at = browser.script(&format!("return {of}.currentTime"));
        at.as_f64().expect("seconds")
    };
    browser.wait_until_complete();
    // Changed one's mind at once: no complaint.
    browser.press("  ");
    browser.press(" ");
    browser.wait_until("it plays", &format!("{first}.currentTime > 0.3"));
    browser.press(" ");
    browser.wait_until("it pauses", &format!("{first}.paused"));
    let paused_at = seconds(&first);
    for (key, expected) in [(Key::Right, paused_at + 5.0), (Key::Left, paused_at)] {
        press(browser, key);
        let at = seconds(&first);
        assert!((at - expected).abs() < 0.01, "{at}, not {expected}");
    }

    browser.press(" ]");
    browser.wait_until("the second plays", &format!("{second}.currentTime > 0.3"));
    browser.wait_until("alone", &format!("{first}.paused && !{second}.paused"));
    browser.wait_until(
        "it has the focus",
        &format!("document.activeElement === {second}"),
    );
    browser.press("[");
    browser.wait_until(
        "the first again",
        &format!("{second}.paused && !{first}.paused"),
    );
    browser.press(" ");
    browser.wait_until("it pauses", &format!("{first}.paused"));
}
