//! S3 user metadata, which travels in headers.
//!
//! Never here: a value that is no header value, whatever text a caller of the PBX had us carry.

use std::collections::HashMap;

use crate::model::digest::Digest;

/// S3's own limit, names and values together; above it the whole PUT is refused.
const MOST_BYTES: usize = 2048;
const SHA256: &str = "sha256";

/// The digest, then whatever still fits, in order: metadata is a convenience, the manifest has
/// it all.
pub fn headers(sha256: Digest, metadata: &[(&'static str, String)]) -> HashMap<String, String> {
    let first = [(SHA256, sha256.to_string())];
    let mut left_bytes = MOST_BYTES;
    first
        .iter()
        .chain(metadata)
        .map(|(name, value)| (*name, escaped(value)))
        .filter(|(name, value)| {
            let fits = left_bytes.checked_sub(name.len() + value.len());
            left_bytes = fits.unwrap_or(left_bytes);
            fits.is_some()
        })
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Percent-encodes all but visible ASCII and single inner spaces (stores trim and merge the
/// others, and the signature would not fit), and `%` itself, so that it can be undone.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for (at, byte) in value.bytes().enumerate() {
        let inner_space = byte == b' ' && !escaped.is_empty() && !escaped.ends_with(' ');
        let last = at + 1 == value.len();
        if (byte.is_ascii_graphic() && byte != b'%') || (inner_space && !last) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_becomes_a_header_value() {
        let cases = [
            ("incoming", "incoming"),
            ("2023-03-07T14:23:18Z", "2023-03-07T14:23:18Z"),
            ("117 to 204", "117 to 204"),
            ("100%", "100%25"),
            ("\u{fc}", "%C3%BC"),
            (
                "a\r\nx-amz-acl: public-read",
                "a%0D%0Ax-amz-acl: public-read",
            ),
            (" two  spaces ", "%20two %20spaces%20"),
            ("\0\t\u{7f}", "%00%09%7F"),
            ("", ""),
        ];
        for (value, expected) in cases {
            assert_eq!(escaped(value), expected, "{value:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let long = "x".repeat(MOST_BYTES);
        let headers = headers(
            Digest::of(b""),
            &[("long", long), ("call", "230307142318_40".to_owned())],
        );
        let mut names: Vec<&str> = headers.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["call", "sha256"]);
    }
}
