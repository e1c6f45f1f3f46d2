//! A person's browser: pages by what a person sees of them, keys and clicks, and in the end proof
//! that it asked nobody else for anything and that no script or policy was broken.
//!
//! Never here: the page's own classes and ids, which are nobody's business.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use fantoccini::Locator;
use fantoccini::actions::{
    InputSource as _, KeyAction, KeyActions, MOUSE_BUTTON_LEFT, MouseActions, PointerAction,
};
use fantoccini::elements::Element;
use serde_json::{Value, json};
use warp::http::Method;

use super::driver::Driver;
use super::wait::wait_for;

pub const WITHIN: Duration = Duration::from_secs(20);

/// A usual telephone, and a usual screen.
pub const TELEPHONE_PX: u32 = 390;
pub const DESK_PX: u32 = 1280;

pub struct Browser {
    driver: Driver,
    origin: String,
    /// What it did on the network so far, as DevTools' protocol tells it.
    network: Vec<Value>,
    refused: Vec<(String, u64)>,
    is_finished: bool,
}

/// A request that was answered.
#[derive(Debug)]
pub struct Exchange {
    pub url: String,
    pub range: Option<String>,
    pub status: u64,
    pub kind: String,
}

impl Browser {
    pub fn start(admin: SocketAddr) -> Browser {
        Browser::start_with(admin, json!({}))
    }

    /// Pages' scripts do not run.
    pub fn without_scripts(admin: SocketAddr) -> Browser {
        let off = json!({ "profile.managed_default_content_settings.javascript": 2 });
        Browser::start_with(admin, off)
    }

    fn start_with(admin: SocketAddr, preferences: Value) -> Browser {
        Browser {
            driver: Driver::start(preferences),
            origin: format!("http://{admin}"),
            network: Vec::new(),
            refused: Vec::new(),
            is_finished: false,
        }
    }

    /// The address was typed.
    #[track_caller]
    pub fn open(&self, path: &str) {
        let url = format!("{}{path}", self.origin);
        self.driver.wait(self.driver.client.goto(&url));
    }

    /// An address that must be answered so, where else any failure is the page's fault.
    pub fn expect_refusal(&mut self, path: &str, status: u64) {
        self.refused
            .push((format!("{}{path}", self.origin), status));
    }

    /// Path and query of where it is.
    pub fn path(&self) -> String {
        let url = self.driver.wait(self.driver.client.current_url());
        let url = url.to_string();
        url.strip_prefix(&self.origin).unwrap_or(&url).to_owned()
    }

    #[track_caller]
    pub fn wait_for_text(&self, text: &str) {
        let body = format!("//body[contains(normalize-space(.), {})]", quoted(text));
        let is_shown = || self.count(&body) > 0;
        wait_for(&format!("{text:?} is shown"), WITHIN, is_shown);
    }

    #[track_caller]
    pub fn find(&self, xpath: &str) -> Element {
        let mut found = Vec::new();
        wait_for(&format!("{xpath} is there"), WITHIN, || {
            found = self.find_all(xpath);
            !found.is_empty()
        });
        found.swap_remove(0)
    }

    pub fn count(&self, xpath: &str) -> usize {
        self.find_all(xpath).len()
    }

    /// Of these, how many take up room.
    pub fn shown(&self, xpath: &str) -> usize {
        let wide = |element: &Element| self.driver.wait(element.rectangle()).2 > 0.0;
        self.find_all(xpath).iter().filter(|one| wide(one)).count()
    }

    fn find_all(&self, xpath: &str) -> Vec<Element> {
        let found = self.driver.client.find_all(Locator::XPath(xpath));
        self.driver.wait(found)
    }

    /// Types into the field with this label, over what stands there.
    #[track_caller]
    pub fn fill(&self, label: &str, text: &str) {
        let field = self.find(&field(label));
        self.driver.wait(field.clear());
        self.driver.wait(field.send_keys(text));
    }

    #[track_caller]
    pub fn click_button(&self, name: &str) {
        let name = quoted(name);
        let xpath = format!("//button[normalize-space(.)={name} or @aria-label={name}]");
        self.driver.wait(self.find(&xpath).click());
    }

    #[track_caller]
    pub fn click(&self, xpath: &str) {
        self.driver.wait(self.find(xpath).click());
    }

    /// With the pointer, so far from the element's left edge and at half its height.
    #[track_caller]
    pub fn click_at(&self, xpath: &str, x_px: f64) {
        let element = self.find(xpath);
        // Only what is seen can be pointed at.
        let scroll = "arguments[0].scrollIntoView({ block: 'center' })";
        self.run(scroll, vec![json!(element)]);
        let (_, _, width, _) = self.driver.wait(element.rectangle());
        let left = MOUSE_BUTTON_LEFT;
        let pointer = MouseActions::new("pointer".to_owned())
            .then(PointerAction::MoveToElement {
                element,
                duration: None,
                x: (x_px - width / 2.0).round(),
                y: 0.0,
            })
            .then(PointerAction::Down { button: left })
            .then(PointerAction::Up { button: left });
        self.driver
            .wait(self.driver.client.perform_actions(pointer));
    }

    /// Keys go down and up again, wherever the focus is.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        let strokes = keys
            .chars()
            .flat_map(|value| [KeyAction::Down { value }, KeyAction::Up { value }]);
        let keyboard = KeyActions::new("keyboard".to_owned());
        let keyboard = strokes.fold(keyboard, |keyboard, stroke| keyboard.then(stroke));
        self.driver
            .wait(self.driver.client.perform_actions(keyboard));
    }

    /// What assistive technology calls that which has the focus, and its role.
    pub fn focused(&self) -> (String, String) {
        let active = self.driver.wait(self.driver.client.active_element());
        let of = |what: &str| {
            let path = format!("element/{}/{what}", active.element_id().as_ref());
            let said = self.driver.command(Method::GET, &path, None);
            said.as_str().unwrap_or_default().to_owned()
        };
        (of("computedlabel"), of("computedrole"))
    }

    /// The function's body; what it returns is awaited.
    #[track_caller]
    pub fn script(&self, body: &str) -> Value {
        self.run(&format!("return (async () => {{ {body} }})()"), Vec::new())
    }

    #[track_caller]
    pub fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.driver
            .wait(self.driver.client.execute(script, arguments))
    }

    /// Until the expression is true on the page.
    #[track_caller]
    pub fn wait_until(&self, what: &str, expression: &str) {
        let script = format!("return !!({expression})");
        wait_for(what, WITHIN, || self.run(&script, Vec::new()) == true);
    }

    /// Until the page is there, its scripts with it.
    #[track_caller]
    pub fn wait_until_complete(&self) {
        self.wait_until("the page is complete", "document.readyState === 'complete'");
    }

    /// A command of DevTools' protocol.
    #[track_caller]
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        let path = "goog/cdp/execute";
        self.driver.command(Method::POST, path, Some(body))
    }

    /// `light` or `dark`.
    pub fn prefer(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        let media = json!({ "features": [feature] });
        self.devtools("Emulation.setEmulatedMedia", media);
    }

    pub fn be_wide(&self, width_px: u32) {
        let metrics = json!({
            "width": width_px, "height": 844, "deviceScaleFactor": 1, "mobile": false,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// All that was asked for and answered so far, in the order of the answers.
    pub fn exchanges(&mut self) -> Vec<Exchange> {
        self.read_network();
        let of = |method: &'static str| {
            let all = self.network.iter();
            all.filter(move |message| message["method"] == method)
                .map(|message| &message["params"])
        };
        let range = |id: &Value| {
            let sent =
                of("Network.requestWillBeSentExtraInfo").chain(of("Network.requestWillBeSent"));
            let mut headers = sent
                .filter(|sent| sent["requestId"] == *id)
                .map(|sent| sent.get("headers").unwrap_or(&sent["request"]["headers"]));
            headers.find_map(|headers| Some(headers.get("Range")?.as_str()?.to_owned()))
        };
        let answered = of("Network.responseReceived");
        let exchange = |params: &Value| {
            let response = &params["response"];
            let text = |name: &str| response[name].as_str().unwrap_or_default().to_owned();
            Exchange {
                url: text("url"),
                range: range(&params["requestId"]),
                status: response["status"].as_u64().unwrap_or_default(),
                kind: text("mimeType"),
            }
        };
        answered.map(exchange).collect()
    }

    fn read_network(&mut self) {
        for entry in self.log("performance") {
            let message = entry["message"].as_str().expect("a message");
            let message: Value = serde_json::from_str(message).expect("a message is JSON");
            self.network.push(message["message"].clone());
        }
    }

    /// What is new in it.
    fn log(&self, kind: &str) -> Vec<Value> {
        let body = json!({ "type": kind });
        let log = self.driver.command(Method::POST, "se/log", Some(body));
        log.as_array().expect("a log").clone()
    }

    /// Every test ends its browser by this: nobody but the service was asked for anything, no
    /// request failed that was not to, and the browser complained of nothing.
    #[track_caller]
    pub fn finish(mut self) {
        self.is_finished = true;
        let exchanges = self.exchanges();
        let all = self.network.iter();
        let sent = all.filter(|message| message["method"] == "Network.requestWillBeSent");
        let urls = sent.map(|message| message["params"]["request"]["url"].as_str());
        let urls: Vec<&str> = urls.map(|url| url.expect("a URL")).collect();
        assert!(!urls.is_empty(), "the network's log is kept");
        let own = format!("{}/", self.origin);
        // Its own pages, one of which it begins with, come from nowhere.
        let foreign = |url: &&&str| {
            let local = [own.as_str(), "data:", "chrome:"];
            !local.iter().any(|from| url.starts_with(from))
        };
        let foreign: Vec<_> = urls.iter().filter(foreign).collect();
        assert!(foreign.is_empty(), "asked of others: {foreign:?}");
        let failed = exchanges.iter().filter(|exchange| exchange.status >= 400);
        let failed: Vec<_> = failed.map(|one| (one.url.clone(), one.status)).collect();
        assert_eq!(failed, self.refused, "what was refused");
        // That a request failed is said here again.
        let said = self.log("browser").into_iter();
        let said = said.filter(|entry| entry["source"] != "network");
        let bad = |entry: &Value| entry["level"] == "SEVERE" || entry["level"] == "WARNING";
        let said: Vec<_> = said.filter(bad).collect();
        assert!(said.is_empty(), "the browser complains: {said:#?}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !thread::panicking() {
            assert!(self.is_finished, "a browser is to be finished");
            return;
        }
        let shown = async {
            let page = self.driver.client.find(Locator::Css("html")).await?;
            let address = self.driver.client.current_url().await?;
            Ok(format!("{address}\n{}", page.text().await?))
        };
        if let Ok(shown) = self.driver.try_wait(shown) {
            eprintln!("the browser was at {shown}");
        }
    }
}

/// The field of a form that has this label.
pub fn field(label: &str) -> String {
    let label = quoted(label);
    let by = format!("@id=//label[normalize-space(.)={label}]/@for");
    format!("//*[self::input or self::select][{by} or @aria-label={label}]")
}

pub fn link(text: &str) -> String {
    format!("//a[contains(normalize-space(.), {})]", quoted(text))
}

/// XPath has no escapes; nothing here needs both quotes.
fn quoted(text: &str) -> String {
    match text.contains('\'') {
        true => format!("\"{text}\""),
        false => format!("'{text}'"),
    }
}
