//! Any announced URL: what is asked of the PBX is one plain segment below its recording path,
//! whoever reads it.

use callvault::model::event::{File, RefusedUrl};
use callvault::model::vendor::Vendor;
use callvault::model::vendor::threecx::files;

const BASE: &str = "https://pbx.example:5001";
const BELOW: &str = "/webapi/recording/";
const KEPT_BYTES: usize = 2048;

pub fn check(data: &[u8]) {
    let url = String::from_utf8_lossy(data);
    let file = files::file(&url);
    assert!(url.starts_with(&file.url) && file.url.len() <= KEPT_BYTES);
    let is_refused_as_none = file.path == Err(RefusedUrl::NotAUrl);
    assert_eq!(is_refused_as_none, !files::is_url(&url));
    is_safe(&file);
}

pub fn is_safe(file: &File) {
    let Ok(path) = &file.path else {
        assert_eq!(file.of, None);
        return;
    };
    let path = path.as_str();
    let name = path.strip_prefix(BELOW).expect(path);
    assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()));
    // However often a server decodes it.
    let mut decoded = name.as_bytes().to_vec();
    for _ in 0..3 {
        assert!(!decoded.starts_with(b"."), "{path}");
        let splits = |byte: &u8| b"/\\?#\x7f".contains(byte) || *byte < b' ';
        assert!(!decoded.iter().any(splits), "{path}");
        decoded = percent_decoded(&decoded);
    }
    let whole = reqwest::Url::parse(&format!("{BASE}{path}")).expect(path);
    assert_eq!(whole.as_str(), format!("{BASE}{path}"));
    assert_eq!(whole.origin().ascii_serialization(), BASE);
    assert_eq!(
        (whole.path(), whole.query(), whole.fragment()),
        (path, None, None)
    );
    if let Some(of) = &file.of {
        let stem = format!("{}-{}", of.leg, of.part);
        assert_eq!(file.recording.as_str(), stem);
        assert!(name.starts_with(&stem), "{path}");
        assert_eq!(
            Vendor::ThreeCx.leg_of(&of.leg.to_string()).as_ref(),
            Some(&of.leg)
        );
    }
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::new(), text);
    while let Some((first, behind)) = rest.split_first() {
        let hex = behind.get(..2).filter(|_| *first == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => (decoded.push(byte), rest = &behind[2..]),
            None => (decoded.push(*first), rest = behind),
        };
    }
    decoded
}
