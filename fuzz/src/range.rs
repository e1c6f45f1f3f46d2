//! Any Range header on an object of any size: a part that lies inside it, the whole, or a refusal.

use callvault::http::api::audio::range;

pub fn check(data: &[u8]) {
    let Some((size, text)) = data.split_first_chunk::<8>() else {
        return;
    };
    // Small sizes too: the first byte says how many bits count.
    let bytes = u64::from_le_bytes(*size) >> (size[0] % 64);
    let text = String::from_utf8_lossy(text);
    let numbers = text.strip_prefix("bytes=").and_then(plain);
    match (range(Some(&text), bytes), numbers) {
        (Ok(None), None | Some((None, None)) | Some((None, Some(0)))) => {}
        (Ok(None), Some((Some(from), Some(to)))) => assert!(from > to, "{text:?}"),
        (Ok(Some(found)), Some(numbers)) => assert_eq!(found, part(numbers, bytes), "{text:?}"),
        (Err(_), Some((Some(from), _))) => assert!(from >= bytes, "{text:?} of {bytes}"),
        (Err(_), Some((None, _))) => assert_eq!(bytes, 0, "{text:?}"),
        (found, numbers) => panic!("{text:?} of {bytes}: {:?} {numbers:?}", found.ok()),
    }
}

type Numbers = (Option<u64>, Option<u64>);

/// Digits, a minus, digits; None for anything else, or a number beyond all sizes.
fn plain(text: &str) -> Option<Numbers> {
    let (from, to) = text.split_once('-')?;
    let number = |text: &str| match text {
        "" => Some(None),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok().map(Some),
        _ => None,
    };
    Some((number(from)?, number(to)?))
}

/// Where it begins, and how many bytes.
fn part(numbers: Numbers, bytes: u64) -> (u64, u64) {
    let (first, last) = match numbers {
        (Some(from), to) => (from, to.unwrap_or(u64::MAX).min(bytes - 1)),
        (None, suffix) => (bytes - suffix.unwrap().min(bytes), bytes - 1),
    };
    assert!(first <= last);
    (first, last - first + 1)
}
