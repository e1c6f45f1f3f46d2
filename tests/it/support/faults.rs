//! All that goes wrong at a store in the end, by kind of request.
//!
//! Never here: how often.

use super::proxy::{
    ABSENT, CLOCK_SKEW, DENIED, EXISTS, FAILED, Fault, RACE_LOST, Request, SLOW_DOWN,
};

pub const OF_A_PUT: &[Fault] = &[
    Fault::DropBefore,
    Fault::DropAfter,
    Fault::Cut,
    Fault::FlipThere,
    Fault::Pretend,
    FAILED,
    SLOW_DOWN,
    RACE_LOST,
    EXISTS,
    CLOCK_SKEW,
    DENIED,
];
/// Most of them without a checksum, so that much is read back.
pub const OF_A_HEAD: &[Fault] = &[
    Fault::DropBefore,
    Fault::Cut,
    FAILED,
    SLOW_DOWN,
    ABSENT,
    Fault::OtherChecksum,
    Fault::NoChecksum,
    Fault::NoChecksum,
    Fault::NoChecksum,
    Fault::NoChecksum,
];
pub const OF_A_GET: &[Fault] = &[
    Fault::DropBefore,
    Fault::Cut,
    Fault::FlipBack,
    FAILED,
    ABSENT,
    DENIED,
];

/// Of requests for what lies in the bucket `calls` for the PBX `hq`.
pub fn of_recordings(request: &Request) -> &'static [Fault] {
    match request.method.as_str() {
        _ if !request.path.starts_with("/calls/hq/") => &[],
        "PUT" => OF_A_PUT,
        "HEAD" => OF_A_HEAD,
        _ => OF_A_GET,
    }
}
