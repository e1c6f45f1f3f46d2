//! The page in a real browser: the ways of the people who use it.

mod admin;
mod keyboard;
mod looks;
mod officer;
mod scriptless;
mod seek;

use crate::support::browser::{Browser, WITHIN};
use crate::support::wait::wait_for;

/// The attended transfer of the vendor's documentation, and its two recordings.
const ATTENDED: &str = "/call/hq/230307142318_40";
const FIRST: &str = "230307142318_40-1-1";
const SECOND: &str = "230307142318_40-2-1";

#[track_caller]
fn sign_in(browser: &Browser, token: &str) {
    browser.open("/sign-in");
    enter(browser, token);
}

/// On the form that is there.
#[track_caller]
fn enter(browser: &Browser, token: &str) {
    browser.fill("Token", token);
    browser.click_button("Sign in");
    browser.wait_for_text("Sign out");
}

#[track_caller]
fn give_reason(browser: &Browser, reason: &str) {
    browser.fill("Why do you listen?", reason);
    browser.click_button("Go on");
    browser.wait_for_text(reason);
    browser.wait_until_complete();
}

/// By number; the address changes with the page.
#[track_caller]
fn search(browser: &Browser, number: &str) {
    browser.fill("Number", number);
    browser.click_button("Search");
    wait_for("it is searched", WITHIN, || {
        browser.path().starts_with("/?number=")
    });
}

/// The native player of a recording.
fn player(recording: &str) -> String {
    format!("//audio[contains(@src, '{recording}')]")
}

/// The same for a script.
fn audio(recording: &str) -> String {
    format!("document.querySelector('audio[src*=\"{recording}\"]')")
}
