//! Signing in and out: what is entered of it in custody, and a link that signs in once.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, params};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::hook::Reply;
use crate::support::people::{self, actor};
use crate::support::service::{Service, Setup};
use crate::support::vault::files_below;
use crate::support::visitor::{Visitor, field, read, text};
use crate::support::wait::wait_for;
use crate::support::web::{Ask, get};

const NO_PBX: &str = "http://127.0.0.1:9";
const VOID: &str = "This link signs nobody in any more";

/// A link as the verb makes it, for a token that is there.
fn link(service: &Service, token: &str, expires_ms: i64) -> String {
    let code = format!("{token}{expires_ms}");
    let index = Connection::open(service.data_dir().join("index.sqlite")).unwrap();
    let sql = "INSERT INTO sign_in_link (sha256, token, expires_ms) VALUES (?1, ?2, ?3)";
    let sha256: [u8; 32] = Sha256::digest(&code).into();
    index
        .execute(sql, params![sha256, token, expires_ms])
        .unwrap();
    format!("/sign-in?once={code}")
}

/// Presses the button of the page that a link opened.
fn press(visitor: &mut Visitor, page: &str) -> Reply {
    let (form, once) = (field(page, "form"), field(page, "once"));
    visitor.post("/sign-in", &[("form", &form), ("once", &once)])
}

/// Acts of a person, with what is said beside each.
fn acts(service: &Service) -> Vec<Value> {
    service.rows(
        "SELECT json_array(actor, address, act, subject, detail) FROM custody \
         WHERE act LIKE 'sign%' ORDER BY seq",
    )
}

#[test]
fn who_signs_in_and_out_is_entered() {
    let service = Setup::hq(NO_PBX).start();
    let [kim, gone] = ["kim", "gone"].map(|name| people::add(&service, name, "viewer", &[]));
    let soon = people::add(&service, "soon", "viewer", &["--expires", "1ms"]);
    people::revoke(&service, "gone");
    let mut visitor = Visitor::new(&service);
    assert_eq!(visitor.sign_in(&kim).status, 303);
    let csrf = visitor.csrf();
    // Not from this session's own page, so nothing.
    assert_eq!(visitor.post("/sign-out", &[("csrf", "x")]).status, 403);
    assert_eq!(visitor.post("/sign-out", &[("csrf", &csrf)]).status, 303);
    for (token, status) in [
        (&gone, 401),
        (&soon, 401),
        (&"cv_wrong".to_owned(), 401),
        (&format!("cv_{}", "w".repeat(43)), 401),
    ] {
        assert_eq!(Visitor::new(&service).sign_in(token).status, status);
    }
    // Programs sign in nowhere.
    for (token, status) in [(&kim, 200), (&gone, 401)] {
        let asked = get("/api/v1/calls").by(token).send(service.admin());
        assert_eq!(asked.status, status);
    }
    let act = |name: &str, act: &str, detail: Option<&str>| {
        let subject = format!("token/{name}");
        json!([actor(name), "127.0.0.1", act, subject, detail])
    };
    assert_eq!(
        acts(&service),
        [
            act("kim", "signed in", None),
            act("kim", "signed out", None),
            act("gone", "sign-in refused", Some("the token was revoked")),
            act("soon", "sign-in refused", Some("the token has expired")),
        ]
    );
    assert_eq!(service.cli(&["custody", "verify"]).status, 0);
}

#[test]
fn links_that_open_nothing() {
    let service = Setup::hq(NO_PBX).start();
    for name in ["kim", "gone"] {
        people::add(&service, name, "viewer", &[]);
    }
    let kept = link(&service, "gone", i64::MAX);
    let page = Visitor::new(&service).page(&kept);
    assert!(page.contains("Sign in as gone of the test"), "{page}");
    people::revoke(&service, "gone");
    for path in [
        "/sign-in?once=wrong".to_owned(),
        link(&service, "kim", 1),
        kept.clone(),
    ] {
        let mut visitor = Visitor::new(&service);
        let reply = visitor.get(&path);
        let page = text(&reply);
        assert_eq!(reply.status, 410, "{path}");
        // The way to sign in as ever stands beside it.
        assert!(
            page.contains(VOID) && page.contains("name=\"token\""),
            "{page}"
        );
        let (form, once) = (field(&page, "form"), path.rsplit('=').next().unwrap());
        let reply = visitor.post("/sign-in", &[("form", &form), ("once", once)]);
        assert_eq!(reply.status, 410, "{path}");
        assert_eq!(visitor.get("/").status, 303, "{path}: no session");
    }
    let why = "with a link; the token was revoked";
    let (who, here) = (actor("gone"), "127.0.0.1");
    let refused = json!([who, here, "sign-in refused", "token/gone", why]);
    assert_eq!(acts(&service), [refused]);
}

#[test]
fn of_many_at_once_one_signs_in() {
    const MANY: usize = 8;
    let service = Setup::hq(NO_PBX).start();
    people::add(&service, "kim", "viewer", &[]);
    let path = link(&service, "kim", i64::MAX);
    // Whoever looks only leaves it good.
    let visitors: Vec<(Visitor, String)> = (0..MANY)
        .map(|_| {
            let mut visitor = Visitor::new(&service);
            let head = Ask::new("HEAD", path.as_str()).send(service.admin());
            assert_eq!(head.status, 200);
            let page = visitor.page(&path);
            (visitor, page)
        })
        .collect();
    let together = Barrier::new(MANY);
    let pressed = |(mut visitor, page): (Visitor, String)| {
        together.wait();
        let status = press(&mut visitor, &page).status;
        (status, visitor.get("/").status)
    };
    let mut ends: Vec<(u16, u16)> = thread::scope(|scope| {
        let pressing: Vec<_> = visitors
            .into_iter()
            .map(|visitor| scope.spawn(|| pressed(visitor)))
            .collect();
        let joined = pressing.into_iter().map(|thread| thread.join().unwrap());
        joined.collect()
    });
    ends.sort_unstable();
    let mut expected = [(410, 303); MANY];
    expected[0] = (303, 200);
    assert_eq!(ends, expected);
    let entered = acts(&service);
    assert_eq!(entered.len(), 1, "{entered:?}");
}

/// The demo, and the file with what it says on stderr.
struct Demo {
    child: Child,
    log: PathBuf,
}

impl Demo {
    fn start(directory: &Path) -> Demo {
        let log = directory.join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_callvault"));
        command.args(["demo", "--dir"]).arg(directory.join("demo"));
        command.env("CALLVAULT_LOG", "trace").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(File::create(&log).unwrap()).spawn();
        let child = child.unwrap();
        Demo { child, log }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn stop(&mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_demos_link_signs_in_once_and_is_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(directory.path());
    wait_for("the demo waits", Duration::from_secs(60), || {
        demo.said().contains("the token: ")
    });
    let said = demo.said();
    let mut links = said.lines().filter_map(|line| line.strip_prefix("http://"));
    let (address, path) = links.next().expect("a link").split_once('/').unwrap();
    let (address, path): (SocketAddr, _) = (address.parse().unwrap(), format!("/{path}"));
    let code = path.rsplit('=').next().unwrap().to_owned();
    let mut visitor = Visitor::at(address);
    let reply = visitor.get(&path);
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let page = text(&reply);
    assert!(
        read(&page).contains("Sign in as Whoever runs the demo"),
        "{page}"
    );
    assert_eq!(press(&mut visitor, &page).status, 303);
    let shown = visitor.page("/");
    assert!(shown.contains("Whoever runs the demo") && !shown.contains(&code));
    let again = Visitor::at(address).get(&path);
    let is_void = text(&again).contains(VOID);
    assert_eq!((again.status, is_void), (410, true));
    let kept = directory.path().join("demo");
    for file in files_below(&kept) {
        let bytes = fs::read(kept.join(&file)).unwrap();
        let found = bytes
            .windows(code.len())
            .any(|part| part == code.as_bytes());
        assert!(!found, "the link is in {file}");
    }
    assert!(demo.stop().success(), "{}", demo.said());
    let told = demo.said().matches(&code).count();
    assert_eq!(told, 1, "the link is in the log");
}
