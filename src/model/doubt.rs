//! Whether a body that is audio may be less than the whole recording: the PBX may still be writing
//! it, so such a body is fetched again before it is believed.

use super::event::words;
use super::mp3::Walk;

/// Media may be shorter than its leg by so much, or by a twentieth, whichever is more.
const TOLERANCE_MS: u64 = 2000;

/// Why the body in the spool is kept but not archived yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Whole by the PBX's word, but cut or short: to be fetched again.
    Doubtful,
    /// It broke off on the way; the best there is, should nothing better come.
    Broken,
}

words!(Kept { Doubtful => "doubtful", Broken => "broken" });

/// What people should know of a body: `cut`, `short`, `junk`. `leg_s` is how long the leg lasted,
/// where the whole leg should be in this body.
pub fn flags(walk: &Walk, leg_s: Option<u32>) -> Vec<&'static str> {
    let short = leg_s.is_some_and(|leg_s| is_short(walk.media_ms, leg_s));
    let junk = walk.junk_before_bytes > 0 || walk.junk_inside_bytes > 0 || walk.after_bytes > 0;
    let found = [
        ("cut", walk.cut_last_frame),
        ("junk", junk),
        ("short", short),
    ];
    found
        .into_iter()
        .filter(|(_, is)| *is)
        .map(|(flag, _)| flag)
        .collect()
}

/// Whether audio is shorter than the leg that should be in it, by more than clocks are apart.
pub fn is_short(media_ms: u64, leg_s: u32) -> bool {
    let leg_ms = u64::from(leg_s) * 1000;
    media_ms + TOLERANCE_MS.max(leg_ms / 20) < leg_ms
}

/// Flags that call for a second look.
pub fn is_doubtful(flags: &[&str]) -> bool {
    flags.contains(&"cut") || flags.contains(&"short")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(media_ms: u64) -> Walk {
        Walk {
            frames: media_ms / 72,
            media_ms,
            sample_rate_hz: 8000,
            cut_last_frame: false,
            junk_before_bytes: 0,
            junk_inside_bytes: 0,
            resyncs: 0,
            after_bytes: 0,
            after_is_zeros: false,
            id3v1: false,
        }
    }

    #[test]
    fn short_is_by_two_seconds_or_a_twentieth() {
        for (media_ms, leg_s, expected) in [
            (12_000, Some(14), false),
            (11_999, Some(14), true),
            (95_000, Some(100), false),
            (94_999, Some(100), true),
            (0, None, false),
            (500, Some(2), false),
        ] {
            let flags = flags(&walk(media_ms), leg_s);
            assert_eq!(
                flags.contains(&"short"),
                expected,
                "{media_ms} of {leg_s:?}"
            );
            assert_eq!(is_doubtful(&flags), expected);
        }
        let mut cut = walk(5000);
        cut.cut_last_frame = true;
        cut.junk_inside_bytes = 3;
        assert_eq!(flags(&cut, None), ["cut", "junk"]);
    }
}
