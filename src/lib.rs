//! callvault: see below.
pub mod model;
