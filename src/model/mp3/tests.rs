use std::fs;
use std::io::Cursor;
use std::path::Path;

use proptest::prelude::*;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::MediaSourceStream;
use symphonia::default::formats::MpaReader;

use super::*;
use crate::model::id3::leading_tags_len;

/// 8 kHz, 16 kbit/s: what one frame of the fixtures takes and lasts.
const FRAME_BYTES: usize = 144;
const FRAME_MS: u64 = 72;

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audio");
    fs::read(path.join(name).with_extension("mp3")).unwrap()
}

fn leg() -> Vec<u8> {
    fixture("230307142318_40-2-1")
}

/// Another reader's count: packets and samples.
fn symphonia_reads(bytes: &[u8]) -> (u64, u64) {
    let source = MediaSourceStream::new(Box::new(Cursor::new(bytes.to_vec())), Default::default());
    let mut reader = MpaReader::try_new(source, &FormatOptions::default()).unwrap();
    let (mut packets, mut samples) = (0, 0);
    while let Ok(packet) = reader.next_packet() {
        packets += 1;
        samples += packet.dur;
    }
    (packets, samples)
}

/// Bytes that look random, the same each time.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

fn frame(header: [u8; 4]) -> Vec<u8> {
    let mut frame = header.to_vec();
    frame.resize(Header::parse(&header).unwrap().bytes, 0x55);
    frame
}

#[test]
fn another_reader_counts_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audio");
    let mut read = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "mp3") {
            continue;
        }
        let file = fs::read(&path).unwrap();
        let body = &file[leading_tags_len(&file)..];
        let walk = walk(body).unwrap();
        assert_eq!(
            (walk.frames, walk.media_ms * 8),
            symphonia_reads(body),
            "{path:?}"
        );
        assert_eq!(walk.sample_rate_hz, 8000);
        assert_eq!(walk.id3v1, path.ends_with("tagged.mp3"), "{path:?}");
        let unsound = (walk.cut_last_frame, walk.after_bytes, walk.resyncs);
        assert_eq!(unsound, (false, 0, 0), "{path:?}");
        read += 1;
    }
    assert_eq!(read, 12);
}

#[test]
fn every_version_rate_and_channel_mode_is_measured() {
    // Header, bytes of a frame, milliseconds of 103.
    let cases = [
        ([0xff, 0xfb, 0x90, 0x00], 417, 2691), // MPEG-1, 44.1 kHz, 128 kbit/s
        ([0xff, 0xfb, 0xe4, 0xc0], 960, 2472), // MPEG-1, 48 kHz, 320 kbit/s
        ([0xff, 0xfa, 0xea, 0x40], 1441, 3708), // MPEG-1, 32 kHz, padded, CRC
        ([0xff, 0xf3, 0x10, 0xc0], 26, 2691),  // MPEG-2, 22.05 kHz, 8 kbit/s
        ([0xff, 0xf3, 0xe8, 0xc0], 720, 3708), // MPEG-2, 16 kHz, 160 kbit/s
        ([0xff, 0xe3, 0x28, 0xc4], 144, 7416), // MPEG-2.5, 8 kHz, 16 kbit/s
        ([0xff, 0xe3, 0xea, 0x00], 1441, 7416), // the longest frame there is
    ];
    for (header, bytes, media_ms) in cases {
        let frame = frame(header);
        assert_eq!(frame.len(), bytes, "{header:02x?}");
        let walk = walk(&frame.repeat(103)).unwrap();
        assert_eq!((walk.frames, walk.media_ms), (103, media_ms));
    }
    for no_header in [
        [0xff, 0xfd, 0x90, 0x00], // Layer II
        [0xff, 0xeb, 0x90, 0x00], // reserved version
        [0xff, 0xfb, 0x00, 0x00], // free bit rate
        [0xff, 0xfb, 0xf0, 0x00], // no bit rate
        [0xff, 0xfb, 0x9c, 0x00], // no sample rate
        [0xff, 0xfb, 0x90, 0x02], // reserved emphasis
        [0xff, 0x1b, 0x90, 0x00], // no sync
    ] {
        assert!(Header::parse(&no_header).is_none(), "{no_header:02x?}");
    }
}

#[test]
fn a_frame_about_the_others_is_no_sound() {
    let sound = frame([0xff, 0xe3, 0x28, 0xc4]);
    for (at, mark, frames) in [
        (4 + 9, b"Xing", 5),
        (4 + 9, b"Info", 5),
        (36, b"VBRI", 5),
        (4 + 17, b"Xing", 6), // where it would be in stereo
    ] {
        let mut about = sound.clone();
        about[4..].fill(0);
        about[at..at + 4].copy_from_slice(mark);
        let body = [about.clone(), sound.repeat(5)].concat();
        assert_eq!(walk(&body).unwrap().frames, frames, "{mark:?} at {at}");
        assert_eq!(walk(&about).is_err(), frames == 5, "alone");
    }
}

#[test]
fn cut_anywhere_it_is_cut_or_whole() {
    let whole = leg();
    for kept in (3 * FRAME_BYTES..6 * FRAME_BYTES).chain(whole.len() - 300..=whole.len()) {
        let walk = walk(&whole[..kept]).unwrap();
        assert_eq!(walk.frames, (kept / FRAME_BYTES) as u64, "{kept}");
        assert_eq!(walk.media_ms, walk.frames * FRAME_MS);
        assert_eq!(walk.cut_last_frame, kept % FRAME_BYTES != 0, "{kept}");
        assert_eq!(walk.after_bytes, 0, "{kept}");
    }
}

#[test]
fn a_frame_alone_counts_only_as_the_whole_input() {
    let whole = leg();
    assert_eq!(walk(&whole[..FRAME_BYTES]).unwrap().frames, 1);
    for (from, to) in [
        (0, FRAME_BYTES - 1),
        (0, FRAME_BYTES + 3),
        (1, 2 * FRAME_BYTES),
    ] {
        assert!(walk(&whole[from..to]).is_err(), "{from}..{to}");
    }
}

#[test]
fn what_surrounds_the_frames_is_told_apart() {
    let sound = leg();
    let frames = (sound.len() / FRAME_BYTES) as u64;
    let mut id3v1 = vec![b' '; 128];
    id3v1[..3].copy_from_slice(b"TAG");
    let text = b"<b>Warning</b>: something in the PBX's log\n".to_vec();
    let zeros = vec![0; 4096];
    let none: Vec<u8> = Vec::new();
    let clean = walk(&sound).unwrap();
    let check = |before: &[u8], after: &[u8], expected: Walk| {
        assert_eq!(walk(&[before, &sound, after].concat()), Ok(expected));
    };
    check(
        &none,
        &id3v1,
        Walk {
            id3v1: true,
            ..clean.clone()
        },
    );
    check(
        &none,
        &zeros,
        Walk {
            after_bytes: 4096,
            after_is_zeros: true,
            ..clean.clone()
        },
    );
    check(
        &text,
        &none,
        Walk {
            junk_before_bytes: 43,
            ..clean.clone()
        },
    );
    check(
        &none,
        &text,
        Walk {
            after_bytes: 43,
            ..clean.clone()
        },
    );
    let twice = [&*id3v1, &*id3v1].concat();
    check(
        &none,
        &twice,
        Walk {
            after_bytes: 256,
            ..clean.clone()
        },
    );
    let mixed = [&*zeros, &*text].concat();
    check(
        &mixed,
        &mixed,
        Walk {
            junk_before_bytes: 4139,
            after_bytes: 4139,
            ..clean.clone()
        },
    );
    let again = [&*text, &*sound].concat();
    check(
        &none,
        &again,
        Walk {
            frames: 2 * frames,
            media_ms: 2 * clean.media_ms,
            junk_inside_bytes: 43,
            resyncs: 1,
            ..clean.clone()
        },
    );
    let other_stream = frame([0xff, 0xfb, 0x90, 0x00]).repeat(5);
    check(
        &none,
        &other_stream,
        Walk {
            after_bytes: 5 * 417,
            ..clean.clone()
        },
    );
    let limit = usize::try_from(JUNK_BEFORE_MAX_BYTES).unwrap();
    check(
        &vec![0xff; limit],
        &none,
        Walk {
            junk_before_bytes: limit as u64,
            ..clean.clone()
        },
    );
    let beyond = [vec![0xff; limit + 1], sound.clone()].concat();
    assert!(walk(&beyond).is_err());
}

#[test]
fn a_damaged_header_loses_its_frame_only() {
    let mut sound = leg();
    let clean = walk(&sound).unwrap();
    sound[10 * FRAME_BYTES] = 0;
    let expected = Walk {
        frames: clean.frames - 1,
        media_ms: clean.media_ms - FRAME_MS,
        junk_inside_bytes: FRAME_BYTES as u64,
        resyncs: 1,
        ..clean
    };
    assert_eq!(walk(&sound), Ok(expected));
}

#[test]
fn what_is_no_audio_is_named() {
    let check = |body: &[u8], expected: &'static str| {
        let refused = NotAudio::NoFrames {
            looks_like: expected,
        };
        assert_eq!(walk(body), Err(refused));
    };
    assert_eq!(walk(b""), Err(NotAudio::Empty));
    let xhtml = b"<?xml version=\"1.0\"?>\n<!DOCTYPE html><html xmlns=\"x\">";
    check(b"\n<!DOCTYPE HTML><title>404</title>", "HTML");
    check(b"<HTML><body>not found</body>", "HTML");
    check(xhtml, "HTML");
    check(
        b"\xef\xbb\xbf<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code>",
        "XML",
    );
    check(b" {\"error\":\"not found\"}", "JSON");
    check(b"[]", "JSON");
    check("Datei nicht gefunden: ü".as_bytes(), "text");
    check(b"RIFF\x24\0\0\0WAVEfmt ", "RIFF/WAV");
    check(
        &[b"RIFF\x24\0\0\0WAVEfmt ".to_vec(), leg()].concat(),
        "RIFF/WAV",
    );
    check(b"OggS\0\x02", "Ogg");
    check(&[0; 5000], "zeros");
    check(b"\xff\xe3\x28\xc4", "unknown");
    check(&noise(1 << 20), "unknown");
    let two_streams = [
        frame([0xff, 0xe3, 0x28, 0xc4]),
        frame([0xff, 0xfb, 0x90, 0x00]),
    ];
    check(&two_streams.concat().repeat(9), "unknown");
    let mut page = b"<html>".to_vec();
    page.resize(60_000, b' ');
    check(&page, "HTML");
}

fn in_pieces(bytes: &[u8], piece_bytes: usize) -> Result<Walk, NotAudio> {
    let mut walker = Walker::new();
    for piece in bytes.chunks(piece_bytes) {
        walker.push(piece);
        assert!(walker.window.len() < 2 * 1441, "{}", walker.window.len());
    }
    walker.finish()
}

/// Frames of one stream, of any bit rate and padding.
fn any_frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let header = (1..15_u8, any::<bool>());
    let one = header.prop_map(|(kbit, padded)| {
        frame([0xff, 0xe3, kbit << 4 | 8 | u8::from(padded) << 1, 0xc4])
    });
    prop::collection::vec(one, 2..6)
}

fn any_junk(bytes: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..0xff_u8, bytes)
}

proptest! {
    #[test]
    fn what_was_put_together_is_told_apart(
        before in any_junk(0..300),
        first in any_frames(),
        others in prop::collection::vec((any_junk(1..300), any_frames()), 0..4),
        cut_bytes in 0..144_usize,
        piece_bytes in 1..3000_usize,
    ) {
        let inside: usize = others.iter().map(|(junk, _)| junk.len()).sum();
        let frames = first.len() + others.iter().map(|(_, frames)| frames.len()).sum::<usize>();
        let mut body = [before.clone(), first.concat()].concat();
        for (junk, frames) in &others {
            body.extend([junk.clone(), frames.concat()].concat());
        }
        body.extend(&frame([0xff, 0xe3, 0x28, 0xc4])[..cut_bytes]);
        let expected = Walk {
            frames: frames as u64,
            media_ms: frames as u64 * FRAME_MS,
            sample_rate_hz: 8000,
            cut_last_frame: cut_bytes > 0,
            junk_before_bytes: before.len() as u64,
            junk_inside_bytes: inside as u64,
            resyncs: others.len() as u64,
            after_bytes: 0,
            after_is_zeros: false,
            id3v1: false,
        };
        prop_assert_eq!(in_pieces(&body, piece_bytes), Ok(expected));
    }

    #[test]
    fn any_bytes_are_walked(
        bytes in prop::collection::vec(any::<u8>(), 0..8192),
        piece_bytes in 1..3000_usize,
    ) {
        prop_assert_eq!(in_pieces(&bytes, piece_bytes), walk(&bytes));
    }

    #[test]
    fn any_damage_is_survived_and_pieces_do_not_matter(
        name in prop::sample::select(vec!["230307150805_46-1-1", "vbr", "tagged"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        cut in any::<prop::sample::Index>(),
        piece_bytes in 1..3000_usize,
    ) {
        let mut bytes = fixture(name);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        prop_assert_eq!(in_pieces(&bytes, piece_bytes), walk(&bytes));
    }
}
