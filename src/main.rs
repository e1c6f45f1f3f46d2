//! The program: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    callvault::cli::run(std::env::args_os())
}
