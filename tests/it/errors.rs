//! `docs/errors.txt` is the operators' list, and says what the program's own table says.

use callvault::model::event::RefusedUrl;
use callvault::pipeline::table::{Code, errors_txt, explain};

#[test]
fn the_operators_list_is_the_programs_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.txt");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, errors_txt()).unwrap();
        return;
    }
    assert!(
        written == errors_txt(),
        "docs/errors.txt is behind the table: UPDATE_GOLDEN=1 cargo test --test it errors"
    );
}

/// They are refused when they are announced, before any stage.
#[test]
fn refused_urls_are_in_it_too() {
    for refused in [
        RefusedUrl::OffPath,
        RefusedUrl::NotAUrl,
        RefusedUrl::Long(0),
    ] {
        assert!(explain(refused.code()).is_some(), "{}", refused.code());
    }
}

#[test]
fn every_code_is_one_word_and_its_own() {
    let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.row().code).collect();
    for code in &codes {
        assert!(
            code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{code}"
        );
    }
    codes.sort_unstable();
    let all = codes.len();
    codes.dedup();
    assert_eq!(codes.len(), all);
}
