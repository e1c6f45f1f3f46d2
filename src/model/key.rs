//! Object keys: made only here, from the template of the settings and checked ids.
//!
//! Never here: a byte of an event. What goes into a key is a checked name or a date, so that no
//! caller of the PBX can choose where something is stored.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;

use super::id::{PbxName, RecordingName};

const PLACES: [&str; 5] = ["{pbx}", "{yyyy}", "{mm}", "{dd}", "{recording}"];
const TEMPLATE_MAX_BYTES: usize = 512;
const SUFFIX: &str = ".mp3";

/// Where an object lies in the store: relative, `/`-separated, no empty and no dot segment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct ObjectKey(String);

impl ObjectKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The manifest that lies beside a recording: `.json` for `.mp3`.
    pub fn manifest(&self) -> ObjectKey {
        let stem = self.0.strip_suffix(SUFFIX).unwrap_or(&self.0);
        ObjectKey(format!("{stem}.json"))
    }
}

/// Takes back a key that [`KeyTemplate::key`] made and the index kept.
impl FromStr for ObjectKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<ObjectKey, BadKey> {
        let confined = !text.is_empty()
            && text.bytes().all(key_byte)
            && text.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if confined {
            Ok(ObjectKey(text.to_owned()))
        } else {
            Err(BadKey::Unconfined(text.to_owned()))
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a key or its template is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("must contain {0}")]
    Missing(&'static str),
    #[error("must end in .mp3")]
    Suffix,
    #[error("{0:?} is no placeholder; known are {{pbx}} {{yyyy}} {{mm}} {{dd}} {{recording}}")]
    Placeholder(String),
    #[error("a key is made of letters, digits and !-_.'()~/ without empty, . or .. parts: {0:?}")]
    Unconfined(String),
    #[error("longer than {TEMPLATE_MAX_BYTES} bytes")]
    Long,
}

/// The setting `archive.key`, checked: e.g. `{pbx}/{yyyy}/{mm}/{dd}/{recording}.mp3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTemplate(String);

impl KeyTemplate {
    pub fn parse(text: &str) -> Result<KeyTemplate, BadKey> {
        if text.len() > TEMPLATE_MAX_BYTES {
            return Err(BadKey::Long);
        }
        for needed in ["{pbx}", "{recording}"] {
            if !text.contains(needed) {
                return Err(BadKey::Missing(needed));
            }
        }
        if !text.ends_with(SUFFIX) {
            return Err(BadKey::Suffix);
        }
        let filled = PLACES
            .iter()
            .fold(text.to_owned(), |t, place| t.replace(place, "x"));
        if let Some(open) = filled.find(['{', '}']) {
            let rest = &filled[open..];
            let end = rest.find('}').map_or(rest.len(), |close| close + 1);
            return Err(BadKey::Placeholder(rest[..end].to_owned()));
        }
        filled.parse::<ObjectKey>()?;
        Ok(KeyTemplate(text.to_owned()))
    }

    /// The key of a recording; `dated` is the day that its own id tells, never "now".
    pub fn key(&self, pbx: &PbxName, dated: Date, recording: &RecordingName) -> ObjectKey {
        let key = self
            .0
            .replace("{pbx}", pbx.as_str())
            .replace("{yyyy}", &format!("{:04}", dated.year()))
            .replace("{mm}", &format!("{:02}", dated.month()))
            .replace("{dd}", &format!("{:02}", dated.day()))
            .replace("{recording}", recording.as_str());
        ObjectKey(key)
    }
}

/// What every store takes literally. `%`, `?`, `#`, `+` and `&` are not: proxies rewrite them.
fn key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!-_.'()~/".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_is_confined() {
        let cases: &[(&str, Result<(), BadKey>)] = &[
            ("{pbx}/{yyyy}/{mm}/{dd}/{recording}.mp3", Ok(())),
            ("calls/{pbx}_{recording}.mp3", Ok(())),
            ("{pbx}/{yyyy}.mp3", Err(BadKey::Missing("{recording}"))),
            ("{pbx}/{recording}.wav", Err(BadKey::Suffix)),
            (
                "{pbx}/{recording}{user}.mp3",
                Err(BadKey::Placeholder("{user}".into())),
            ),
            (
                "../{pbx}/{recording}.mp3",
                Err(BadKey::Unconfined("../x/x.mp3".into())),
            ),
            (
                "/{pbx}/{recording}.mp3",
                Err(BadKey::Unconfined("/x/x.mp3".into())),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(&KeyTemplate::parse(text).map(|_| ()), expected, "{text}");
        }
    }

    #[test]
    fn key_and_manifest() {
        let template = KeyTemplate::parse("{pbx}/{yyyy}/{mm}/{dd}/{recording}.mp3").unwrap();
        let key = template.key(
            &"hq".parse().unwrap(),
            jiff::civil::date(2023, 3, 7),
            &"230307142318_40-2-1".parse().unwrap(),
        );
        assert_eq!(key.as_str(), "hq/2023/03/07/230307142318_40-2-1.mp3");
        assert_eq!(
            key.manifest().as_str(),
            "hq/2023/03/07/230307142318_40-2-1.json"
        );
    }
}
