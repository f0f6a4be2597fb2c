//! `cargo xtask bench`: builds and runs the harness in `bench/harness`, which may depend on more than this
//! program.

use std::ffi::OsString;

use anyhow::Result;

use crate::run;

/// Options of the command.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Passed on to the harness; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Runs the harness.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let harness = ["run", "--quiet", "--package", "embedkit-bench", "--"];
    run::status(run::cargo(harness).args(&arguments.arguments))
}
