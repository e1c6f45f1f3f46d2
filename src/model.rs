//! The model.
pub mod digest;
pub mod id;
pub mod key;
