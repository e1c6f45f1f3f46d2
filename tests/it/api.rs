//! The API: who may do what, over real HTTP, with tokens that the verb made.

mod audio;
mod custody;
mod details;
mod filters;
mod matrix;
mod pages;
mod reasons;
mod scopes;
mod tokens;
mod unwritten;
