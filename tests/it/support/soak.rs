//! Whether there is time for all of it.

/// `tests/run --soak` sets it: a sample becomes the whole.
pub fn is_soak() -> bool {
    std::env::var_os("CALLVAULT_SOAK").is_some()
}
