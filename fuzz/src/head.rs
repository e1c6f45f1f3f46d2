//! Any head of a request: only its target is rewritten, byte by byte, and no line begins or ends
//! elsewhere than before.

use bytes::Bytes;
use callvault::http::request_line::encode::encode;

pub fn check(data: &[u8]) {
    let head = Bytes::copy_from_slice(data);
    let (encoded, target, is_rewritten) = encode(head.clone());
    assert_eq!(is_rewritten, encoded != head);
    assert_eq!(breaks(&encoded), breaks(&head));
    let (again, _, is_rewritten_again) = encode(encoded.clone());
    assert!(
        again == encoded && !is_rewritten_again,
        "{}",
        again.escape_ascii()
    );
    if !is_rewritten && target.is_empty() {
        return;
    }

    let start = head.iter().position(|byte| *byte == b' ').unwrap() + 1;
    let behind = &head[start..];
    let behind = behind
        .strip_prefix(&target[..])
        .expect("the target is the head's own");
    assert!(behind.starts_with(b" HTTP/1."));
    let middle = encoded.strip_prefix(&head[..start]);
    let middle = middle
        .and_then(|rest| rest.strip_suffix(behind))
        .expect("the rest is untouched");
    assert!(
        middle.iter().all(u8::is_ascii_graphic),
        "{}",
        middle.escape_ascii()
    );
    assert!(is_told_by(&target, middle), "{}", middle.escape_ascii());
}

fn breaks(head: &[u8]) -> usize {
    head.iter()
        .filter(|byte| matches!(byte, b'\r' | b'\n'))
        .count()
}

/// Whether each byte stands as itself or as its escape.
fn is_told_by(target: &[u8], mut encoded: &[u8]) -> bool {
    for byte in target {
        let escape = format!("%{byte:02X}");
        let rest = encoded.strip_prefix(&[*byte]);
        let rest = rest.or_else(|| encoded.strip_prefix(escape.as_bytes()));
        let Some(rest) = rest else { return false };
        encoded = rest;
    }
    encoded.is_empty()
}
