//! Any bytes as ID3v2 tags: stripped without a size being trusted; as a source's own tag carried
//! inside ours, and the original rebuilt from what was stored.

use callvault::model::digest::Digest;
use callvault::model::id3::{HEADER_BYTES, Ours, TagSet, encode, ours, tag_len_at};
use callvault::model::rebuilt::Rebuilt;

pub fn check(data: &[u8]) {
    let audio = without_tags(data);
    let source_tag = &data[..data.len() - audio.len()];
    comes_back(source_tag, audio, data);
    comes_back(data, b"\xff\xe3 any sound", data);

    if let Some(found) = ours(data) {
        assert!(
            data.windows(found.source_tag.len().max(1))
                .any(|part| part == found.source_tag)
                || found.source_tag.is_empty()
        );
        assert_eq!(tag_len_at(data, data.len() as u64), Some(data.len() as u64));
    }
    assert_eq!(rebuilt(data, 1), rebuilt(data, data.len().max(1)));
}

/// Behind all tags that stand at the beginning.
fn without_tags(data: &[u8]) -> &[u8] {
    let mut rest = data;
    while let Some(bytes) = tag_len_at(rest, rest.len() as u64) {
        assert!(bytes >= HEADER_BYTES as u64 && bytes <= rest.len() as u64);
        rest = &rest[bytes as usize..];
    }
    rest
}

/// What an event says is in the tag as well: `words` are any.
fn comes_back(source_tag: &[u8], audio: &[u8], words: &[u8]) {
    let [title, artist, recording_id, comment, text] = super::lines(words);
    let set = TagSet {
        title,
        artist: Some(artist).filter(|artist| !artist.is_empty()),
        recorded_utc: None,
        length_ms: words.len() as u64,
        track: Some((1, 2)),
        recording_id,
        comment,
        texts: vec![("DID", text)],
    };
    let tag = encode(&set, source_tag).unwrap();
    let object = [&tag[..], audio].concat();
    assert_eq!(
        tag_len_at(&object, object.len() as u64),
        Some(tag.len() as u64)
    );
    let Some(Ours {
        recording_id,
        source_tag: carried,
    }) = ours(&tag)
    else {
        panic!("our own tag is not ours: {}", tag.escape_ascii());
    };
    assert_eq!(carried, source_tag);
    assert!(!recording_id.contains(char::is_control));
    let original = Digest::of(&[source_tag, audio].concat());
    let expected = (Some(recording_id.to_owned()), Some(original));
    for piece in [1 + words.len() % 31, object.len()] {
        assert_eq!(rebuilt(&object, piece), expected);
    }
}

fn rebuilt(object: &[u8], piece: usize) -> (Option<String>, Option<Digest>) {
    let mut rebuilt = Rebuilt::new(object.len() as u64);
    object.chunks(piece).for_each(|piece| rebuilt.update(piece));
    (rebuilt.recording_id().map(str::to_owned), rebuilt.finish())
}
