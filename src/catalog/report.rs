//! The shape in which a call stands in every output, for those who describe it to programs.
//!
//! `model::call` writes it; the model knows no schemas, so the shape is told here, and a test holds
//! both together.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::model::call::Call;

/// A call. Times RFC 3339, durations in seconds; unknown is null.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its shape is used")]
struct CallShape {
    call: String,
    pbx: String,
    direction: Option<String>,
    external: Option<String>,
    did: Option<String>,
    started_at: Option<String>,
    started_at_local: Option<String>,
    outcome: Option<String>,
    legs: Vec<LegShape>,
    /// Each user that rang, once, in the order of arrival.
    ring_path: Vec<String>,
}

/// A conversation of a call.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its shape is used")]
struct LegShape {
    leg: u32,
    extension: Option<String>,
    answered_at: Option<String>,
    ended_at: Option<String>,
    duration_s: Option<u32>,
    /// How the leg ended, if it was handed on.
    transfer: Option<String>,
    transferred_to: Option<String>,
    finish: Option<String>,
    recordings: Vec<String>,
}

impl JsonSchema for Call {
    fn schema_name() -> Cow<'static, str> {
        "Call".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        CallShape::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::model::call::Leg;
    use crate::model::id::CallId;

    fn keys(value: &Value) -> BTreeSet<&str> {
        value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect()
    }

    #[test]
    fn the_shape_is_what_is_written() {
        let id = CallId {
            pbx: "hq".parse().unwrap(),
            call: "230307142318_40".parse().unwrap(),
        };
        let mut call = Call::fold(id, &jiff::tz::TimeZone::UTC, &[]);
        call.legs.push(Leg::default());
        let written = serde_json::to_value(&call).unwrap();
        let shape = serde_json::to_value(schemars::schema_for!(Call)).unwrap();
        assert_eq!(keys(&written), keys(&shape["properties"]));
        let leg = &shape["$defs"]["LegShape"]["properties"];
        assert_eq!(keys(&written["legs"][0]), keys(leg));
    }
}
