//! The MP3 frame walk: how much sound a body holds, and what else is in it.
//!
//! Headers are read from the first frame to the last, because nothing less tells an error page, a
//! cut body and a whole recording apart. Never here: files, ID3v2 tags (the caller starts behind
//! them), decoding, or a buffer whose size the bytes choose.

use std::mem;

/// Junk before the first frame is skipped up to here; what starts later is not found.
pub const JUNK_BEFORE_MAX_BYTES: u64 = 64 * 1024;

const HEADER_BYTES: usize = 4;
const HEAD_BYTES: usize = 512;
const PART_BYTES: usize = 16 * 1024;
const ID3V1_BYTES: u64 = 128;

/// What a body is made of. All its bytes are in one of: junk before, frames (whole, cut, or one
/// that only describes the others), junk inside, after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// Whole frames of sound; a Xing, Info or VBRI frame is none.
    pub frames: u64,
    pub media_ms: u64,
    pub sample_rate_hz: u32,
    /// The body ends inside a frame whose header, as far as it is there, fits the others.
    pub cut_last_frame: bool,
    pub junk_before_bytes: u64,
    pub junk_inside_bytes: u64,
    /// How often frames were found again after junk.
    pub resyncs: u64,
    /// What follows the last frame, unless it is cut or an ID3v1 tag.
    pub after_bytes: u64,
    /// The bytes after are all zero, as where room for the file was made in advance.
    pub after_is_zeros: bool,
    /// What follows the last frame is exactly an ID3v1 tag.
    pub id3v1: bool,
}

/// Why a body is not archived as a recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAudio {
    #[error("the body is empty")]
    Empty,
    #[error("the body has no MP3 frames (looks like: {looks_like})")]
    NoFrames { looks_like: &'static str },
}

/// Walks a body that is all in memory.
pub fn walk(bytes: &[u8]) -> Result<Walk, NotAudio> {
    let mut walker = Walker::new();
    walker.push(bytes);
    walker.finish()
}

/// Walks a body as it passes by, in pieces of any size, holding a few kilobytes of it.
///
/// Frames are found where two headers agree in version, layer and sample rate and the second
/// stands where the first says it does; so they are found again after junk. A frame alone counts
/// only where it is the whole input: random bytes end in something like a frame too often.
#[derive(Default)]
pub struct Walker {
    read_bytes: u64,
    head: Vec<u8>,
    /// Bytes not decided on yet.
    window: Vec<u8>,
    first: Option<Header>,
    in_sync: bool,
    gave_up: bool,
    /// What has passed since the last frame.
    gap: Gap,
    frames: u64,
    resyncs: u64,
    junk_before_bytes: u64,
    junk_inside_bytes: u64,
    cut_last_frame: bool,
}

impl Walker {
    pub fn new() -> Walker {
        Walker::default()
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.read_bytes += bytes.len() as u64;
        let missing = HEAD_BYTES - self.head.len();
        self.head
            .extend_from_slice(&bytes[..bytes.len().min(missing)]);
        for part in bytes.chunks(PART_BYTES) {
            self.window.extend_from_slice(part);
            self.advance(false);
        }
    }

    pub fn finish(mut self) -> Result<Walk, NotAudio> {
        self.advance(true);
        if self.read_bytes == 0 {
            return Err(NotAudio::Empty);
        }
        let looks_like = looks_like(&self.head);
        let container = matches!(looks_like, RIFF | OGG);
        let Some(first) = self.first.filter(|_| self.frames > 0 && !container) else {
            return Err(NotAudio::NoFrames { looks_like });
        };
        let id3v1 = self.gap.bytes == ID3V1_BYTES && self.gap.start == *b"TAG";
        let after_bytes = if id3v1 { 0 } else { self.gap.bytes };
        let rate = u64::from(first.rate_hz);
        Ok(Walk {
            frames: self.frames,
            media_ms: (self.frames * first.samples * 1000 + rate / 2) / rate,
            sample_rate_hz: first.rate_hz,
            cut_last_frame: self.cut_last_frame,
            junk_before_bytes: self.junk_before_bytes,
            junk_inside_bytes: self.junk_inside_bytes,
            resyncs: self.resyncs,
            after_bytes,
            after_is_zeros: after_bytes > 0 && !self.gap.has_content,
            id3v1,
        })
    }

    /// Decides on as much of the window as can be decided; on all of it once the input has ended.
    fn advance(&mut self, ended: bool) {
        let mut window = mem::take(&mut self.window);
        let mut at = 0;
        while at < window.len() && !self.gave_up {
            let rest = &window[at..];
            let step = match self.first {
                Some(first) if self.in_sync => self.follow(first, rest, ended),
                _ => self.search(rest, ended),
            };
            match step {
                Some(bytes) => at += bytes,
                None => break,
            }
        }
        window.drain(..if self.gave_up { window.len() } else { at });
        self.window = window;
    }

    /// In sync: a frame is due here. Says how many bytes are decided, or None to see more first.
    fn follow(&mut self, first: Header, rest: &[u8], ended: bool) -> Option<usize> {
        if rest.len() < HEADER_BYTES && !ended {
            return None;
        }
        let Some(header) = first.next(rest) else {
            self.in_sync = false;
            return Some(0);
        };
        if let Some(frame) = rest.get(..header.bytes) {
            return Some(self.take_frame(header, frame));
        }
        if ended {
            self.cut_last_frame = true;
            return Some(rest.len());
        }
        None
    }

    /// Out of sync: two headers are wanted that agree, with each other and with earlier frames.
    /// Decides on a byte at least, so that the walk ends.
    fn search(&mut self, rest: &[u8], ended: bool) -> Option<usize> {
        if rest.len() < HEADER_BYTES && !ended {
            return None;
        }
        let known = self.first.map(|first| first.kind);
        let header = Header::parse(rest).filter(|h| known.is_none_or(|kind| kind == h.kind));
        if let Some(header) = header {
            if rest.len() < header.bytes + HEADER_BYTES && !ended {
                return None;
            }
            let second = rest.get(header.bytes..).and_then(Header::parse);
            let alone = known.is_none() && self.gap.bytes == 0 && rest.len() == header.bytes;
            if second.is_some_and(|second| second.kind == header.kind) || (alone && ended) {
                self.synchronise(header);
                return Some(self.take_frame(header, &rest[..header.bytes]));
            }
        }
        let next = rest.iter().skip(1).position(|byte| *byte == 0xff);
        let skipped = next.map_or(rest.len(), |at| at + 1);
        self.gap.take(&rest[..skipped]);
        self.gave_up = self.first.is_none() && self.gap.bytes > JUNK_BEFORE_MAX_BYTES;
        Some(skipped)
    }

    fn synchronise(&mut self, header: Header) {
        let gap = mem::take(&mut self.gap);
        if self.first.is_none() {
            self.first = Some(header);
            self.junk_before_bytes = gap.bytes;
        } else {
            self.resyncs += 1;
            self.junk_inside_bytes += gap.bytes;
        }
        self.in_sync = true;
    }

    fn take_frame(&mut self, header: Header, frame: &[u8]) -> usize {
        if !header.is_description(frame) {
            self.frames += 1;
        }
        frame.len()
    }
}

/// Bytes that are no frame, as far as they matter.
#[derive(Default)]
struct Gap {
    bytes: u64,
    start: [u8; 3],
    has_content: bool,
}

impl Gap {
    fn take(&mut self, bytes: &[u8]) {
        let taken = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        for (place, byte) in self.start.iter_mut().skip(taken).zip(bytes) {
            *place = *byte;
        }
        self.bytes += bytes.len() as u64;
        self.has_content |= bytes.iter().any(|byte| *byte != 0);
    }
}

/// A valid frame header of Layer III, MPEG-1, 2 or 2.5, of a stated bit rate.
#[derive(Clone, Copy)]
struct Header {
    raw: [u8; HEADER_BYTES],
    /// The bits that all frames of a stream share: version, layer, sample rate.
    kind: (u8, u8),
    bytes: usize,
    samples: u64,
    rate_hz: u32,
}

const MPEG1_KBIT: [u32; 14] = [
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
];
const MPEG2_KBIT: [u32; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
const MPEG1_HZ: [u32; 3] = [44_100, 48_000, 32_000];
const LAYER_3: u8 = 0b01;

impl Header {
    fn parse(bytes: &[u8]) -> Option<Header> {
        let raw = *bytes.first_chunk::<HEADER_BYTES>()?;
        let [sync, version, rates, channels] = raw;
        let synced = sync == 0xff && version & 0xe0 == 0xe0 && (version >> 1) & 3 == LAYER_3;
        // Emphasis 2 is reserved: one more bit that random bytes get wrong.
        if !synced || channels & 3 == 2 {
            return None;
        }
        let (halvings, samples, kbit) = match (version >> 3) & 3 {
            3 => (0, 1152, MPEG1_KBIT),
            2 => (1, 576, MPEG2_KBIT),
            0 => (2, 576, MPEG2_KBIT),
            _ => return None,
        };
        let rate_hz = MPEG1_HZ.get(usize::from((rates >> 2) & 3))? >> halvings;
        let bits_per_s = kbit.get(usize::from(rates >> 4).checked_sub(1)?)? * 1000;
        let padding = u32::from((rates >> 1) & 1);
        Some(Header {
            raw,
            kind: (version & 0xfe, rates & 0x0c),
            bytes: (samples / 8 * bits_per_s / rate_hz + padding) as usize,
            samples: u64::from(samples),
            rate_hz,
        })
    }

    /// The header of the same stream that stands here; one that the end cuts off is completed.
    fn next(&self, bytes: &[u8]) -> Option<Header> {
        let mut raw = self.raw;
        for (place, byte) in raw.iter_mut().zip(bytes) {
            *place = *byte;
        }
        Header::parse(&raw).filter(|header| header.kind == self.kind)
    }

    /// Whether this frame holds no sound but a table about the others. Its side information is
    /// zero; looking at that too keeps the four letters from being found in sound.
    fn is_description(&self, frame: &[u8]) -> bool {
        let mono = self.raw[3] >> 6 == 3;
        let side_bytes = match (self.samples, mono) {
            (1152, false) => 32,
            (1152, true) | (_, false) => 17,
            (_, true) => 9,
        };
        let marked = |side_bytes: usize, marks: &[&[u8]]| {
            let (side, rest) = frame[HEADER_BYTES..]
                .split_at_checked(side_bytes)
                .unwrap_or_default();
            side.iter().all(|byte| *byte == 0) && marks.iter().any(|mark| rest.starts_with(mark))
        };
        marked(side_bytes, &[b"Xing", b"Info"]) || marked(32, &[b"VBRI"])
    }
}

const RIFF: &str = "RIFF/WAV";
const OGG: &str = "Ogg";

/// A word for people about what came instead. RIFF and Ogg are never searched for frames' sake:
/// their samples can look like two headers, and a container with MP3 inside is no MP3.
fn looks_like(head: &[u8]) -> &'static str {
    if head.starts_with(b"RIFF") {
        return RIFF;
    }
    if head.starts_with(b"OggS") {
        return OGG;
    }
    if head.iter().all(|byte| *byte == 0) {
        return "zeros";
    }
    let texts_have_not = |byte: &u8| match byte {
        0xff => true,
        byte => byte.is_ascii_control() && !byte.is_ascii_whitespace(),
    };
    if head.iter().any(texts_have_not) {
        return "unknown";
    }
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let html = ["<!doctype html", "<html", "<body", "<h1"];
    if html.iter().any(|mark| text.contains(mark)) {
        "HTML"
    } else if text.starts_with('<') {
        "XML"
    } else if text.starts_with(['{', '[']) {
        "JSON"
    } else {
        "text"
    }
}

#[cfg(test)]
mod tests;
