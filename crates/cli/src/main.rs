//! The program `embedkit`.

use std::process::ExitCode;

fn main() -> ExitCode {
    embedkit_cli::main()
}
