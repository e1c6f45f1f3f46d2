//! The web page through the real binary: who gets in, what every page carries, who sees what.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::calls::{announce, post_corpus, post_table};
use crate::support::hook::{self, Request};
use crate::support::pbx::Pbx;
use crate::support::service::{Service, Setup};
use crate::support::visitor::{Visitor, field, text, token};

/// Nothing is fetched here.
const NO_PBX: &str = "http://127.0.0.1:9";
const ATTENDED: &str = "/call/hq/230307142318_40";
const FORM: &str = "application/x-www-form-urlencoded";
const OUR_SCRIPTS: [&str; 3] = [
    " type=\"module\" src=\"/static/player.js\"></script>",
    " type=\"module\" src=\"/static/charts.js\"></script>",
    " src=\"/static/uPlot.iife.min.js\" defer></script>",
];
const SESSION: &str = "callvault_session";

fn custody(service: &Service, act: &str) -> Vec<Value> {
    service.rows(&format!(
        "SELECT json_array(actor, subject, reason, \"case\", detail) FROM custody \
         WHERE act = '{act}' ORDER BY seq"
    ))
}

#[test]
fn a_token_signs_in_until_it_is_revoked() {
    let service = Setup::hq(NO_PBX).start();
    let kim = token(&service, "kim", "viewer", &[]);
    let mut visitor = Visitor::new(&service);
    let reply = visitor.sign_in("cv_wrong");
    assert_eq!(reply.status, 401, "{}", text(&reply));
    let stranger = visitor.post("/sign-in", &[("form", "0"), ("token", &kim)]);
    assert_eq!(stranger.status, 403, "a form that is not ours");

    let reply = visitor.sign_in(&kim);
    assert_eq!((reply.status, reply.header("location")), (303, Some("/")));
    let lines = reply
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie");
    let mut session = lines.filter(|(_, line)| line.starts_with(SESSION));
    let (_, line) = session.next().expect("a session's cookie");
    let (value, flags) = line.split_once(';').unwrap();
    assert_eq!(value.len(), SESSION.len() + 1 + 64, "256 bits in hex");
    assert_eq!(flags, " HttpOnly; SameSite=Strict; Path=/");
    assert!(visitor.page("/").contains("kim"));

    let csrf = visitor.csrf();
    let mut copy = visitor.clone();
    assert_eq!(visitor.post("/sign-out", &[("csrf", &csrf)]).status, 303);
    assert!(visitor.cookies.iter().all(|(name, _)| name != SESSION));
    assert_eq!(copy.get("/").status, 303, "the session itself is over");

    visitor.sign_in(&kim);
    assert_eq!(visitor.get("/").status, 200);
    assert_eq!(service.cli(&["token", "revoke", "kim"]).status, 0);
    for path in ["/", "/health", "/api/v1/calls"] {
        let expected = if path.starts_with("/api") { 401 } else { 303 };
        assert_eq!(visitor.get(path).status, expected, "{path}");
    }
    assert_eq!(visitor.sign_in(&kim).status, 401);
}

#[test]
fn without_a_session_there_is_only_signing_in() {
    let service = Setup::hq(NO_PBX).start();
    let mut stranger = Visitor::new(&service);
    for (path, to) in [
        ("/", "/sign-in"),
        ("/?number=1", "/sign-in?to=%2F%3Fnumber%3D1"),
        (ATTENDED, "/sign-in?to=%2Fcall%2Fhq%2F230307142318_40"),
        ("/health", "/sign-in?to=%2Fhealth"),
        ("/custody", "/sign-in?to=%2Fcustody"),
        ("/tokens", "/sign-in?to=%2Ftokens"),
        ("/nothing", "/sign-in?to=%2Fnothing"),
    ] {
        let reply = stranger.get(path);
        let seen = (reply.status, reply.header("location"), reply.body.len());
        assert_eq!(seen, (303, Some(to), 0), "{path}");
    }
    for path in ["/sign-out", "/retry/hq/230307142318_40-1-1", "/nothing"] {
        let reply = stranger.post(path, &[("csrf", "")]);
        assert_eq!(
            (reply.status, reply.header("location")),
            (303, Some("/sign-in"))
        );
    }
    stranger.cookies.push((SESSION.to_owned(), "0".repeat(64)));
    assert_eq!(stranger.get("/").status, 303);
    assert_eq!(stranger.get("/static/../web.rs").status, 404);
}

#[test]
fn every_page_is_guarded_and_holds_no_script_or_style() {
    let service = Setup::hq(NO_PBX).start();
    post_table(&service, 2);
    service.wait_until_read();
    let mut admin = Visitor::signed_in(&service, "admin", &[]);
    let csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
        media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
        frame-ancestors 'none'";
    for (path, status) in [
        ("/", 200),
        ("/recordings", 200),
        (ATTENDED, 200),
        ("/call/hq/230307142318_99", 404),
        ("/health", 200),
        ("/custody", 200),
        ("/tokens", 200),
        ("/?colour=x", 400),
        ("/?number=", 303),
        ("/nothing", 404),
        ("/sign-in", 200),
        ("/sign-out", 405),
        ("/static/style.css", 200),
        ("/static/player.js", 200),
        ("/static/charts.js", 200),
        ("/static/uPlot.min.css", 200),
        ("/static/nothing", 404),
    ] {
        let reply = admin.get(path);
        assert_eq!(reply.status, status, "{path}: {}", text(&reply));
        assert_eq!(reply.header("content-security-policy"), Some(csp), "{path}");
        assert_eq!(
            reply.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(
            reply.header("referrer-policy"),
            Some("no-referrer"),
            "{path}"
        );
        let is_file = path.starts_with("/static/") && status == 200;
        let kept = if is_file { "no-cache" } else { "no-store" };
        assert_eq!(reply.header("cache-control"), Some(kept), "{path}");
        if is_file {
            continue;
        }
        let page = text(&reply);
        for inline in [
            "<style",
            " style=",
            " onclick",
            " onload",
            "javascript:",
            "<script>",
        ] {
            assert!(!page.contains(inline), "{path}: {inline}");
        }
        for script in page.split("<script").skip(1) {
            let ours = OUR_SCRIPTS.iter().any(|ours| script.starts_with(ours));
            assert!(ours, "{path}: {script}");
        }
    }
}

#[test]
fn a_page_says_what_methods_it_has() {
    let service = Setup::hq(NO_PBX).start();
    let mut admin = Visitor::signed_in(&service, "admin", &[]);
    for (path, known) in [
        ("/", "GET, HEAD"),
        (ATTENDED, "GET, HEAD"),
        ("/sign-out", "POST"),
        ("/sign-in", "GET, POST, HEAD"),
        ("/retry/hq/230307142318_40-1-1", "POST"),
    ] {
        let mut request = Request::get(path);
        request.method = "DELETE".to_owned();
        let reply = admin.send(request);
        assert_eq!(
            (reply.status, reply.header("allow")),
            (405, Some(known)),
            "{path}"
        );
    }
}

#[test]
fn a_form_must_come_from_its_own_session() {
    let service = Setup::hq(NO_PBX).start();
    post_table(&service, 2);
    service.wait_until_read();
    let mut kim = Visitor::signed_in(&service, "compliance", &[]);
    let mut other = Visitor::signed_in(&service, "listener", &[]);
    let (own, foreign) = (kim.csrf(), other.csrf());
    let path = format!("{ATTENDED}/reason");
    let mut check = |csrf: &str, header: Option<(&str, &str)>, expected: u16| {
        let body = serde_urlencoded::to_string([("csrf", csrf), ("reason", "complaint")]);
        let mut request = Request::post(path.as_str(), FORM, body.unwrap());
        let pair = header.map(|(name, value)| (name.to_owned(), value.to_owned()));
        request.headers.extend(pair);
        let reply = kim.send(request);
        assert_eq!(reply.status, expected, "{header:?}: {}", text(&reply));
        let given = service.number("SELECT count(*) FROM reason_window");
        assert_eq!(given, i64::from(expected == 303), "{header:?}");
    };
    check("", None, 403);
    check(&foreign, None, 403);
    check(&own, Some(("Sec-Fetch-Site", "cross-site")), 403);
    check(&own, Some(("Sec-Fetch-Site", "same-site")), 403);
    check(&own, Some(("Origin", "http://evil.example")), 403);
    check(&own, Some(("Origin", "null")), 303);

    // The API takes the cookie too: for what changes something, with the same secret.
    let mut admin = Visitor::signed_in(&service, "admin", &[]);
    let csrf = admin.csrf();
    let retry = "/api/v1/jobs/hq/230307142318_40-1-1/retry";
    for (header, expected) in [
        (None, 403),
        (Some(("X-Callvault-Csrf", foreign.as_str())), 403),
        (Some(("X-Callvault-Csrf", csrf.as_str())), 200),
    ] {
        let mut request = Request::post(retry, "", "");
        let pair = header.map(|(name, value)| (name.to_owned(), value.to_owned()));
        request.headers.extend(pair);
        let reply = admin.send(request);
        assert_eq!(reply.status, expected, "{header:?}: {}", text(&reply));
    }
    assert_eq!(admin.get("/api/v1/calls").status, 200);
    let mut request = Request::get("/api/v1/calls");
    request
        .headers
        .push(("Sec-Fetch-Site".to_owned(), "cross-site".to_owned()));
    assert_eq!(admin.send(request).status, 403);
}

#[test]
fn pages_are_for_the_same_people_as_the_api() {
    let service = Setup::hq(NO_PBX).start();
    let roles = ["viewer", "listener", "compliance", "approver", "admin"];
    let mut denied = 0;
    for role in roles {
        let mut visitor = Visitor::signed_in(&service, role, &[]);
        for (page, api) in [
            ("/", "/api/v1/calls"),
            ("/recordings", "/api/v1/recordings"),
            ("/health", "/api/v1/status"),
            ("/custody", "/api/v1/custody"),
            ("/tokens", "/api/v1/tokens"),
        ] {
            let (shown, answered) = (visitor.get(page), visitor.get(api));
            assert_eq!(shown.status, answered.status, "{role} {page}");
            denied += if shown.status == 403 { 2 } else { 0 };
        }
        let menu = visitor.page("/");
        for (path, roles) in [
            ("/custody", ["compliance", "approver", "admin"].as_slice()),
            ("/tokens", &["admin"]),
        ] {
            let offered = menu.contains(&format!("href=\"{path}\""));
            assert_eq!(offered, roles.contains(&role), "{role} {path}");
        }
        assert_eq!(
            menu.contains("recordings.csv"),
            role == "compliance",
            "{role}"
        );
    }
    assert_eq!(denied, 12);
    assert_eq!(custody(&service, "denied").len(), denied);
    let mut part = Visitor::signed_in(&service, "admin", &["--extension", "204"]);
    for path in ["/health", "/custody", "/tokens"] {
        assert_eq!(part.get(path).status, 403, "{path}");
    }
}

#[test]
fn a_reason_comes_before_the_first_listen() {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    post_table(&service, 2);
    service.wait_for_recordings("archived", 2);
    let page_of = "/recording/hq/230307142318_40-1-1";
    let audio = "/api/v1/recordings/hq/230307142318_40-1-1/audio";
    let mut kim = Visitor::signed_in(&service, "compliance", &[]);
    let asks = kim.page(ATTENDED);
    assert!(asks.contains("Conversation 2 of 2") && asks.contains("attended transfer to 204"));
    assert!(asks.contains("name=\"reason\"") && !asks.contains("<audio"));
    assert_eq!(kim.get(audio).status, 428);
    let reply = kim.get(page_of);
    assert_eq!(
        (reply.status, reply.header("location")),
        (303, Some(ATTENDED))
    );

    let csrf = field(&asks, "csrf");
    let path = format!("{ATTENDED}/reason");
    assert_eq!(
        kim.post(&path, &[("csrf", &csrf), ("reason", " ")]).status,
        400
    );
    let given = [
        ("csrf", csrf.as_str()),
        ("reason", "complaint"),
        ("case", "7"),
    ];
    assert_eq!(kim.post(&path, &given).status, 303);
    let open = kim.page(ATTENDED);
    assert_eq!(open.matches("<audio controls preload=\"none\"").count(), 2);
    assert!(open.contains("download=1") && !open.contains("autoplay"));
    assert!(open.contains("Play the whole call") && !asks.contains("Play the whole call"));
    assert!(open.contains("data-name=\"conversation 2 of 2\""));
    // Its events came long after it, so that no clock can be told of its recordings.
    assert!(open.contains("dx=\"3\" y=\"14\">0:05</text>"), "{open}");
    assert_eq!(kim.get(audio).status, 200);
    let kim_heard = json!([
        "compliance0 (compliance0)",
        "hq/230307142318_40-1-1",
        "complaint",
        "7",
        null,
    ]);
    assert_eq!(custody(&service, "listened"), [kim_heard]);

    let mut viewer = Visitor::signed_in(&service, "viewer", &[]);
    let page = viewer.page(ATTENDED);
    assert!(!page.contains("<audio") && !page.contains("name=\"reason\""));
    assert!(!page.contains("Custody</h2>"));
    let mut part = Visitor::signed_in(&service, "listener", &["--extension", "204"]);
    let page = part.page(ATTENDED);
    assert!(
        page.contains("Conversation 1 of 1") && !page.contains("_40-1-1"),
        "{page}"
    );
}

#[test]
fn what_comes_from_outside_is_text() {
    let service = Setup::hq(NO_PBX).start();
    let evil = "<b onmouseover=\"alert('1')\">&</b>";
    let event = json!({
        "Event": "incomingcall_started", "Callerid": evil, "User": evil, "Did": evil,
        "Trtype": "NotDef", "Id": "230307142318_40-1",
    });
    hook::post(service.hook(), event.to_string());
    let announced = json!({ "FILES": [format!("https://pbx/{evil}.mp3")] });
    hook::post(service.hook(), announced.to_string());
    service.wait_until_read();
    let recording = service.rows("SELECT json_quote(recording) FROM recordings");
    let recording = format!("/recording/{}", recording[0].as_str().unwrap());
    let mut admin = Visitor::signed_in(&service, "admin", &[]);
    let query = serde_urlencoded::to_string([("number", evil)]).unwrap();
    let shown = "&lt;b onmouseover=&quot;alert('1')&quot;&gt;&amp;&lt;/b&gt;";
    let searched = format!("/?{query}");
    for path in ["/", ATTENDED, &searched, "/custody", "/health", &recording] {
        let page = admin.page(path);
        assert!(!page.contains("<b onmouseover"), "{path}: {page}");
        let is_shown = page.contains(shown);
        assert!(is_shown || path == "/health", "{path}: {page}");
    }
    let reply = admin.get(&format!("/?{}=1", evil.replace(' ', "+")));
    assert_eq!(reply.status, 400);
    assert!(!text(&reply).contains("<b onmouseover"), "{}", text(&reply));
}

#[test]
fn a_search_is_its_address() {
    let service = Setup::hq(NO_PBX).start();
    post_corpus(&service);
    service.wait_until_read();
    let mut kim = Visitor::signed_in(&service, "compliance", &[]);
    let reply = kim.get("/?number=%2B90+555+222+11+33&state=&outcome=missed&direction=in");
    let clean = "/?direction=in&number=%2B90+555+222+11+33&outcome=missed";
    assert_eq!((reply.status, reply.header("location")), (303, Some(clean)));
    let elsewhere = kim.get("//evil.example/?number=");
    assert_eq!(
        (elsewhere.status, elsewhere.header("location")),
        (404, None)
    );
    let page = kim.page(clean);
    assert_eq!(page.matches("/call/hq/").count(), 3, "{page}");
    assert!(page.contains("800 → 117 → 204") && page.contains("missed"));
    assert!(page.contains("href=\"/?number=%2B90+555+222+11+33&amp;outcome=missed\""));
    let csv =
        "/api/v1/recordings.csv?direction=in&amp;number=%2B90+555+222+11+33&amp;outcome=missed";
    assert!(page.contains(csv), "{page}");
    let searched = custody(&service, "searched");
    let detail = r#"{"direction":"in","number":"+90 555 222 11 33","outcome":"missed"}"#;
    assert_eq!(searched.last().unwrap()[4], detail);

    let (mut path, mut seen) = ("/?limit=7".to_owned(), Vec::new());
    loop {
        let page = kim.page(&path);
        let calls = page.split("href=\"/call/hq/").skip(1);
        seen.extend(calls.map(|rest| rest[..rest.find('"').unwrap()].to_owned()));
        let Some(older) = page.split("class=\"older\" href=\"").nth(1) else {
            break;
        };
        path = older[..older.find('"').unwrap()].replace("&amp;", "&");
    }
    let calls = service.number("SELECT count(*) FROM calls");
    let mut distinct = seen.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(
        (seen.len(), distinct.len()),
        (calls as usize, calls as usize)
    );
}

/// Times are read and shown on one clock; what has no call is found among the recordings.
#[test]
fn a_search_has_its_clock_and_finds_recordings_without_a_call() {
    let service = Setup::hq(NO_PBX)
        .pbx("branch", "America/New_York", NO_PBX, "")
        .start();
    post_corpus(&service);
    announce(&service, "https://pbx.example/webapi/recording/strange.mp3");
    service.wait_until_read();
    let mut kim = Visitor::signed_in(&service, "viewer", &[]);
    for (path, shown, count) in [
        ("/?call=230307142318_40", "2023-03-07 14:23:18", 1),
        ("/?call=230307142318_40&zone=UTC", "2023-03-07 13:23:18", 1),
        (
            "/?call=230307142318_40&zone=America%2FNew_York",
            "2023-03-07 08:23:18",
            1,
        ),
        (
            "/?from=2023-03-07T13:23:18&to=2023-03-07T13:23:19&zone=UTC",
            "in UTC",
            1,
        ),
        (
            "/?from=2023-03-07T13:23:18&to=2023-03-07T13:23:19",
            "No call fits",
            0,
        ),
        ("/recordings?call=230307142318_40", "2023-03-07 14:23:18", 2),
        (
            "/recordings?call=230307142318_40&zone=UTC",
            "2023-03-07 13:23:18",
            2,
        ),
        ("/recordings", "no call is known", 11),
        ("/recordings?min_duration=1h", "No recording fits", 0),
        ("/recordings?extension=204", ">204<", 2),
    ] {
        let page = kim.page(path);
        let href = if path.starts_with("/rec") {
            "/recording/hq/"
        } else {
            "/call/hq/"
        };
        let rows = page.matches(&format!("href=\"{href}")).count();
        assert_eq!(
            (rows, page.contains(shown)),
            (count, true),
            "{path}: {page}"
        );
    }
    let page = kim.page("/?zone=America%2FNew_York&direction=in");
    for part in [
        "<option value=\"America/New_York\" selected>",
        "<option value=\"Europe/Prague\">",
        "<option value=\"UTC\">",
        "href=\"/recordings?direction=in&amp;zone=America%2FNew_York\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for bad in [
        "/?zone=Nowhere",
        "/recordings?zone=..",
        "/?min_duration=long",
    ] {
        assert_eq!(kim.get(bad).status, 400, "{bad}");
    }
    let found = kim.page("/recordings");
    let strange = found.split("href=\"/recording/hq/u-").nth(1).expect("it");
    let path = format!("/recording/hq/u-{}", &strange[..strange.find('"').unwrap()]);
    assert!(kim.page(&path).contains("none: its file name is no id"));
}

#[test]
fn a_call_says_why_it_has_no_recording() {
    let more = "not_recorded = [\"102\"]";
    let service = Setup::new()
        .pbx("hq", "Europe/Prague", NO_PBX, more)
        .start();
    post_corpus(&service);
    service.wait_until_read();
    // Another call: its URL is not one to ask for.
    let event = json!({
        "Event": "recording", "User": "117", "Id": "230401142318_1-1",
        "FileUrls": ["https://pbx/other/230401142318_1-1-1.mp3"],
    });
    hook::post(service.hook(), event.to_string());
    service.wait_until_read();
    let mut kim = Visitor::signed_in(&service, "viewer", &[]);
    for (call, expected) in [
        (
            "230307115339_12",
            "Nobody answered, so there was no conversation to record.",
        ),
        ("230307155208_64", "No event says that anybody answered"),
        (
            "230102104542_15",
            "Extension 102 is not recorded, by policy",
        ),
        ("230307114903_10", "Answered"),
        ("230307142318_40", "On its way: "),
    ] {
        let page = kim.page(&format!("/call/hq/{call}"));
        assert!(
            page.contains("Why is ") && page.contains(expected),
            "{call}: {page}"
        );
        assert!(!page.contains("badge good"), "{call}: nothing is verified");
    }
}

#[test]
fn what_is_held_up_can_be_retried_by_those_who_may() {
    let service = Setup::hq(NO_PBX).archive("retry", r#"["1h"]"#).start();
    post_table(&service, 1);
    service.wait_until_read();
    let code = "SELECT count(*) FROM recordings WHERE code = 'pbx_unreachable'";
    let failed = || service.number(code) == 1;
    let within = std::time::Duration::from_secs(20);
    crate::support::wait::wait_for("the PBX is not reached", within, failed);
    let mut admin = Visitor::signed_in(&service, "admin", &[]);
    let page = admin.page("/health");
    assert!(
        page.contains("Look at the network, base_url and connect_to"),
        "{page}"
    );
    assert!(page.contains("Last event"));
    let at = page.split("action=\"/retry/hq/").nth(1).expect("a button");
    let path = format!("/retry/hq/{}", &at[..at.find('"').unwrap()]);
    let csrf = field(&page, "csrf");
    let reply = admin.post(&path, &[("csrf", &csrf)]);
    assert_eq!(
        (reply.status, reply.header("location")),
        (303, Some("/health?retried=due"))
    );
    assert_eq!(custody(&service, "retried").len(), 1);

    let mut kim = Visitor::signed_in(&service, "compliance", &[]);
    assert!(!kim.page("/health").contains("/retry/"));
    let csrf = kim.csrf();
    assert_eq!(kim.post(&path, &[("csrf", &csrf)]).status, 403);
    assert_eq!(custody(&service, "retried").len(), 1);
}

/// What charts are drawn from is what the API says.
#[test]
fn the_table_of_a_chart_has_the_numbers_of_the_api() {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    post_corpus(&service);
    service.wait_for_recordings("archived", 10);
    let mut kim = Visitor::signed_in(&service, "viewer", &[]);
    for window in ["24h", "7d"] {
        let page = kim.page(&format!("/health?window={window}"));
        let table = page.split("<section class=\"series\"").nth(1).unwrap();
        let table = &table[..table.find("</section>").unwrap()];
        assert!(table.contains(" data-zone=\"Europe/Prague\""), "{table}");
        assert_eq!(table.matches("class=\"plot\"").count(), 3);
        let rows = table.split("<tbody>").nth(1).unwrap().split("<tr>").skip(1);
        let cells = |row: &str| -> Vec<Value> {
            let cells = row.split("<td class=\"number\">").skip(1);
            let value = |cell: &str| match cell.strip_prefix("<data value=\"") {
                Some(value) => value[..value.find('"').unwrap()]
                    .parse::<f64>()
                    .unwrap()
                    .into(),
                None => Value::Null,
            };
            cells.map(value).collect()
        };
        let shown: Vec<Vec<Value>> = rows.map(cells).collect();
        let path = format!("/api/v1/status/series?window={window}");
        let series: Value = serde_json::from_str(&kim.page(&path)).unwrap();
        let buckets = series["pbxs"][0]["buckets"].as_array().unwrap();
        let columns = ["events_per_minute", "delay_p50_s", "delay_p95_s", "pending"];
        let number = |value: &Value| value.as_f64().map_or(Value::Null, Value::from);
        let said = buckets
            .iter()
            .map(|bucket| columns.map(|column| number(&bucket[column])));
        let said: Vec<Vec<Value>> = said.map(Vec::from).collect();
        assert_eq!(shown, said, "{window}");
        assert!(shown.last().unwrap()[0].as_f64().unwrap() > 0.0);
    }
    assert_eq!(kim.get("/health?window=1h").status, 400);
    assert!(kim.page("/health").contains("10 recordings"));
}

#[test]
fn vendored_files_are_as_they_were_published() {
    for folder in ["src/http/web/vendored", "tests/vendored"] {
        check_vendored(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    }
}

fn check_vendored(folder: &Path) {
    let about = fs::read_to_string(folder.join("vendored.toml")).unwrap();
    let about: toml::Table = about.parse().unwrap();
    let files = about["file"].as_array().unwrap();
    let mut named = vec!["vendored.toml".to_owned()];
    for file in files {
        let word = |key: &str| {
            file[key]
                .as_str()
                .unwrap_or_else(|| panic!("{key}"))
                .to_owned()
        };
        assert!(!word("version").is_empty() && !word("license").is_empty());
        for (name, digest) in [("name", "sha256"), ("license_file", "license_sha256")] {
            let bytes = fs::read(folder.join(word(name))).unwrap();
            let found: String = Sha256::digest(&bytes)
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            assert_eq!(found, word(digest), "{}", word(name));
            named.push(word(name));
        }
    }
    let there = fs::read_dir(folder).unwrap();
    let there = there.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut there: Vec<String> = there.collect();
    there.sort();
    named.sort();
    // Files of one package share its license.
    named.dedup();
    assert_eq!(there, named, "nothing is vendored without a line");
}
