//! How telephone numbers match, as they are typed in many ways.
//!
//! Never here: which calls match. That is a query of the store, which calls this.

const SHORTEST_SUFFIX_DIGITS: usize = 6;

/// Whether a number means what was asked for. `*` in the question stands for any text. Otherwise
/// two numbers are the same when, reduced to digits without leading zeros, one ends with the other
/// and the shorter has at least six; else only when they are the same text.
pub fn matches(asked: &str, number: &str) -> bool {
    if asked.contains('*') {
        return glob(asked.as_bytes(), number.as_bytes())
            || (digits(asked).contains(|c: char| c.is_ascii_digit())
                && glob(digits(asked).as_bytes(), digits(number).as_bytes()));
    }
    if asked == number {
        return true;
    }
    let (a, b) = (significant(asked), significant(number));
    let (short, long) = if a.len() <= b.len() {
        (&a, &b)
    } else {
        (&b, &a)
    };
    short.len() >= SHORTEST_SUFFIX_DIGITS && long.ends_with(short.as_str())
}

fn digits(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_digit() || *c == '*')
        .collect()
}

fn significant(text: &str) -> String {
    digits(text).trim_start_matches('0').to_owned()
}

/// `*` matches any run of bytes. Linear: after a mismatch only the last star is widened.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn numbers() {
        for (asked, number, expected) in [
            ("05552221133", "05552221133", true),
            ("+90 555 222 11 33", "05552221133", true),
            ("2221133", "05552221133", true),
            ("221133", "05552221133", true),
            ("21133", "05552221133", false),
            ("05552221133", "5552221133", true),
            ("117", "117", true),
            ("0117", "117", false),
            ("117", "420774117", false),
            ("anonymous", "anonymous", true),
            ("anonymous", "Anonymous", false),
            ("0555*", "05552221133", true),
            ("*1133", "05552221133", true),
            ("*222*33", "05552221133", true),
            ("555*", "05552221133", false),
            ("+420*", "+420 774 852 629", true),
            ("anon*", "anonymous", true),
            ("*", "anything", true),
        ] {
            assert_eq!(matches(asked, number), expected, "{asked} ~ {number}");
        }
    }
}
