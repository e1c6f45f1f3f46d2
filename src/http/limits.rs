//! How much of a listener its peers get.
//!
//! Never here: keeping them to it.

use std::time::Duration;

/// How much time and room the peers of a listener get.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From a head's first byte to its last. A TLS handshake has as much.
    pub head: Duration,
    /// From the head to the last byte of the body.
    pub body: Duration,
    /// Before a head begins, and while nothing of an answer is taken.
    pub idle: Duration,
    /// Of a head after the encoding, which makes three bytes of one; over it: 431. At least 8 KiB.
    pub head_max_bytes: usize,
    /// Open at a time.
    pub connections: usize,
    /// Open at a time from an address; so many are kept for each PBX whose addresses are known.
    pub share: usize,
    /// For those that came before `stop` and have not asked yet: their request is on its way.
    pub newcomer: Duration,
    /// For running requests to finish after `stop`; then they are cut.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head: Duration::from_secs(10),
            body: Duration::from_secs(15),
            idle: Duration::from_secs(30),
            head_max_bytes: 64 * 1024,
            connections: 4096,
            share: 256,
            newcomer: Duration::from_secs(1),
            drain: Duration::from_secs(10),
        }
    }
}
