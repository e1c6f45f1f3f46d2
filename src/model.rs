//! What callvault knows, apart from where it gets it: ids, events and their dialects, the fold of
//! events into a call, job states, audio frames, tags, keys, filters.
//!
//! Never here: I/O, a clock, randomness, anything that can fail for a reason outside its arguments.

pub mod chain;
pub mod digest;
pub mod id;
pub mod time;

pub mod event;
pub mod number;
pub mod secret;
pub mod vendor;

pub mod call;
pub mod damaged;

pub mod access;
pub mod filter;
pub mod job;
pub mod key;
pub mod lock;
pub mod party;
pub mod promise;

pub mod doubt;
pub mod id3;
pub mod manifest;
pub mod mp3;
pub mod rebuilt;
pub mod tags;
