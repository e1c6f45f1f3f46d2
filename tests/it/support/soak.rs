//! Whether there is time for all of it, and what the long runs came to.

/// `tests/run --soak` sets it: a sample becomes the whole.
pub fn is_soak() -> bool {
    std::env::var_os("CALLVAULT_SOAK").is_some()
}

/// A row of the table that a soak ends with: what was promised, how often it was tried and held,
/// and the seed that makes the same run again.
pub fn tell(promise: &str, runs: usize, seed: &str) {
    eprintln!("soak| {promise} | {runs} | {seed}");
}
