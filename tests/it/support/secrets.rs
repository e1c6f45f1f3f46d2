//! What nobody may read in anything that the service or a verb says.
//!
//! Never here: the demo, which prints the token of its page so that one can sign in.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Settings that are secret.
const KEYS: [&str; 5] = [
    "hook_secret",
    "basic_password",
    "bearer",
    "access_key",
    "secret_key",
];
/// A shorter one is a word like others.
const LEAST_CHARS: usize = 6;
/// Of a token, behind `cv_`.
const TOKEN_CHARS: usize = 43;

/// The secrets of one service.
#[derive(Default)]
pub struct Secrets(Mutex<BTreeSet<String>>);

impl Secrets {
    pub fn learn(&self, secret: &str) {
        if secret.len() >= LEAST_CHARS {
            self.0.lock().unwrap().insert(secret.to_owned());
        }
    }

    /// Those of a text of settings, as far as it is one.
    pub fn learn_settings(&self, text: &str) {
        if let Ok(table) = text.parse::<toml::Table>() {
            self.learn_value(&toml::Value::Table(table), false);
        }
    }

    fn learn_value(&self, value: &toml::Value, is_secret: bool) {
        match value {
            toml::Value::String(secret) if is_secret => self.learn(secret),
            toml::Value::Array(items) => {
                items
                    .iter()
                    .for_each(|item| self.learn_value(item, is_secret));
            }
            toml::Value::Table(table) => {
                for (key, value) in table {
                    self.learn_value(value, KEYS.contains(&key.as_str()));
                }
            }
            _ => {}
        }
    }

    /// Fails where `text`, which `teller` said, holds a secret in any dress; does not show it.
    pub fn assert_untold(&self, teller: &str, text: &str) {
        let tell = |what: &str, line: &str| {
            let line: String = line.chars().take(200).collect();
            panic!("{teller} tells {what}; the line begins: {line}");
        };
        let secrets = self.0.lock().unwrap().clone();
        for secret in &secrets {
            for (dress, worn) in dresses(secret) {
                if let Some(line) = text.lines().find(|line| line.contains(&worn)) {
                    tell(
                        &format!("a secret of {} characters, {dress}", secret.len()),
                        line,
                    );
                }
            }
        }
        for line in text.lines() {
            if has_token(line) {
                tell("a token", line);
            }
            if line.contains("callvault_session=") || line.contains("callvault_form=") {
                tell("a cookie", line);
            }
        }
    }
}

fn dresses(secret: &str) -> Vec<(&'static str, String)> {
    let bytes = secret.as_bytes();
    let (mut percent, mut hex) = (String::new(), String::new());
    for byte in bytes {
        write!(percent, "%{byte:02X}").unwrap();
        write!(hex, "{byte:02x}").unwrap();
    }
    let form = serde_urlencoded::to_string([("", secret)]).unwrap();
    let json = serde_json::to_string(secret).unwrap();
    let listed = format!("{bytes:?}");
    let mut dresses = vec![
        ("as it is", secret.to_owned()),
        ("percent-encoded throughout", percent.clone()),
        ("percent-encoded throughout", percent.to_lowercase()),
        ("percent-encoded", form[1..].to_owned()),
        ("escaped for JSON", json[1..json.len() - 1].to_owned()),
        ("in hex", hex.to_uppercase()),
        ("in hex", hex),
        ("as numbers", listed[1..listed.len() - 1].to_owned()),
    ];
    // In front may stand a user's name, of any length: three places to begin, and the characters
    // that no neighbour has a part in.
    for before in 0..3 {
        let encoded = STANDARD_NO_PAD.encode([&vec![b'x'; before], bytes].concat());
        let own = &encoded[[0, 2, 3][before]..encoded.len() - 1];
        dresses.push(("in base64", own.to_owned()));
        dresses.push(("in base64url", own.replace('+', "-").replace('/', "_")));
    }
    dresses
}

fn has_token(line: &str) -> bool {
    line.match_indices("cv_").any(|(at, prefix)| {
        let body = line[at + prefix.len()..].bytes();
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        body.take_while(fits).count() >= TOKEN_CHARS
    })
}

#[test]
fn a_secret_is_known_in_any_dress() {
    let secrets = Secrets::default();
    secrets.learn_settings("[[pbx]]\nhook_secret = [\"s3cret word/+\"]\nname = \"harmless\"\n");
    let told = |text: &str| {
        let telling = std::panic::AssertUnwindSafe(|| secrets.assert_untold("a test", text));
        std::panic::catch_unwind(telling).is_err()
    };
    for text in [
        "at s3cret word/+.",
        "at %733cret",
        "a harmless cv_word and callvault_ses",
    ] {
        assert_eq!(told(text), text.contains("word/+"), "{text}");
    }
    for text in [
        "s3cret+word%2F%2B",
        "%73%33%63%72%65%74%20%77%6F%72%64%2F%2B",
        "[1, 115, 51, 99, 114, 101, 116, 32, 119, 111, 114, 100, 47, 43, 2]",
        "7333637265742077 6f72642f2b 73336372657420776f72642f2b",
        &format!("cv_{}", "A".repeat(43)),
        "cookie: callvault_session=1",
    ] {
        assert!(told(text), "{text}");
    }
    for user in ["", "u", "us", "use"] {
        let login = STANDARD_NO_PAD.encode(format!("{user}s3cret word/+:more"));
        assert!(told(&login), "{user}");
    }
}
