//! Which word may have been meant by one that is not known.
//!
//! Never here: what the words are for.

/// The nearest of the known ones, if it is near enough to be meant.
pub(super) fn nearest<'k>(known: &[&'k str], unknown: &str) -> Option<&'k str> {
    let nearest = known.iter().min_by_key(|known| edits(known, unknown));
    nearest.copied().filter(|known| is_near(known, unknown))
}

fn is_near(known: &str, unknown: &str) -> bool {
    let begins = known.starts_with(unknown) || unknown.starts_with(known);
    begins || edits(known, unknown) <= 1 + unknown.chars().count() / 3
}

/// How many letters must be put in, taken out or changed to make one word of the other.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn what_is_far_from_all_is_meant_by_none() {
        let known = ["archive", "listen", "tls_cert_file", "tls_key_file"];
        for (unknown, meant) in [
            ("listn", Some("listen")),
            ("archives", Some("archive")),
            ("tls_cert", Some("tls_cert_file")),
            ("tlskeyfile", Some("tls_key_file")),
            ("frobnicate", None),
            ("x", None),
        ] {
            assert_eq!(nearest(&known, unknown), meant, "{unknown}");
        }
    }
}
