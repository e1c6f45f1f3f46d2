//! libFuzzer's way into the target of this file's name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| callvault_fuzz::run(env!("CARGO_BIN_NAME"), data));
