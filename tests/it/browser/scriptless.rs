//! Who lets no script run: the demo's page does all the same, with the browser's own player.

use super::{FIRST, SECOND, give_reason, player, search, sign_in};
use crate::support::browser::{Browser, WITHIN, link};
use crate::support::demo::Demo;
use crate::support::wait::wait_for;

#[test]
fn all_works_without_scripts() {
    let demo = Demo::start();
    let token = demo.token("kim", "compliance");
    let mut browser = Browser::without_scripts(demo.admin());
    sign_in(&browser, &token);
    search(&browser, "05552221133");
    browser.click("//a[@href='/call/demo/230307142318_40']");
    give_reason(&browser, "complaint 4711");
    assert_eq!(
        browser.shown("//select"),
        0,
        "nothing that a script would add"
    );
    assert_eq!(browser.count("//audio[@controls]"), 2);
    browser.click_at(&player(SECOND), 20.0);
    let path = format!("/api/v1/recordings/demo/{SECOND}/audio");
    wait_for("audio comes", WITHIN, || {
        let exchanges = browser.exchanges();
        let mut of = exchanges.iter().filter(|one| one.url.ends_with(&path));
        of.any(|one| (one.status, one.kind.as_str()) == (206, "audio/mpeg"))
    });
    browser.click(&format!("//nav{}", link("Custody")));
    let heard = "//tr[contains(., 'listened') and contains(., 'complaint 4711')]";
    let of = |recording: &str| format!("{heard}[contains(., '{recording}')]");
    browser.find(&of(SECOND));
    assert_eq!(browser.count(&of(FIRST)), 0, "what was not played");
    browser.finish();
}
