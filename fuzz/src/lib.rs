//! What must hold whatever comes from outside: a target takes any bytes and panics where a promise
//! is broken.
//!
//! Both the fuzzer (`src/bin`) and the replay of what it found (`tests/it/replay.rs`) run these.
//! Never here: the fuzzer itself, or a rule that the product does not promise.

mod config;
mod event;
mod head;
mod key;
mod number;
mod range;
mod repair;
mod search;
mod tag;
mod url;
mod walk;

/// Panics where a promise is broken.
pub type Check = fn(&[u8]);

pub const TARGETS: [(&str, Check); 11] = [
    ("config", config::check),
    ("event", event::check),
    ("head", head::check),
    ("key", key::check),
    ("number", number::check),
    ("range", range::check),
    ("repair", repair::check),
    ("search", search::check),
    ("tag", tag::check),
    ("url", url::check),
    ("walk", walk::check),
];

pub fn run(name: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, check) = found.unwrap_or_else(|| panic!("{name} is no target"));
    check(data);
}

/// Up to N lines of the input, as text; what is missing is empty.
fn lines<const N: usize>(data: &[u8]) -> [String; N] {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(N, '\n');
    std::array::from_fn(|_| lines.next().unwrap_or_default().to_owned())
}
