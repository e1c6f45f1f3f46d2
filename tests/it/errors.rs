//! `docs/errors.txt` is the operators' list, and says what the program's own table says.

use std::fs;
use std::path::{Path, PathBuf};

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

/// A failure takes its code from the table; where one is spelled out all the same, it is in the
/// list too.
#[test]
fn a_code_that_is_spelled_out_is_in_it_too() {
    let sources = files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 50, "the sources are where they were");
    for source in sources {
        let text = fs::read_to_string(&source).unwrap();
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for code in spelled_out(product) {
            assert!(explain(code).is_some(), "{code}: {}", source.display());
        }
    }
    let seen = spelled_out("Failure { code: \"spool\", x } \"SET code = 'tag', y = 'z'\"");
    assert_eq!(seen, ["spool", "tag"]);
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

/// The codes that a source gives to a failure, in Rust or in SQL.
fn spelled_out(source: &str) -> Vec<&str> {
    let words = |before, end| {
        let found = source.split(before).skip(1);
        found.filter_map(move |found: &str| Some(found.split_once(end)?.0))
    };
    words("code: \"", '"')
        .chain(words("code = '", '\''))
        .collect()
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files
}
