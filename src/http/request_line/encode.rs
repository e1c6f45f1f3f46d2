//! One head: finds its target and percent-encodes what hyper would refuse in it.
//!
//! Never here: bytes that come after a head.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

/// The head as hyper shall see it, its target as it came, and whether these two differ.
pub fn encode(head: Bytes) -> (Bytes, Bytes, bool) {
    let Some(place) = target(&head) else {
        return (head, Bytes::new(), false);
    };
    let target = head.slice(place.clone());
    let refused = target.iter().filter(|&&byte| is_refused(byte)).count();
    if refused == 0 {
        return (head, target, false);
    }
    let mut encoded = BytesMut::with_capacity(head.len() + 2 * refused);
    encoded.put_slice(&head[..place.start]);
    for &byte in &target {
        if is_refused(byte) {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            encoded.put_slice(&[b'%', HEX[high], HEX[low]]);
        } else {
            encoded.put_u8(byte);
        }
    }
    encoded.put_slice(&head[place.end..]);
    (encoded.freeze(), target, true)
}

/// Where a head's target stands: after the first space, before the ` HTTP/1.x` that ends the line.
/// None where hyper answers 400 in any case: no such version, a NUL, a CR that ends no line.
fn target(head: &[u8]) -> Option<Range<usize>> {
    let line = head.split(|&byte| byte == b'\n').next()?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let end = [b" HTTP/1.1", b" HTTP/1.0"]
        .iter()
        .find_map(|version| line.strip_suffix(*version))?
        .len();
    let start = line.iter().position(|&byte| byte == b' ')? + 1;
    let clear = !line.iter().any(|byte| matches!(byte, b'\r' | b'\0'));
    (start <= end && clear).then_some(start..end)
}

fn is_refused(byte: u8) -> bool {
    matches!(byte, b' ' | b'"' | b'<' | b'>') || byte.is_ascii_control() || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Head in, head out, target; `None` for a head that must pass as it is.
    fn check(head: &'static [u8], expected: Option<(&[u8], &[u8])>) {
        let (encoded, target, rewritten) = encode(Bytes::from_static(head));
        let name = head.escape_ascii();
        let (expected_head, expected_target) = expected.unwrap_or((head, b""));
        assert_eq!(
            encoded.escape_ascii().to_string(),
            expected_head.escape_ascii().to_string(),
            "{name}"
        );
        assert_eq!(&target[..], expected_target, "{name}");
        assert_eq!(rewritten, expected_head != head, "{name}");
    }

    #[test]
    fn only_the_target_is_encoded() {
        check(
            b"GET /a HTTP/1.1\r\n\r\n",
            Some((b"GET /a HTTP/1.1\r\n\r\n", b"/a")),
        );
        check(
            b"GET /a b?\"<>\t\x01\x7f HTTP/1.0\nX: \"a b\"\n\n",
            Some((
                b"GET /a%20b?%22%3C%3E%09%01%7F HTTP/1.0\nX: \"a b\"\n\n",
                b"/a b?\"<>\t\x01\x7f",
            )),
        );
        check(
            "GET /?c=Žž HTTP/1.1\r\n\r\n".as_bytes(),
            Some((
                b"GET /?c=%C5%BD%C5%BE HTTP/1.1\r\n\r\n",
                "/?c=Žž".as_bytes(),
            )),
        );
        check(
            b"GET /%20 \xff HTTP/1.1\r\n\r\n",
            Some((b"GET /%20%20%FF HTTP/1.1\r\n\r\n", b"/%20 \xff")),
        );
        check(
            b"GET /a HTTP/1.1 HTTP/1.1\r\n\r\n",
            Some((b"GET /a%20HTTP/1.1 HTTP/1.1\r\n\r\n", b"/a HTTP/1.1")),
        );
        for refused in [
            &b"GET /a b\r\n\r\n"[..],
            b"GET /a b HTTP/2.0\r\n\r\n",
            b"GET /a b HTTP/1.1 \r\n\r\n",
            b"GET /a b HTTP/1.1\r\r\n\r\n",
            b"GET /a\rb c HTTP/1.1\r\n\r\n",
            b"GET /a\0b c HTTP/1.1\r\n\r\n",
            b"GET HTTP/1.1\r\n\r\n",
            b"GET\r\n\r\n",
        ] {
            check(refused, None);
        }
    }
}
