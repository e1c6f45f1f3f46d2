//! The original of a recording, rebuilt from the object that was stored, to prove that nothing of
//! it was lost: what our tag carries of the source's own tag, then all that follows ours.

use super::digest::{Digest, Hasher};
use super::id3;

/// Our own tag with the largest source tag inside it is not longer than this.
const TAG_MAX_BYTES: u64 = 2 * id3::SOURCE_TAG_MAX_BYTES as u64;

/// Takes an object's bytes as they pass by; holds no more than its tag.
pub struct Rebuilt {
    object_bytes: u64,
    state: State,
    recording_id: Option<String>,
}

enum State {
    /// The object's beginning, until our tag is whole.
    Head(Vec<u8>),
    Audio(Hasher),
    NotOurs,
}

impl Rebuilt {
    pub fn new(object_bytes: u64) -> Rebuilt {
        Rebuilt {
            object_bytes,
            state: State::Head(Vec::new()),
            recording_id: None,
        }
    }

    pub fn update(&mut self, chunk: &[u8]) {
        match &mut self.state {
            State::Audio(hasher) => hasher.update(chunk),
            State::NotOurs => {}
            State::Head(head) => {
                head.extend_from_slice(chunk);
                if let Some((next, recording_id)) = after_tag(head, self.object_bytes) {
                    self.state = next;
                    self.recording_id = recording_id;
                }
            }
        }
    }

    /// Which recording the object says it is; none where its tag is not ours.
    pub fn recording_id(&self) -> Option<&str> {
        self.recording_id.as_deref()
    }

    /// The original's digest; none where the object does not begin with a tag of ours.
    pub fn finish(self) -> Option<Digest> {
        match self.state {
            State::Audio(hasher) => Some(hasher.finish()),
            State::Head(_) | State::NotOurs => None,
        }
    }
}

/// None while more bytes are needed.
fn after_tag(head: &[u8], object_bytes: u64) -> Option<(State, Option<String>)> {
    if head.len() < id3::HEADER_BYTES {
        return None;
    }
    let tag_bytes = id3::tag_len_at(head, object_bytes).filter(|bytes| *bytes <= TAG_MAX_BYTES);
    let Some(tag_bytes) = tag_bytes else {
        return Some((State::NotOurs, None));
    };
    let (tag, audio) = head.split_at_checked(tag_bytes as usize)?;
    let Some(ours) = id3::ours(tag) else {
        return Some((State::NotOurs, None));
    };
    let mut hasher = Hasher::new();
    hasher.update(ours.source_tag);
    hasher.update(audio);
    Some((State::Audio(hasher), Some(ours.recording_id.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rebuilt(object: &[u8], piece: usize) -> Option<Digest> {
        let mut rebuilt = Rebuilt::new(object.len() as u64);
        object.chunks(piece).for_each(|chunk| rebuilt.update(chunk));
        rebuilt.finish()
    }

    #[test]
    fn an_original_comes_back_whatever_the_pieces() {
        let source_tag = b"ID3\x03\x00\x00\x00\x00\x00\x05hello";
        let audio = b"any bytes at all";
        let set = id3::TagSet {
            title: "t".to_owned(),
            artist: None,
            recorded_utc: None,
            length_ms: 1,
            track: None,
            recording_id: "hq/230307142318_40-2-1".to_owned(),
            comment: "c".to_owned(),
            texts: Vec::new(),
        };
        for source_tag in [&source_tag[..], b""] {
            let object = [&id3::encode(&set, source_tag).unwrap(), &audio[..]].concat();
            let original = Digest::of(&[source_tag, &audio[..]].concat());
            for piece in [1, 7, 10, 100_000] {
                assert_eq!(rebuilt(&object, piece), Some(original), "{piece}");
            }
            assert_eq!(rebuilt(&object[..20], 3), None);
        }
        assert_eq!(rebuilt(b"", 1), None);
        assert_eq!(rebuilt(b"no tag before this", 4), None);
    }
}
