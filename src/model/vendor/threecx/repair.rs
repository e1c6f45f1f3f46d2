//! Mends JSON whose values lost quotes on the way, as two of the vendor's own examples did:
//! `"Callerid": 05552221133",`. A mended value is always a string, so leading zeros stay.
//!
//! Never here: guessing text that is gone. What was lost beyond a quote stays lost.

/// The text with quotes put back around bare values, or none where there was nothing to mend.
pub fn quotes(text: &str) -> Option<String> {
    let mut mended = String::with_capacity(text.len() + 8);
    let mut changed = false;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let end = string_end(rest)?;
            mended.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        mended.push(first);
        rest = &rest[first.len_utf8()..];
        if first != ':' {
            continue;
        }
        let value = rest.trim_start();
        mended.push_str(&rest[..rest.len() - value.len()]);
        rest = value;
        if let Some((bare, after)) = bare_value(value) {
            mended.push('"');
            mended.push_str(bare);
            mended.push('"');
            rest = after;
            changed = true;
        }
    }
    changed.then_some(mended)
}

/// The end of the string that `text` begins with, past its closing quote.
fn string_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A value that begins without a quote and is no JSON: the bare text and what follows it.
fn bare_value(value: &str) -> Option<(&str, &str)> {
    if value.starts_with(['"', '{', '[']) {
        return None;
    }
    let end = value
        .find(['"', ',', '}', ']', '\n'])
        .unwrap_or(value.len());
    let bare = value[..end].trim_end();
    let closed = value[end..].starts_with('"');
    let valid = !closed && serde_json::from_str::<serde_json::Value>(bare).is_ok();
    let mendable = !bare.is_empty() && !bare.contains(['\\', ':', '{', '[']);
    (mendable && !valid).then(|| (bare, &value[end + usize::from(closed)..]))
}

#[cfg(test)]
mod tests {
    use super::quotes;

    #[test]
    fn quotes_come_back() {
        for (damaged, mended) in [
            (
                r#"{ "a": 05552221133", "b": "x" }"#,
                Some(r#"{ "a": "05552221133", "b": "x" }"#),
            ),
            (
                r#"{"Id": 30307135611_31-1"}"#,
                Some(r#"{"Id": "30307135611_31-1"}"#),
            ),
            (r#"{"a": 0123, "b": 7}"#, Some(r#"{"a": "0123", "b": 7}"#)),
            (r#"{"a": "x:1", "b": true, "c": [1]}"#, None),
            (r#"{"a": "open"#, None),
            ("{", None),
        ] {
            assert_eq!(quotes(damaged).as_deref(), mended, "{damaged}");
        }
    }
}
