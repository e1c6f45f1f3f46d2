//! What the fuzzer starts from and what it has found: each promise holds for each of these inputs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fuzz::TARGETS;

#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

fn entries(directory: impl AsRef<Path>) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let Ok(entries) = fs::read_dir(root.join(directory)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn stems(directory: &str) -> BTreeSet<String> {
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    entries(directory).into_iter().map(stem).collect()
}

#[test]
fn what_was_found_is_found_no_more() {
    for (name, _) in TARGETS {
        let corpus = entries(Path::new("corpus").join(name));
        assert!(!corpus.is_empty(), "{name} has no corpus");
        for path in corpus
            .iter()
            .chain(&entries(Path::new("regressions").join(name)))
        {
            // Shown where the input breaks a promise.
            println!("{}", path.display());
            fuzz::run(name, &fs::read(path).unwrap());
        }
    }
}

#[test]
fn every_target_is_fuzzed_and_has_its_place() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    for directory in ["src/bin", "corpus"] {
        assert_eq!(stems(directory), targets, "{directory}");
    }
    for directory in ["regressions", "dictionaries"] {
        assert!(stems(directory).is_subset(&targets), "{directory}");
    }
}
