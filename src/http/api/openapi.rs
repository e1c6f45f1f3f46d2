//! The OpenAPI 3.1 description, made from the table of routes and from the types that are answered.
//!
//! Never here: a route that is not in the table, or a field that no type has.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{ROUTES, Route};
use crate::catalog::series::Series;
use crate::catalog::status::Status;
use crate::catalog::{CallDetail, RecordingDetail};
use crate::model::access::Right;
use crate::model::call::Call;
use crate::store::custody::CustodyRow;
use crate::store::events::RawEventRow;
use crate::store::jobs::JobRow;
use crate::store::search::RecordingRow;
use crate::store::tokens::TokenRow;

/// What a route answers when it does what was asked.
#[derive(Debug, Clone, Copy)]
pub enum Answers {
    Recordings,
    Recording,
    Calls,
    Call,
    Events,
    Jobs,
    Retried,
    Custody,
    Status,
    Series,
    Tokens,
    Peaks,
    Description,
    Csv,
    JsonLines,
    Audio,
    Nothing,
}

const HEADERS_OF_AUDIO: &[(&str, &str)] = &[
    (
        "X-Callvault-Reason",
        "Why it is heard; needed once a call, and good for 15 minutes",
    ),
    ("X-Callvault-Case", "The case that it is heard for"),
    ("Range", "The bytes that are wanted, such as bytes=0-99"),
];

pub fn description() -> Value {
    let mut types = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation(route, &mut types);
    }
    let mut schemas = types.take_definitions(true);
    schemas.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "callvault",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The archive's API. Scopes of a token hold in every answer.",
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas,
        },
    })
}

fn operation(route: &Route, types: &mut SchemaGenerator) -> Value {
    let open = route.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({
            "name": name, "in": "path", "required": true, "schema": { "type": "string" },
        }))
    });
    let query = route.query.iter().map(|parameter| {
        json!({
            "name": parameter.name, "in": "query", "description": parameter.about,
            "schema": { "type": "string" },
        })
    });
    let header = |(name, about): &(&str, &str)| {
        json!({
            "name": name, "in": "header", "description": about, "schema": { "type": "string" },
        })
    };
    let headers = match route.right {
        Right::Hear => HEADERS_OF_AUDIO,
        _ => &[],
    };
    let mut responses = Map::new();
    responses.insert("200".to_owned(), success(route.answers, types));
    if matches!(route.answers, Answers::Audio) {
        responses.insert("206".to_owned(), success(route.answers, types));
    }
    let failed = json!({
        "description": "Not done, and why, with a stable code",
        "content": { "application/problem+json": {
            "schema": { "$ref": "#/components/schemas/Problem" },
        } },
    });
    for class in ["4XX", "503"] {
        responses.insert(class.to_owned(), failed.clone());
    }
    json!({
        "summary": route.summary,
        "description": format!("Takes the right to {}.", route.right),
        "parameters": open.chain(query).chain(headers.iter().map(header)).collect::<Vec<_>>(),
        "responses": responses,
    })
}

fn success(answers: Answers, types: &mut SchemaGenerator) -> Value {
    let page = |items: schemars::Schema| {
        json!({
            "type": "object",
            "required": ["items", "next"],
            "properties": {
                "items": { "type": "array", "items": items },
                "next": { "type": ["string", "null"], "description": "The cursor of the next page" },
            },
        })
    };
    let (kind, schema) = match answers {
        Answers::Recordings => (
            "application/json",
            page(types.subschema_for::<RecordingRow>()),
        ),
        Answers::Recording => (
            "application/json",
            json!(types.subschema_for::<RecordingDetail>()),
        ),
        Answers::Calls => ("application/json", page(types.subschema_for::<Call>())),
        Answers::Call => (
            "application/json",
            json!(types.subschema_for::<CallDetail>()),
        ),
        Answers::Events => (
            "application/json",
            page(types.subschema_for::<RawEventRow>()),
        ),
        Answers::Jobs => ("application/json", page(types.subschema_for::<JobRow>())),
        Answers::Custody => (
            "application/json",
            page(types.subschema_for::<CustodyRow>()),
        ),
        Answers::Status => ("application/json", json!(types.subschema_for::<Status>())),
        Answers::Series => ("application/json", json!(types.subschema_for::<Series>())),
        Answers::Tokens => ("application/json", page(types.subschema_for::<TokenRow>())),
        Answers::Retried => ("application/json", object(&["recording", "said"])),
        Answers::Peaks => (
            "application/json",
            object(&["duration_s", "peaks", "is_vbr"]),
        ),
        Answers::Description => ("application/json", object(&["openapi", "paths"])),
        Answers::Csv => ("text/csv", json!({ "type": "string" })),
        Answers::JsonLines => ("application/jsonl", json!({ "type": "string" })),
        Answers::Audio => ("audio/mpeg", json!({})),
        Answers::Nothing => return json!({ "description": "Headers only" }),
    };
    json!({ "description": "Done", "content": { kind: { "schema": schema } } })
}

fn object(required: &[&str]) -> Value {
    json!({ "type": "object", "required": required })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "code": { "type": "string", "description": "Stable" },
            "detail": { "type": "string" },
        },
    })
}
