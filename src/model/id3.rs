//! ID3v2: the tag that stands before a recording, and the one its source may have brought.
//!
//! The crate of the same name encodes and nothing else: tags are found and read by the few lines
//! here, which trust no size. Never here: what a tag says of a call (`model/tags`), or files.

use ::id3::frame::{Comment, Content, ExtendedText, Frame, Private, UniqueFileIdentifier};
use ::id3::{Encoder, Tag, Version};

/// Every ID3v2 tag and every frame of an ID3v2.4 tag begins with a header of this size.
pub const HEADER_BYTES: usize = 10;
/// A source tag beyond this is not carried. A tag could take 256 MiB; a cover picture takes a few.
pub const SOURCE_TAG_MAX_BYTES: usize = 16 * 1024 * 1024;

const VALUE_MAX_BYTES: usize = 4096;
const FOOTER: u8 = 0x10;
const OWNER: &str = "callvault";
const SOURCE_TAG_OWNER: &str = "callvault:source-tag";

/// What a tag says. Every value may come from an untrusted event: control characters become
/// spaces, and what exceeds 4 KiB is cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagSet {
    pub title: String,
    pub artist: Option<String>,
    /// `2023-03-07T12:23:18`
    pub recorded_utc: Option<String>,
    pub length_ms: u64,
    /// This leg, of so many.
    pub track: Option<(u32, u32)>,
    pub recording_id: String,
    pub comment: String,
    /// `TXXX` in this order, each name once.
    pub texts: Vec<(&'static str, String)>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("carry the source's own tag: {bytes} bytes exceed {SOURCE_TAG_MAX_BYTES}")]
    CarrySourceTag { bytes: usize },
    #[error("encode an ID3v2.4 tag")]
    Encode(#[source] ::id3::Error),
}

/// Bytes of the ID3v2 tag (2.2 to 2.4) whose header begins here, its header and footer included.
/// None where there is none, or where it claims more than the `bytes_left` from here to the end.
///
/// Tags can be stacked: ask again behind each.
pub fn tag_len_at(header: &[u8], bytes_left: u64) -> Option<u64> {
    let [b'I', b'D', b'3', major @ 2..=4, revision, flags, size @ ..] =
        *header.first_chunk::<HEADER_BYTES>()?
    else {
        return None;
    };
    let footers = u64::from(major == 4 && flags & FOOTER != 0);
    let bytes = u64::from(synchsafe(size)?) + (1 + footers) * HEADER_BYTES as u64;
    (revision != 0xff && bytes <= bytes_left).then_some(bytes)
}

/// Bytes of all tags that a file in memory begins with.
#[cfg(test)]
pub fn leading_tags_len(file: &[u8]) -> usize {
    let mut rest = file;
    while let Some(bytes) = tag_len_at(rest, rest.len() as u64) {
        rest = usize::try_from(bytes).map_or(&[], |bytes| &rest[bytes..]);
    }
    file.len() - rest.len()
}

/// An ID3v2.4 tag in UTF-8, without padding: the same bytes for the same input. `source_tag` is
/// all that [`tag_len_at`] found before the source's audio, carried so that the original can be
/// rebuilt.
pub fn encode(tags: &TagSet, source_tag: &[u8]) -> Result<Vec<u8>, Error> {
    if source_tag.len() > SOURCE_TAG_MAX_BYTES {
        let bytes = source_tag.len();
        return Err(Error::CarrySourceTag { bytes });
    }
    let track = tags.track.map(|(leg, legs)| format!("{leg}/{legs}"));
    let length = tags.length_ms.to_string();
    let named = [
        ("TIT2", Some(&tags.title)),
        ("TPE1", tags.artist.as_ref()),
        ("TDRC", tags.recorded_utc.as_ref()),
        ("TLEN", Some(&length)),
        ("TRCK", track.as_ref()),
    ];
    let mut frames: Vec<Frame> = named
        .into_iter()
        .filter_map(|(id, value)| Some(Frame::text(id, clean(value?))))
        .collect();
    frames.push(Frame::from(UniqueFileIdentifier {
        owner_identifier: OWNER.to_owned(),
        identifier: clean(&tags.recording_id).into_bytes(),
    }));
    frames.push(Frame::from(Comment {
        lang: "eng".to_owned(),
        description: String::new(),
        text: clean(&tags.comment),
    }));
    frames.extend(tags.texts.iter().map(|(name, value)| {
        Frame::from(ExtendedText {
            description: (*name).to_owned(),
            value: clean(value),
        })
    }));
    if !source_tag.is_empty() {
        let carried = Private {
            owner_identifier: SOURCE_TAG_OWNER.to_owned(),
            private_data: source_tag.to_vec(),
        };
        frames.push(Frame::with_content("PRIV", Content::Private(carried)));
    }
    let mut bytes = Vec::new();
    Encoder::new()
        .version(Version::Id3v24)
        .encode(&frames.into_iter().collect::<Tag>(), &mut bytes)
        .map_err(Error::Encode)?;
    Ok(bytes)
}

/// What a tag of ours says of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ours<'a> {
    pub recording_id: &'a str,
    /// The source's own tag, empty where it had none.
    pub source_tag: &'a [u8],
}

/// Reads back the tag before a stored object. None where it is not, to the byte, a tag as
/// [`encode`] makes them.
pub fn ours(object_tag: &[u8]) -> Option<Ours<'_>> {
    let whole = tag_len_at(object_tag, object_tag.len() as u64)? == object_tag.len() as u64
        && object_tag.starts_with(b"ID3\x04\x00\x00");
    if !whole {
        return None;
    }
    let (mut recording_id, mut carried) = (None, None);
    let mut rest = &object_tag[HEADER_BYTES..];
    while !rest.is_empty() {
        let (id, content, behind) = split_frame(rest)?;
        match id {
            b"UFID" => recording_id = recording_id.or(owned(content, OWNER)),
            b"PRIV" => carried = carried.or(owned(content, SOURCE_TAG_OWNER)),
            _ => {}
        }
        rest = behind;
    }
    Some(Ours {
        recording_id: std::str::from_utf8(recording_id?).ok()?,
        source_tag: carried.unwrap_or_default(),
    })
}

/// A frame's id, its content and what follows it.
fn split_frame(bytes: &[u8]) -> Option<(&[u8; 4], &[u8], &[u8])> {
    let (id, rest) = bytes.split_first_chunk::<4>()?;
    let (size, rest) = rest.split_first_chunk::<4>()?;
    // We set no flags; any of them would change what the content means.
    let rest = rest.strip_prefix(&[0, 0])?;
    let (content, rest) = rest.split_at_checked(synchsafe(*size)? as usize)?;
    Some((id, content, rest))
}

fn owned<'a>(content: &'a [u8], owner: &str) -> Option<&'a [u8]> {
    content.strip_prefix(owner.as_bytes())?.strip_prefix(&[0])
}

/// A size of four bytes with seven bits each, so that it never looks like a frame of sound.
fn synchsafe(size: [u8; 4]) -> Option<u32> {
    let sum = size.iter().fold(0, |sum, byte| sum << 7 | u32::from(*byte));
    size.iter().all(|byte| *byte < 0x80).then_some(sum)
}

fn clean(value: &str) -> String {
    value[..value.floor_char_boundary(VALUE_MAX_BYTES)]
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}

#[cfg(test)]
mod tests;
