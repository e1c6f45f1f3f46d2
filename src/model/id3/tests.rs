use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;

fn source_tag(object_tag: &[u8]) -> Option<&[u8]> {
    ours(object_tag).map(|ours| ours.source_tag)
}

fn tag(major: u8, flags: u8, size: [u8; 4]) -> Vec<u8> {
    [&[b'I', b'D', b'3', major, 0, flags], &size[..]].concat()
}

fn example() -> TagSet {
    TagSet {
        title: "Incoming 05552221133 → 117 ⇢ 204".into(),
        artist: Some("05552221133".into()),
        recorded_utc: Some("2023-03-07T12:23:18".into()),
        length_ms: 6768,
        track: Some((2, 2)),
        recording_id: "230307142318_40-2-1".into(),
        comment: "A call".into(),
        texts: vec![
            ("PBX", "hq".into()),
            ("LEG", "2".into()),
            ("DID", String::new()),
        ],
    }
}

/// The tag's frames as our own scan sees them: id and content.
fn frames(tag: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut rest = &tag[HEADER_BYTES..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (id, content, behind) = split_frame(rest).unwrap();
        frames.push((String::from_utf8(id.to_vec()).unwrap(), content.to_vec()));
        rest = behind;
    }
    frames
}

#[test]
fn a_tag_is_as_long_as_it_says_where_that_can_be() {
    let check = |header: Vec<u8>, bytes_left, expected| {
        assert_eq!(tag_len_at(&header, bytes_left), expected, "{header:02x?}");
    };
    check(tag(2, 0, [0, 0, 0, 5]), 15, Some(15));
    check(tag(3, 0x80, [0, 0, 1, 0]), 138, Some(138));
    check(tag(3, 0, [0, 0, 1, 0]), 137, None);
    check(tag(4, 0, [0x7f; 4]), u64::MAX, Some(0x0fff_ffff + 10));
    check(tag(4, FOOTER, [0, 0, 0, 5]), 25, Some(25));
    check(tag(4, FOOTER, [0, 0, 0, 5]), 24, None);
    check(tag(3, FOOTER, [0, 0, 0, 5]), 15, Some(15));
    check(tag(4, 0, [0, 0, 0, 0x80]), 1000, None);
    check(tag(1, 0, [0; 4]), 1000, None);
    check(tag(5, 0, [0; 4]), 1000, None);
    check(b"ID3\x04\xff\0\0\0\0\0".to_vec(), 1000, None);
    check(b"ID3\x04\0\0\0\0\0".to_vec(), 1000, None);
    check(b"TAG\x04\0\0\0\0\0\0".to_vec(), 1000, None);
}

#[test]
fn stacked_tags_count_together() {
    let one = [tag(3, 0, [0, 0, 0, 4]), b"abcd".to_vec()].concat();
    let two = [&one[..], &tag(4, 0, [0; 4]), b"\xff\xe3audio"].concat();
    assert_eq!(leading_tags_len(&two), 24);
    assert_eq!(leading_tags_len(&one), 14);
    assert_eq!(leading_tags_len(&one[..13]), 0);
    assert_eq!(leading_tags_len(b""), 0);
}

#[test]
fn frames_stand_as_designed() {
    let source = tag(3, 0, [0; 4]);
    let tag = encode(&example(), &source).unwrap();
    assert_eq!(tag, encode(&example(), &source).unwrap());
    let expected: Vec<(String, Vec<u8>)> = [
        ("TIT2", "\u{3}Incoming 05552221133 → 117 ⇢ 204"),
        ("TPE1", "\u{3}05552221133"),
        ("TDRC", "\u{3}2023-03-07T12:23:18"),
        ("TLEN", "\u{3}6768"),
        ("TRCK", "\u{3}2/2"),
        ("UFID", "callvault\u{0}230307142318_40-2-1"),
        ("COMM", "\u{3}eng\0A call"),
        ("TXXX", "\u{3}PBX\0hq"),
        ("TXXX", "\u{3}LEG\u{0}2"),
        ("TXXX", "\u{3}DID\0"),
        ("PRIV", "callvault:source-tag\0ID3\u{3}\0\0\0\0\0\0"),
    ]
    .map(|(id, content)| (id.to_owned(), content.as_bytes().to_vec()))
    .into();
    assert_eq!(frames(&tag), expected);
}

#[test]
fn values_cannot_leave_their_frame() {
    let mut tags = example();
    tags.title = format!("a\0b\nc\u{85}{}", "ü".repeat(VALUE_MAX_BYTES));
    tags.artist = None;
    let tag = encode(&tags, &[]).unwrap();
    let (id, title) = frames(&tag).remove(0);
    let title = String::from_utf8(title).unwrap();
    assert_eq!(id, "TIT2");
    assert!(title.starts_with("\u{3}a b c ü"), "{title}");
    assert!(title.len() <= 1 + VALUE_MAX_BYTES && title.ends_with('ü'));
    assert!(frames(&tag).iter().all(|(id, _)| id != "TPE1"));
}

#[test]
fn too_large_a_source_tag_is_refused() {
    let source = vec![0; SOURCE_TAG_MAX_BYTES + 1];
    let carried = encode(&example(), &source[1..]).unwrap();
    assert_eq!(source_tag(&carried), Some(&source[1..]));
    let refused = encode(&example(), &source).unwrap_err();
    assert!(matches!(refused, Error::CarrySourceTag { bytes } if bytes == source.len()));
}

#[test]
fn only_our_own_tag_gives_a_source_back() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audio/tagged.mp3");
    let file = fs::read(path).unwrap();
    let foreign = &file[..leading_tags_len(&file)];
    assert!(!foreign.is_empty());
    assert_eq!(source_tag(foreign), None);

    let ours = encode(&example(), foreign).unwrap();
    assert_eq!(source_tag(&ours), Some(foreign));
    assert_eq!(source_tag(&encode(&example(), &[]).unwrap()), Some(&[][..]));
    assert_eq!(
        source_tag(&encode(&example(), &ours).unwrap()),
        Some(&ours[..])
    );

    assert_eq!(source_tag(b""), None);
    assert_eq!(source_tag(&ours[1..]), None);
    assert_eq!(source_tag(&ours[..ours.len() - 1]), None);
    assert_eq!(source_tag(&[&ours[..], b"x"].concat()), None);
    assert_eq!(source_tag(&tag(4, 0, [0; 4])), None);
    let frame_behind = [&ours[..], b"TLEN\0\0\0\0\0\0"].concat();
    assert_eq!(source_tag(&frame_behind), None);
    let mut compressed = ours.clone();
    let at = compressed.windows(4).position(|id| id == b"PRIV").unwrap();
    compressed[at + 9] = 8;
    assert_eq!(source_tag(&compressed), None);
    let mut other = ours.clone();
    let at = other
        .windows(9)
        .position(|part| part == b"callvault")
        .unwrap();
    other[at] = b'C';
    assert_eq!(source_tag(&other), None);
}

fn any_tags() -> impl Strategy<Value = TagSet> {
    const NAMES: [&str; 4] = ["PBX", "CALL_ID", "RING_PATH", "SOURCE_URL"];
    let text = || {
        prop_oneof![
            any::<String>(),
            "\\PC{0,40}",
            Just("\0\r\n\u{202e}".to_owned())
        ]
    };
    let maybe = || prop::option::of(text());
    let texts = prop::collection::vec(text(), 0..NAMES.len());
    (
        text(),
        maybe(),
        maybe(),
        any::<u64>(),
        any::<Option<(u32, u32)>>(),
        text(),
        text(),
        texts,
    )
        .prop_map(
            |(title, artist, recorded_utc, length_ms, track, id, comment, texts)| TagSet {
                title,
                artist,
                recorded_utc,
                length_ms,
                track,
                recording_id: id,
                comment,
                texts: NAMES.into_iter().zip(texts).collect(),
            },
        )
}

/// A source: perhaps tags, some of which lie, then bytes that may themselves begin like one.
fn any_source() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![Just([0, 0, 0, 9]), Just([0, 0, 0, 0]), any::<[u8; 4]>()];
    let header =
        (0..6_u8, any::<u8>(), size).prop_map(|(major, flags, size)| tag(major, flags, size));
    let bytes = prop::collection::vec(any::<u8>(), 0..40);
    let part = prop_oneof![
        header,
        bytes,
        Just(b"123456789".to_vec()),
        Just(b"ID3".to_vec())
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn the_source_can_be_rebuilt(tags in any_tags(), source in any_source()) {
        let (source_tags, audio) = source.split_at(leading_tags_len(&source));
        let tag = encode(&tags, source_tags).unwrap();
        let object = [&tag[..], audio].concat();

        let (object_tag, stored_audio) = object.split_at(leading_tags_len(&object));
        prop_assert_eq!(object_tag, &tag[..]);
        let rebuilt = [source_tag(object_tag).unwrap(), stored_audio].concat();
        prop_assert_eq!(rebuilt, source);
    }

    #[test]
    fn any_bytes_are_scanned(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        source in any_source(),
    ) {
        let mut bytes = encode(&example(), &source).unwrap();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(found) = source_tag(&bytes) {
            prop_assert!(found.len() < bytes.len());
        }
        source_tag(&source);
        leading_tags_len(&bytes);
    }
}
