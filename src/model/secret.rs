//! Tokens: `cv_` and 43 characters of base64url, 256 bits that nobody can guess. What is kept of
//! one is its SHA-256; a slow hash would add nothing to so many bits.
//!
//! Never here: where the bits come from.

use super::digest::Digest;

const PREFIX: &str = "cv_";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A token's text, made of random bytes. Shown once; Debug never shows it.
pub struct Token(String);

impl Token {
    pub fn of(random: [u8; 32]) -> Token {
        let mut text = PREFIX.to_owned();
        // 256 bits make 43 characters of six bits, the last of four.
        for at in 0..43 {
            let bit = at * 6;
            let (byte, shift) = (bit / 8, bit % 8);
            let pair =
                u16::from(random[byte]) << 8 | u16::from(*random.get(byte + 1).unwrap_or(&0));
            let six = (pair >> (10 - shift)) & 0x3f;
            text.push(char::from(ALPHABET[usize::from(six)]));
        }
        Token(text)
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// What a presented token must be found by; none where it cannot be one.
pub fn digest(presented: &str) -> Option<Digest> {
    let body = presented.strip_prefix(PREFIX)?;
    let plausible = body.len() == 43 && body.bytes().all(|b| ALPHABET.contains(&b));
    plausible.then(|| Digest::of(presented.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_counts() {
        let zero = Token::of([0; 32]);
        assert_eq!(zero.reveal(), format!("cv_{}", "A".repeat(43)));
        assert_eq!(
            Token::of([0xff; 32]).reveal(),
            format!("cv_{}8", "_".repeat(42))
        );
        for bit in 0..256 {
            let mut random = [0; 32];
            random[bit / 8] = 1 << (bit % 8);
            assert_ne!(Token::of(random).reveal(), zero.reveal(), "{bit}");
        }
        assert!(digest(zero.reveal()).is_some());
        for none in [
            "",
            "cv_",
            "xx",
            &"A".repeat(46),
            &format!("cv_{}", "!".repeat(43)),
        ] {
            assert_eq!(digest(none), None, "{none}");
        }
    }
}
