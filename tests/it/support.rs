//! What several tests need.

pub mod weed;
