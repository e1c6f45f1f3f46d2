//! What is said of a panic: where it was, and its words where they were fixed by the source.
//!
//! Never here: words that were made while it ran. They may quote a request, an answer or a setting,
//! and with it a secret.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write as _;
use std::panic::PanicHookInfo;

/// For the rest of the program's life, of every thread.
pub fn say_no_more_than_is_fixed() {
    std::panic::set_hook(Box::new(|panic| {
        // There is nobody else to tell where stderr is gone.
        let _ = std::io::stderr().write_all(said(panic).as_bytes());
    }));
}

fn said(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    // A literal is of this type; what is formatted is a `String`.
    let words = panic.payload().downcast_ref::<&'static str>();
    let words = words.unwrap_or(&"(its words may quote a secret, and are left out)");
    let at = panic.location().map(ToString::to_string);
    let at = at.unwrap_or_default();
    let mut said = format!("callvault: thread {thread} panicked at {at}: {words}\n");
    // As RUST_BACKTRACE says; it names functions and no values.
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        said.push_str(&format!("{trace}\n"));
    }
    said
}
