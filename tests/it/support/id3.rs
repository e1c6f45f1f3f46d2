//! An MP3's tag, looked at without the code under test.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::weed::venv_program;

/// The ID3v2 tag that a file begins with, by its own size, and all that follows; no tag where there
/// is none.
pub fn split(file: &[u8]) -> (&[u8], &[u8]) {
    let [b'I', b'D', b'3', _, _, _, size @ ..] = &file[..10] else {
        return (&[], file);
    };
    let bytes = size
        .iter()
        .fold(0, |sum, seven_bits| sum << 7 | usize::from(*seven_bits));
    file.split_at(10 + bytes)
}

/// What mutagen reads of it.
pub fn read(file: &[u8]) -> Value {
    let mut mp3 = tempfile::NamedTempFile::new().expect("a temporary file");
    mp3.write_all(file).expect("write it");
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/id3_dump.py");
    let mut python = Command::new(venv_program("python"));
    let output = python.arg(dump).arg(mp3.path()).output();
    let output = output.expect("run mutagen");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "mutagen: {said}");
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}
