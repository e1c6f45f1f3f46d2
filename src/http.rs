//! The edges that listen: the only warp, hyper-util and tokio-rustls.
//!
//! Never here: what an event means, or SQL. A handler calls one function of a room below.

pub mod health;
pub mod hook;
pub mod listener;
pub mod simulated;

mod request_line;

#[cfg(test)]
mod listener_tests;
#[cfg(test)]
mod request_line_tests;
#[cfg(test)]
mod wire;
