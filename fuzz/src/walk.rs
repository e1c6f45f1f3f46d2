//! Any body as MP3: the same whatever the pieces it comes in, no byte counted twice, no more sound
//! than its bytes can hold.

use callvault::model::mp3::{NotAudio, Walk, Walker, walk};

/// The shortest frame there is.
const FRAME_BYTES: u64 = 24;

pub fn check(data: &[u8]) {
    let whole = walk(data);
    let piece = 1 + usize::from(data.last().copied().unwrap_or_default());
    for piece in [1, piece] {
        assert_eq!(in_pieces(data, piece), whole, "in pieces of {piece}");
    }
    let bytes = data.len() as u64;
    let walk = match whole {
        Ok(walk) => walk,
        Err(error) => return assert_eq!(error == NotAudio::Empty, bytes == 0),
    };
    let id3v1 = if walk.id3v1 { 128 } else { 0 };
    let others = walk.junk_before_bytes + walk.junk_inside_bytes + walk.after_bytes + id3v1;
    assert!(
        walk.frames > 0 && others + walk.frames * FRAME_BYTES <= bytes,
        "{walk:?}"
    );
    // The lowest bit rate is a byte a millisecond, and a frame's length is rounded down.
    assert!(walk.media_ms <= bytes + bytes / FRAME_BYTES + 1, "{walk:?}");
    assert!(walk.resyncs <= walk.junk_inside_bytes, "{walk:?}");
    assert!(!walk.after_is_zeros || walk.after_bytes > 0, "{walk:?}");
}

fn in_pieces(data: &[u8], piece: usize) -> Result<Walk, NotAudio> {
    let mut walker = Walker::new();
    data.chunks(piece).for_each(|piece| walker.push(piece));
    walker.finish()
}
