//! Errors in words: an error's own text and those of all it came from, once each.
//!
//! Never here: where errors go.

/// An error and all that it came from, on one line, for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
