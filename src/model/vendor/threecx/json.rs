//! The dialects in JSON: an object an event, an array of them, a bare string as a URL.

use serde_json::Value;

use crate::model::event::Reading;

use super::fields::Fields;
use super::files::is_url;
use super::repair;

/// An array of more events than this is left unread: nobody batches like that, and each is a row.
const EVENTS_MAX: usize = 1000;

pub fn read(text: &str) -> Option<Vec<Reading>> {
    looks_like(text)
        .then(|| serde_json::from_str(text).ok())
        .flatten()
        .map(readings)
}

/// The same after mending lost quotes.
pub fn repaired(text: &str) -> Option<Vec<Reading>> {
    let mended = looks_like(text).then(|| repair::quotes(text)).flatten()?;
    let value = serde_json::from_str(&mended).ok()?;
    let flag = |reading| match reading {
        Reading::Event(event) => Reading::Repaired(event),
        other => other,
    };
    Some(readings(value).into_iter().map(flag).collect())
}

fn looks_like(text: &str) -> bool {
    text.starts_with(['{', '[', '"'])
}

fn readings(value: Value) -> Vec<Reading> {
    match value {
        Value::Array(items) if items.len() > EVENTS_MAX => vec![Reading::NotUnderstood],
        Value::Array(items) if items.iter().all(is_url_string) && !items.is_empty() => {
            let urls = items.iter().filter_map(Value::as_str).map(str::to_owned);
            vec![Reading::Event(Fields::of_urls(urls.collect()).into_event())]
        }
        Value::Array(items) => items.into_iter().map(reading).collect(),
        single => vec![reading(single)],
    }
}

fn is_url_string(value: &Value) -> bool {
    value.as_str().is_some_and(|text| is_url(text.trim()))
}

fn reading(value: Value) -> Reading {
    let mut fields = Fields::default();
    match &value {
        Value::Object(entries) => {
            for (key, value) in entries {
                add(&mut fields, key, value);
            }
        }
        Value::String(url) if is_url(url.trim()) => {
            fields = Fields::of_urls(vec![url.trim().to_owned()]);
        }
        _ => return Reading::NotUnderstood,
    }
    Reading::Event(fields.into_event())
}

/// Numbers and truth values count as the text they would be; deeper structure is not of an event.
fn add(fields: &mut Fields, key: &str, value: &Value) {
    match value {
        Value::String(text) => fields.add(key, text),
        Value::Number(number) => fields.add(key, &number.to_string()),
        Value::Bool(truth) => fields.add(key, if *truth { "true" } else { "false" }),
        Value::Array(items) => items.iter().for_each(|item| match item {
            Value::Array(_) | Value::Object(_) => {}
            item => add(fields, key, item),
        }),
        Value::Null | Value::Object(_) => {}
    }
}
