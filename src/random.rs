//! Bits that nobody can guess, from the operating system.
//!
//! Never here: spreading retries or drawing samples; those need no secrecy and are better the same
//! every time.

use std::io;

/// So many random bytes.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// So many random bytes as hex digits.
pub fn hex<const N: usize>() -> io::Result<String> {
    Ok(bytes::<N>()?
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_are_alike() {
        let (one, other) = (super::hex::<16>().unwrap(), super::hex::<16>().unwrap());
        assert_eq!((one.len(), other.len()), (32, 32));
        assert_ne!(one, other);
    }
}
