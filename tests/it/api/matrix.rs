//! Role × route × object: every route of the product's own table, or the test fails.

use std::collections::BTreeMap;

use callvault::http::api::ROUTES;

use crate::support::hook::{self, Request};
use crate::support::pbx::Pbx;
use crate::support::people::{self, post_corpus};
use crate::support::service::{Service, Setup};
use crate::support::web::{Answer, Ask, get};

const ROLES: [&str; 5] = ["viewer", "listener", "compliance", "approver", "admin"];
/// A token of everything, and one of `hq` and this extension only.
const SCOPES: [&[&str]; 2] = [&[], &["--pbx", "hq", "--extension", "204"]];

/// What a scope makes of a route.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Of {
    /// What is in the scope.
    Part,
    /// Everything, so nothing for whoever has a scope.
    Whole,
    /// One thing: there, or for those outside its scope not there.
    One,
}

/// Route, roles that may by their first letters (`x`: admin), what a scope makes of it.
const MATRIX: [(&str, &str, Of); 17] = [
    ("GET /api/v1/recordings", "vlcax", Of::Part),
    ("GET /api/v1/recordings.csv", "c", Of::Part),
    ("GET /api/v1/recordings.jsonl", "c", Of::Part),
    ("GET /api/v1/recordings/{pbx}/{recording}", "vlcax", Of::One),
    (
        "GET /api/v1/recordings/{pbx}/{recording}/audio",
        "lc",
        Of::One,
    ),
    (
        "HEAD /api/v1/recordings/{pbx}/{recording}/audio",
        "lc",
        Of::One,
    ),
    (
        "GET /api/v1/recordings/{pbx}/{recording}/peaks",
        "lc",
        Of::One,
    ),
    ("GET /api/v1/calls", "vlcax", Of::Part),
    ("GET /api/v1/calls/{pbx}/{call}", "vlcax", Of::One),
    ("GET /api/v1/events", "cax", Of::Whole),
    ("GET /api/v1/jobs", "vlcax", Of::Part),
    ("POST /api/v1/jobs/{pbx}/{recording}/retry", "x", Of::One),
    ("GET /api/v1/custody", "cax", Of::Whole),
    ("GET /api/v1/status", "vlcax", Of::Whole),
    ("GET /api/v1/status/series", "vlcax", Of::Part),
    ("GET /api/v1/tokens", "x", Of::Whole),
    ("GET /api/openapi.json", "vlcax", Of::Part),
];

/// PBX, recording, call; whether it exists; whether the narrow scope has it.
const OBJECTS: [(&str, &str, &str, bool, bool); 5] = [
    ("hq", "230307142318_40-2-1", "230307142318_40", true, true),
    ("hq", "230307135611_31-1-1", "230307135611_31", true, false),
    (
        "branch",
        "230307142318_40-2-1",
        "230307142318_40",
        true,
        false,
    ),
    ("hq", "230307999999_99-1-1", "230307999999_99", false, false),
    ("nowhere", "..", "%2e%2e", false, false),
];

fn letter(role: &str) -> char {
    match role {
        "admin" => 'x',
        role => role.chars().next().unwrap(),
    }
}

fn archived(pbx: &Pbx) -> Service {
    let service = Setup::hq(&pbx.base_url())
        .pbx("branch", "Europe/Prague", &pbx.base_url(), "")
        .start();
    for pbx in ["hq", "branch"] {
        post_corpus(&service, pbx);
    }
    service.wait_for_recordings("archived", 20);
    service
}

/// Every target of a route: one for each object, or the only one.
fn targets(path: &str) -> Vec<(String, bool, bool)> {
    if !path.contains('{') {
        return vec![(path.to_owned(), true, true)];
    }
    let target = |(pbx, recording, call, exists, is_mine): (&str, &str, &str, bool, bool)| {
        let target = path.replace("{pbx}", pbx).replace("{recording}", recording);
        (target.replace("{call}", call), exists, is_mine)
    };
    OBJECTS.map(target).into()
}

fn code(answer: &Answer) -> (u16, String) {
    match answer.status {
        200 => (200, String::new()),
        status if answer.body.is_empty() => (status, String::new()),
        _ => answer.problem(),
    }
}

#[test]
fn roles_by_routes_by_objects() {
    let pbx = Pbx::start();
    let service = archived(&pbx);
    let routes: Vec<String> = ROUTES
        .iter()
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert_eq!(
        routes,
        MATRIX.map(|(route, ..)| route),
        "a route is not in the matrix"
    );
    let (mut denied, mut wrong) = (0, Vec::new());
    for (role, (nth, scope)) in ROLES
        .iter()
        .flat_map(|role| SCOPES.iter().enumerate().map(move |scope| (role, scope)))
    {
        let token = people::add(&service, &format!("{role}-{nth}"), role, scope);
        for (route, may, of) in MATRIX {
            let (method, path) = route.split_once(' ').unwrap();
            for (target, exists, is_mine) in targets(path) {
                let expected = match (may.contains(letter(role)), of, nth) {
                    (false, ..) => (403, "forbidden"),
                    (true, Of::Whole, 1) => (403, "scope"),
                    (true, Of::One, nth) if !exists || (nth == 1 && !is_mine) => (404, "not_found"),
                    _ => (200, ""),
                };
                let answer = Ask::new(method, &target).by(&token).because("the matrix");
                let answer = answer.send(service.admin());
                let kept = answer.header("cache-control").unwrap_or_default();
                assert!(kept.ends_with("no-store"), "{target}: {kept:?}");
                let guessed = answer.header("x-content-type-options");
                assert_eq!(guessed, Some("nosniff"), "{target}");
                // What is there for others is denied too, and looks as if it were not there.
                denied += i64::from(answer.status == 403 || (answer.status == 404 && exists));
                let found = code(&answer);
                let expected = match method {
                    "HEAD" => (expected.0, String::new()),
                    _ => (expected.0, expected.1.to_owned()),
                };
                if found != expected {
                    wrong.push(format!(
                        "{role} {scope:?} {method} {target}: {found:?}, not {expected:?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let entered = "SELECT count(*) FROM custody WHERE act = 'denied'";
    assert_eq!(service.number(entered), denied, "a denial is no entry");
}

/// What one may not have and what is not there look the same.
#[test]
fn nothing_is_told_by_how_it_is_refused() {
    let pbx = Pbx::start();
    let service = archived(&pbx);
    let narrow = people::add(&service, "narrow", "compliance", SCOPES[1]);
    let viewer = people::add(&service, "viewer", "viewer", &[]);
    for route in ROUTES.iter().filter(|route| route.path.contains('{')) {
        for token in [&narrow, &viewer] {
            let mut bodies = BTreeMap::new();
            for (target, _, is_mine) in targets(route.path) {
                let asked = Ask::new(route.method.as_str(), &target)
                    .by(token)
                    .because("why");
                let answer = asked.send(service.admin());
                if !is_mine && answer.status != 200 {
                    bodies.insert(answer.body, target);
                }
            }
            assert!(bodies.len() <= 1, "{}: {bodies:?}", route.path);
        }
    }
}

#[test]
fn strangers_are_told_nothing() {
    let service = Setup::hq("http://127.0.0.1:9").start();
    let token = people::add(&service, "kim", "admin", &[]);
    for route in ROUTES {
        for (target, ..) in targets(route.path) {
            let answer = Ask::new(route.method.as_str(), &target).send(service.admin());
            assert_eq!(answer.status, 401, "{target}");
            assert_eq!(
                answer.header("www-authenticate"),
                Some("Bearer realm=\"callvault\"")
            );
            if route.method != "HEAD" {
                answer.assert_problem(401, "unauthorized");
            }
        }
    }
    // Also where there is no route, in any spelling.
    let elsewhere = [
        "/",
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v2/recordings",
        "/API/v1/recordings",
        "//api/v1/recordings",
        "/api//v1/recordings",
        "/api/v1/recordings/",
        "/healthz/x",
        "/metrics",
        "/api/v1/%72ecordings",
        "/api/v1/../v1/recordings",
        "/hook/hq/x",
    ];
    for target in elsewhere {
        let known = get(target).by(&token).send(service.admin()).status;
        let unknown = get(target).send(service.admin()).status;
        // The page sends whoever has no session to its sign-in; a token in a header is none.
        assert!(matches!(unknown, 303 | 401 | 404), "{target}: {unknown}");
        assert!(matches!(known, 303 | 404), "{target}: {known}");
    }
    // A token is in its header or nowhere.
    let (basic, query) = (
        format!("Basic {token}"),
        format!("?access_token={token}&token={token}"),
    );
    let asked = [
        get(format!("/api/v1/status{query}")),
        get("/api/v1/status").header("Cookie", format!("token={token}")),
        get("/api/v1/status").header("Authorization", basic),
        get("/api/v1/status").header("Authorization", &token),
    ];
    for asked in asked {
        asked
            .send(service.admin())
            .assert_problem(401, "unauthorized");
    }
    assert_eq!(get("/healthz").send(service.admin()).status, 200);
    assert_eq!(
        get("/api/v1/status")
            .by(&token)
            .send(service.admin())
            .status,
        200
    );
}

#[test]
fn a_method_that_a_route_has_not() {
    let service = Setup::hq("http://127.0.0.1:9").start();
    let token = people::add(&service, "kim", "admin", &[]);
    for route in ROUTES {
        let (target, ..) = targets(route.path).swap_remove(0);
        for method in ["DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"] {
            let answer = Ask::new(method, &target).by(&token).send(service.admin());
            answer.assert_problem(405, "method_not_allowed");
            let known = ROUTES.iter().filter(|other| other.path == route.path);
            let known: Vec<&str> = known.map(|route| route.method.as_str()).collect();
            let known = known.join(", ");
            assert_eq!(answer.header("allow"), Some(known.as_str()), "{target}");
            let stranger = Ask::new(method, &target).send(service.admin());
            assert_eq!(stranger.status, 401, "{method} {target}");
        }
    }
}

/// Nothing of a body is taken in before it is known who sends it, and may.
#[test]
fn the_gate_comes_before_the_body() {
    let service = Setup::hq("http://127.0.0.1:9").start();
    let [kim, adm] = ["compliance", "admin"].map(|role| people::add(&service, role, role, &[]));
    let retry = "/api/v1/jobs/hq/230307142318_40-1-1/retry";
    let promised = |target: &str, token: Option<&str>| {
        let mut ask = Ask::new("POST", target).header("Content-Length", "1000");
        if let Some(token) = token {
            ask = ask.by(token);
        }
        ask.send(service.admin()).status
    };
    let large = |target: &str, token: Option<&str>| {
        let mut request = Request::post(target, "", vec![b'x'; 100 * 1024]);
        let bearer = token.map(|token| ("Authorization".to_owned(), format!("Bearer {token}")));
        request.headers.extend(bearer);
        hook::send(service.admin(), &request).unwrap().status
    };
    for (target, token, of_promised, of_large) in [
        (retry, None, Some(401), 401),
        (retry, Some(&kim), Some(403), 403),
        (retry, Some(&adm), None, 413),
        ("/api/v1/calls", Some(&kim), Some(405), 405),
        ("/api/v1/nothing", Some(&kim), Some(404), 404),
        ("/sign-out", None, Some(303), 303),
        ("/sign-in", None, None, 413),
    ] {
        let token = token.map(String::as_str);
        assert_eq!(large(target, token), of_large, "{target}");
        // A body that never comes: where it is wanted, its time would have to pass first.
        if let Some(expected) = of_promised {
            assert_eq!(promised(target, token), expected, "{target}");
        }
    }
}
