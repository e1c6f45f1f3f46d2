//! What several tests need.
// A test that is not written yet may be the first to use a part of this.
#![allow(dead_code, reason = "tests come one by one")]

pub mod hook;
pub mod index;
pub mod pbx;
pub mod service;
pub mod wait;
pub mod weed;
