//! The dialect of a query string or a posted form: `event=ringing&callerid=…`.
//!
//! Spaces, colons and parentheses may be raw.

use std::borrow::Cow;

use crate::model::event::Reading;

use super::fields::Fields;

pub fn read(text: &str) -> Option<Vec<Reading>> {
    let text = text.strip_prefix('?').unwrap_or(text);
    // No value begins with a space; a sender that leaves spaces raw means a number's plus.
    let text: Cow<str> = match text.contains("=+") {
        true => text.replace("=+", "=%2B").into(),
        false => text.into(),
    };
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&text).ok()?;
    // Bare URLs that went through a form's encoding.
    if let [(text, nothing)] = &pairs[..]
        && nothing.is_empty()
        && let Some(readings) = super::urls(text.trim())
    {
        return Some(readings);
    }
    let mut fields = Fields::default();
    for (key, value) in &pairs {
        fields.add(key, value);
    }
    fields
        .known()
        .then(|| vec![Reading::Event(fields.into_event())])
}
