//! What several tests need.

pub mod answer;
pub mod calls;
pub mod faults;
pub mod gate;
pub mod hook;
pub mod id3;
pub mod index;
pub mod inside;
pub mod outcome;
pub mod output;
pub mod pbx;
pub mod people;
pub mod port;
pub mod proxy;
pub mod rclone;
pub mod secrets;
pub mod service;
pub mod soak;
pub mod tls;
pub mod vault;
pub mod visitor;
pub mod wait;
pub mod web;
pub mod weed;
