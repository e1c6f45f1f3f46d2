//! The description is the routes, and the routes answer as it says.

use std::collections::BTreeSet;
use std::process::Command;

use callvault::http::api::{ROUTES, description};
use serde_json::Value;

use crate::support::calls::{RECORDINGS, post_corpus};
use crate::support::pbx::Pbx;
use crate::support::service::{Service, Setup};
use crate::support::weed::venv_program;

/// What the table of routes holds, as `GET /path`.
fn routes() -> BTreeSet<String> {
    ROUTES
        .iter()
        .map(|route| format!("{} {}", route.method, route.path))
        .collect()
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let description = description();
    let mut described = BTreeSet::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            described.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    assert_eq!(described, routes());
}

#[test]
fn every_reference_leads_to_a_schema() {
    let description = description();
    let schemas = &description["components"]["schemas"];
    let mut seen = 0;
    walk(&description, &mut |reference| {
        let name = reference
            .strip_prefix("#/components/schemas/")
            .expect(reference);
        assert!(schemas.get(name).is_some(), "{reference}");
        seen += 1;
    });
    assert!(seen > 10, "only {seen} references");
}

fn walk(value: &Value, each: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                each(reference);
            }
            fields.values().for_each(|value| walk(value, each));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, each)),
        _ => {}
    }
}

fn token(service: &Service, role: &str) -> String {
    let made = service.cli(&["token", "add", role, "--person", "A Person", "--role", role]);
    assert_eq!(made.status, 0, "{}", made.stderr);
    made.stdout.trim().to_owned()
}

/// An independent reader of the description throws what it allows, and what it does not, at every
/// route: no answer is a server's error, and each is as described.
#[test]
fn a_stranger_with_the_description_breaks_nothing() {
    let pbx = Pbx::start();
    let service = Setup::hq(&pbx.base_url()).start();
    post_corpus(&service);
    service.wait_for_recordings("archived", RECORDINGS.len() as i64);
    let file = service.dir().join("openapi.json");
    std::fs::write(&file, description().to_string()).unwrap();
    for role in ["admin", "compliance"] {
        let run = Command::new(venv_program("schemathesis"))
            .arg("run")
            .arg(&file)
            .args(["--url", &format!("http://{}", service.admin())])
            .args([
                "--header",
                &format!("Authorization: Bearer {}", token(&service, role)),
            ])
            .args([
                "--checks",
                "not_a_server_error,content_type_conformance,response_schema_conformance",
            ])
            .args([
                "--max-examples",
                "15",
                "--seed",
                "1",
                "--suppress-health-check",
                "all",
            ])
            .current_dir(service.dir())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success(), "{role}: {said}");
    }
}
