//! The house's rules as a test: which module may use which, and how a source file is kept. A
//! broken rule is printed with where it is broken.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const ADAPTERS: &[&str] = &[
    "config",
    "clock",
    "random",
    "failpoint",
    "store",
    "spool",
    "pbx",
    "objects",
];

/// What a module may use beside itself and `model`. The layers, bottom up.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("config", &[]),
    ("clock", &[]),
    ("random", &[]),
    ("failpoint", &[]),
    ("store", &["config", "failpoint"]),
    ("spool", &["config", "failpoint"]),
    ("pbx", &["config", "failpoint", "spool"]),
    ("objects", &["config", "failpoint", "spool"]),
    ("intake", &["store", "clock"]),
    ("correlate", &["store", "clock", "failpoint"]),
    ("pipeline", ADAPTERS),
    (
        "worker",
        &["pipeline", "store", "clock", "config", "failpoint"],
    ),
    ("upkeep", ADAPTERS),
    ("catalog", ADAPTERS),
    (
        "http",
        &[
            "intake",
            "catalog",
            "config",
            "clock",
            "random",
            "failpoint",
            "store",
        ],
    ),
    (
        "app",
        &[
            "config",
            "clock",
            "random",
            "failpoint",
            "store",
            "spool",
            "pbx",
            "objects",
            "intake",
            "correlate",
            "pipeline",
            "worker",
            "upkeep",
            "catalog",
            "http",
        ],
    ),
    (
        "cli",
        &[
            "config",
            "clock",
            "random",
            "failpoint",
            "store",
            "spool",
            "pbx",
            "objects",
            "intake",
            "correlate",
            "pipeline",
            "worker",
            "upkeep",
            "catalog",
            "http",
            "app",
        ],
    ),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// Packages (and things of std) that only some modules may know.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("rusqlite", &["store"]),
    ("reqwest", &["pbx"]),
    ("aws_config", &["objects"]),
    ("aws_sdk_s3", &["objects"]),
    ("aws_smithy_http_client", &["objects"]),
    ("warp", &["http"]),
    ("hyper_util", &["http"]),
    ("maud", &["http"]),
    ("tokio_rustls", &["http"]),
    ("anyhow", &["app", "cli", "main"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("sd_notify", &["cli"]),
    ("listenfd", &["app"]),
    ("toml", &["config"]),
    // What time it is, only `clock` knows.
    ("SystemTime", &["clock"]),
    ("Timestamp::now", &["clock"]),
    ("Zoned::now", &["clock"]),
];

const MODEL_PACKAGES: &[&str] = &[
    "serde",
    "serde_json",
    "serde_urlencoded",
    "sha2",
    "jiff",
    "id3",
    "thiserror",
];
const NOT_IN_MODEL: &[&str] = &[
    "std::fs",
    "std::net",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "Instant",
    "TimeZone::system",
];

const NOWHERE: &[&str] = &[
    ".unwrap()",
    "todo!(",
    "unimplemented!(",
    "dbg!(",
    "unsafe ",
    "#[allow(",
];

const FILE_MAX_LINES: usize = 400;
const FUNCTION_MAX_LINES: usize = 70;

struct Source {
    /// Below `src`.
    path: PathBuf,
    text: String,
    /// The text without comments, literals and tests, line by line the same.
    code: String,
    /// Declared under `#[cfg(test)]`.
    is_test: bool,
}

impl Source {
    fn new(path: impl Into<PathBuf>, text: &str) -> Source {
        Source {
            path: path.into(),
            text: text.to_owned(),
            code: without_tests(&bare(text)),
            is_test: false,
        }
    }

    /// The module's names from the crate's root, which is none of them.
    fn module(&self) -> Vec<String> {
        let stem = self.path.with_extension("");
        stem.iter()
            .map(|name| name.to_str().unwrap().to_owned())
            .collect()
    }

    fn at(&self, offset: usize) -> String {
        let line = self.code[..offset].matches('\n').count() + 1;
        format!("src/{}:{line}", self.path.display())
    }

    fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        let words = |at: &usize| {
            let before = self.code[..*at].chars().next_back();
            let after = self.code[at + text.len()..].chars().next();
            let longer = text.starts_with(word) && before.is_some_and(word)
                || text.ends_with(word) && after.is_some_and(word);
            !longer
        };
        self.code
            .match_indices(text)
            .map(|(at, _)| at)
            .filter(words)
    }
}

fn word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source::new(path.strip_prefix(&root).unwrap(), &text));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let in_product: Vec<bool> = found
        .iter()
        .map(|one| is_declared(one, &found, false))
        .collect();
    for (source, in_product) in found.iter_mut().zip(in_product) {
        source.is_test = !in_product;
    }
    assert!(found.len() > 50, "the sources are where they were");
    found
}

/// Whether the module above says `mod name;`, for the product or for tests.
fn is_declared(source: &Source, all: &[Source], for_tests: bool) -> bool {
    let module = source.module();
    let (name, above) = module.split_last().unwrap();
    if above.is_empty() && (name == "lib" || name == "main") {
        return true;
    }
    let above = if above.is_empty() {
        vec!["lib".to_owned()]
    } else {
        above.to_vec()
    };
    let above = all.iter().find(|other| other.module() == above);
    above.is_some_and(|above| match for_tests {
        true => bare(&above.text).contains(&format!("mod {name};")),
        false => above.code.contains(&format!("mod {name};")),
    })
}

/// Blanks comments and what stands in literals. Lines stay where they are.
fn bare(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let before_is_word = bare.chars().next_back().is_some_and(word);
        let taken = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            'r' | 'b' | '"' | '\'' if !before_is_word => literal_bytes(rest),
            _ => 0,
        };
        if taken == 0 {
            bare.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        // A literal is blanked to an empty one of as many lines.
        bare.push_str(if c == '/' { " " } else { "\"\"" });
        bare.extend(rest[..taken].chars().filter(|c| *c == '\n'));
        rest = &rest[taken..];
    }
    bare
}

/// The length of the literal that begins here; 0 where none does.
fn literal_bytes(text: &str) -> usize {
    let prefix = text.len() - text.trim_start_matches(['b', 'r']).len();
    let (raw, after) = (text[..prefix].contains('r'), &text[prefix..]);
    if raw {
        let hashes = after.len() - after.trim_start_matches('#').len();
        if prefix > 2 || !after[hashes..].starts_with('"') {
            return 0;
        }
        let end = format!("\"{}", "#".repeat(hashes));
        let inside = prefix + hashes + 1;
        return text[inside..]
            .find(&end)
            .map_or(text.len(), |at| inside + at + end.len());
    }
    let Some(quote) = after.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return 0;
    };
    if quote == '\'' {
        // A lifetime has no second quote where a character has.
        let inside = after[1..].chars().next().unwrap_or_default();
        if inside != '\\' && !after[1 + inside.len_utf8()..].starts_with('\'') {
            return 0;
        }
    }
    let mut escaped = false;
    for (at, c) in after.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return prefix + at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Blanks each item under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        kept.push_str(&rest[..at]);
        let item = &rest[at..];
        let end = match item.find(['{', ';']) {
            Some(open) if item[open..].starts_with('{') => open + block_bytes(&item[open..]),
            Some(semicolon) => semicolon + 1,
            None => item.len(),
        };
        kept.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    kept + rest
}

/// The length of the block whose opening brace stands first.
fn block_bytes(code: &str) -> usize {
    let mut open = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => continue,
        }
        if open == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// The modules at the crate's root that a source names, and where.
fn uses(source: &Source) -> Vec<(String, usize)> {
    let depth = match source.module().as_slice() {
        [root] if root == "lib" || root == "main" => 0,
        module => module.len(),
    };
    let own_crate = if source.path == Path::new("main.rs") {
        "callvault::"
    } else {
        "crate::"
    };
    let from_crate = source.find(own_crate).map(|at| at + own_crate.len());
    // `super::` as often as the module is deep is the root as well.
    let up = "super::".repeat(depth);
    let from_super = source.find(&up).map(|at| at + up.len()).filter(|at| {
        let before = &source.code[..at - up.len()];
        depth > 0 && !before.ends_with("super::") && !source.code[*at..].starts_with("super::")
    });
    let mut uses = Vec::new();
    for at in from_crate.chain(from_super) {
        let path = &source.code[at..];
        let names: Vec<&str> = match path.starts_with('{') {
            true => heads(&path[..block_bytes(path)]),
            false => vec![head(path)],
        };
        uses.extend(names.into_iter().map(|name| (name.to_owned(), at)));
    }
    uses
}

fn head(path: &str) -> &str {
    let path = path.trim_start();
    &path[..path.find(|c| !word(c)).unwrap_or(path.len())]
}

/// The first name of each path in a group: of `{a::{b, c}, d}` a and d.
fn heads(group: &str) -> Vec<&str> {
    let mut depth = 0;
    let parts = group.split_inclusive(['{', ',', '}']).map(|part| {
        let at = depth;
        match part.chars().next_back() {
            Some('{') => depth += 1,
            Some('}') => depth -= 1,
            _ => {}
        }
        (at, part)
    });
    let parts = parts
        .filter(|(depth, _)| *depth == 1)
        .map(|(_, part)| head(part));
    parts.filter(|name| !name.is_empty()).collect()
}

/// Fails with every place where a rule is broken.
fn demand(rule: &str, broken: Vec<String>) {
    let mut text = format!("broken: {rule}\n");
    for one in &broken {
        writeln!(text, "  {one}").unwrap();
    }
    assert!(broken.is_empty(), "{text}");
}

#[test]
fn a_module_uses_only_what_its_row_says() {
    demand(
        "a module uses only what its row of the layer table says",
        layers(&sources()),
    );
}

fn layers(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test) {
        let module = source.module().remove(0);
        let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            broken.push(format!(
                "{}: {module} has no row in the table",
                source.at(0)
            ));
            continue;
        };
        for (used, at) in uses(source) {
            // `model` is everybody's; what has no row is a name, not a module.
            let is_module = MAY_USE.iter().any(|(name, _)| *name == used);
            if is_module && used != module && used != "model" && !may_use.contains(&used.as_str()) {
                broken.push(format!("{}: {module} may not use {used}", source.at(at)));
            }
        }
    }
    broken
}

#[test]
fn a_package_is_known_where_it_belongs() {
    demand(
        "a package is used only where it belongs",
        packages(&sources()),
    );
}

fn packages(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test) {
        let module = source.module().remove(0);
        let elsewhere = ONLY_IN
            .iter()
            .filter(|(_, only)| !only.contains(&module.as_str()));
        for (package, only) in elsewhere {
            for at in source
                .find(package)
                .filter(|at| is_path(source, *at, package))
            {
                let only = only.join(", ");
                broken.push(format!("{}: {package} belongs to {only}", source.at(at)));
            }
        }
    }
    broken
}

/// A package is named by the paths that begin with it; other names are whole by themselves.
fn is_path(source: &Source, at: usize, name: &str) -> bool {
    let (before, after) = (&source.code[..at], &source.code[at + name.len()..]);
    // `::id3` is the package, `model::id3` is not.
    let begins = before
        .strip_suffix("::")
        .is_none_or(|before| !before.ends_with(word));
    let imported = before.ends_with("use ") && after.starts_with([';', ' ']);
    name.contains(char::is_uppercase) || imported || (begins && after.starts_with("::"))
}

#[test]
fn the_model_is_pure() {
    let rule = "model knows no I/O, no clock and few packages";
    demand(rule, impure(&sources(), &dependencies()));
}

fn impure(sources: &[Source], dependencies: &[String]) -> Vec<String> {
    let model = |source: &&Source| source.module()[0] == "model" && !source.is_test;
    let mut broken = Vec::new();
    for source in sources.iter().filter(model) {
        for text in NOT_IN_MODEL {
            let found = source.find(text);
            broken.extend(found.map(|at| format!("{}: {text} in model", source.at(at))));
        }
        let foreign = dependencies
            .iter()
            .filter(|name| !MODEL_PACKAGES.contains(&name.as_str()));
        for package in foreign {
            let found = source
                .find(package)
                .filter(|at| is_path(source, *at, package));
            broken.extend(found.map(|at| format!("{}: {package} in model", source.at(at))));
        }
    }
    broken
}

fn dependencies() -> Vec<String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest: toml::Table = fs::read_to_string(manifest).unwrap().parse().unwrap();
    let names = manifest["dependencies"].as_table().unwrap().keys();
    names.map(|name| name.replace('-', "_")).collect()
}

#[test]
fn a_file_says_what_it_is_for_and_stays_short() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > FILE_MAX_LINES && !source.is_test {
            broken.push(format!("{}: {lines} lines", source.at(0)));
        }
        if !source.text.starts_with("//! ") && !source.is_test {
            broken.push(format!("{}: does not begin with `//! `", source.at(0)));
        }
        if source.path.ends_with("mod.rs") {
            broken.push(format!("{}: a module is a file of its name", source.at(0)));
        }
    }
    demand(
        "a file says what it is for, is named, and has up to 400 lines",
        broken,
    );
}

#[test]
fn no_file_is_forgotten() {
    let sources = sources();
    let forgotten = sources
        .iter()
        .filter(|source| !is_declared(source, &sources, true));
    demand(
        "a file is declared by the module above it",
        forgotten.map(|source| source.at(0)).collect(),
    );
}

#[test]
fn a_function_fits_on_a_screen() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test) {
        for (name, lines, at) in functions(source) {
            if lines > FUNCTION_MAX_LINES {
                broken.push(format!("{}: {name} has {lines} lines", source.at(at)));
            }
        }
    }
    demand("a function has up to 70 lines", broken);
}

/// Name and lines of each function that has a body.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let mut functions = Vec::new();
    for at in source.find("fn ") {
        let code = &source.code[at..];
        let name = head(&code["fn ".len()..]);
        let Some(open) = code
            .find(['{', ';'])
            .filter(|open| code[*open..].starts_with('{'))
        else {
            continue;
        };
        let whole = &code[..open + block_bytes(&code[open..])];
        if !name.is_empty() {
            functions.push((name.to_owned(), whole.matches('\n').count() + 1, at));
        }
    }
    functions
}

#[test]
fn some_things_are_written_nowhere() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test) {
        for text in NOWHERE {
            let found = source.find(text);
            broken.extend(found.map(|at| format!("{}: {text}", source.at(at))));
        }
    }
    demand(
        "no unwrap, no stub, no unsafe, no lint switched off silently",
        broken,
    );
}

/// The rules see what breaks them: each source here is wrong in one way.
#[test]
fn broken_rules_are_seen() {
    let wrong = |path: &str, text: &str| {
        let sources = [Source::new(path, text)];
        let mut broken = layers(&sources);
        broken.extend(packages(&sources));
        broken.extend(impure(&sources, &["tokio".to_owned()]));
        broken.len()
    };
    for (path, text, expected) in [
        ("store/log.rs", "use crate::objects::Put;", 1),
        (
            "store/log.rs",
            "use crate::{model::id::{A, B}, pbx, failpoint};",
            1,
        ),
        (
            "store/log.rs",
            "use crate::{\n    model,\n    pipeline::{self, X},\n};",
            1,
        ),
        ("store/log.rs", "fn a() { crate::cli::run() }", 1),
        ("store/log.rs", "use super::super::worker::Worker;", 1),
        ("store.rs", "use super::worker::Worker;", 1),
        ("store/log.rs", "use super::worker;", 0),
        (
            "store/log.rs",
            "// crate::cli\nconst A: &str = \"crate::cli\";",
            0,
        ),
        (
            "store/log.rs",
            "#[cfg(test)]\nmod tests {\n use crate::cli;\n}\nuse crate::http;",
            1,
        ),
        (
            "store/log.rs",
            "const C: char = '\"'; use crate::cli; fn a<'a>(b: &'a str) {}",
            1,
        ),
        ("main.rs", "callvault::app::run();", 1),
        ("utils.rs", "", 1),
        ("worker.rs", "use rusqlite::params;", 1),
        ("worker.rs", "fn a() -> anyhow::Result<()> {}", 1),
        ("store.rs", "let now = std::time::SystemTime::now();", 1),
        ("model/id.rs", "use tokio::sync::Notify;", 1),
        ("model/id.rs", "use std::fs;", 1),
        ("model/id.rs", "use crate::store::Db;", 1),
    ] {
        assert_eq!(wrong(path, text), expected, "{path}: {text}");
    }
    let long = format!(
        "fn a() {{\n{}}}\nfn b();\nimpl C {{ fn d() {{}} }}",
        "x\n".repeat(70)
    );
    let lengths = functions(&Source::new("a.rs", &long));
    let lengths: Vec<_> = lengths
        .iter()
        .map(|(name, lines, _)| (name.as_str(), *lines))
        .collect();
    assert_eq!(lengths, [("a", 72), ("d", 1)]);
}
