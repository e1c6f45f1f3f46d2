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

/// Whether a connection failed because one side does not trust the other. rustls' errors are
/// wrapped several times on the way, by types that are not public. That a connection ended is no
/// matter of trust, also where TLS says so ("tls handshake eof").
pub fn is_about_trust(error: &dyn std::error::Error) -> bool {
    let text = chain(error).to_lowercase();
    ["certificate", "fatal alert", "peer is incompatible"]
        .iter()
        .any(|word| text.contains(word))
}
