//! Verify: the body is audio, walked to its last frame. A 200 with an error page in it ends here.

use super::download::Downloaded;
use super::error::{StageError, blocking};
use crate::model::id3;
use crate::model::mp3::{Walk, Walker};
use crate::spool::{self, Spooled};
use crate::store::recordings::Claim;

const STAGE: &str = "verify";

/// Audio, with what the walk over its frames found.
pub struct Verified {
    pub(super) claim: Claim,
    pub(super) spooled: Spooled,
    /// The bytes of the source's own leading tags; audio begins behind them.
    pub(super) source_tag_bytes: u64,
    pub(super) media_ms: u64,
    pub(super) flags: Vec<&'static str>,
}

pub async fn verify(downloaded: Downloaded) -> Result<Verified, StageError> {
    let Downloaded { claim, spooled } = downloaded;
    let walked = blocking(STAGE, move || {
        let source_tag_bytes = leading_tags(&spooled)?;
        let mut walker = Walker::new();
        spooled.read(source_tag_bytes, |chunk| walker.push(chunk))?;
        Ok((spooled, source_tag_bytes, walker.finish()))
    });
    let (spooled, source_tag_bytes, walk) = walked.await?;
    let walk = walk.map_err(StageError::NotAudio)?;
    Ok(Verified {
        claim,
        spooled,
        source_tag_bytes,
        media_ms: walk.media_ms,
        flags: flags(&walk),
    })
}

/// An existing tag is skipped by its size, checked against the file, never parsed.
fn leading_tags(spooled: &Spooled) -> Result<u64, spool::Error> {
    let mut at = 0;
    // A longer one could not be carried; a body of nothing but tags ends here too.
    while at <= id3::SOURCE_TAG_MAX_BYTES as u64 {
        let left = spooled.bytes - at;
        let header = spooled.range(at, left.min(id3::HEADER_BYTES as u64) as usize)?;
        match id3::tag_len_at(&header, left) {
            Some(bytes) => at += bytes,
            None => break,
        }
    }
    Ok(at)
}

fn flags(walk: &Walk) -> Vec<&'static str> {
    let junk = walk.junk_before_bytes > 0 || walk.junk_inside_bytes > 0 || walk.after_bytes > 0;
    let found = [
        ("cut", walk.cut_last_frame),
        ("junk", junk && !walk.cut_last_frame),
    ];
    found
        .into_iter()
        .filter(|(_, is)| *is)
        .map(|(flag, _)| flag)
        .collect()
}
