//! SHA-256 in base64, as S3 spells it, of a few kilobytes: slow and short. Never here: speed.

/// The first 32 bits of the fractional part of a root of each of the first primes.
fn of_primes(count: usize, root: impl Fn(f64) -> f64) -> Vec<u32> {
    let is_prime = |number: &u32| (2..*number).all(|below| !number.is_multiple_of(below));
    let bits = |prime: u32| (root(f64::from(prime)).fract() * 2f64.powi(32)) as u32;
    (2..).filter(is_prime).take(count).map(bits).collect()
}

pub fn base64(bytes: &[u8]) -> String {
    let constants = of_primes(64, f64::cbrt);
    let mut state = of_primes(8, f64::sqrt);
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
    padded.extend(((bytes.len() as u64) * 8).to_be_bytes());
    for block in padded.chunks(64) {
        round(&mut state, &constants, block);
    }
    let digest: Vec<u8> = state.iter().flat_map(|word| word.to_be_bytes()).collect();
    encode(&digest)
}

fn round(state: &mut [u32], constants: &[u32], block: &[u8]) {
    let mix = |x: u32, a, b, c: u32| x.rotate_right(a) ^ x.rotate_right(b) ^ c;
    let mut words: Vec<u32> = block
        .chunks(4)
        .map(|four| {
            four.iter()
                .fold(0, |word, byte| word << 8 | u32::from(*byte))
        })
        .collect();
    for at in 16..64 {
        let (near, far) = (words[at - 2], words[at - 15]);
        let near = mix(near, 17, 19, near >> 10);
        let far = mix(far, 7, 18, far >> 3);
        let sum = words[at - 16].wrapping_add(words[at - 7]);
        words.push(sum.wrapping_add(near).wrapping_add(far));
    }
    let mut now: Vec<u32> = state.to_vec();
    for (word, constant) in words.iter().zip(constants) {
        let (a, e) = (now[0], now[4]);
        let choice = (e & now[5]) ^ (!e & now[6]);
        let majority = (a & now[1]) ^ (a & now[2]) ^ (now[1] & now[2]);
        let first = now[7]
            .wrapping_add(mix(e, 6, 11, e.rotate_right(25)))
            .wrapping_add(choice)
            .wrapping_add(*constant)
            .wrapping_add(*word);
        let second = mix(a, 2, 13, a.rotate_right(22)).wrapping_add(majority);
        now.rotate_right(1);
        now[0] = first.wrapping_add(second);
        now[4] = now[4].wrapping_add(first);
    }
    for (word, more) in state.iter_mut().zip(now) {
        *word = word.wrapping_add(more);
    }
}

fn encode(bytes: &[u8]) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = digits[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at > three.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}
