//! The program `embedkit`: embed and search texts, manage models and the runtime, from the shell.
//!
//! A library only so that a fuzzer can call parts of it; applications use the crate `embedkit`.
//!
//! ```no_run
//! embedkit_cli::main();
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod args;
mod commands;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod image_options;
mod input;
#[cfg(unix)]
mod interrupt;
mod model;
mod output;
mod plot;
mod postprocess;
mod progress;
mod ranking;
mod record;
mod report;
mod sample;
mod stream;

use std::{
    env,
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use clap::Parser as _;

use crate::{
    args::Cli,
    report::{Log, Report},
};

/// Runs the program with the arguments of the process, and says how it ended.
pub fn main() -> ExitCode {
    // A person who types the name alone is shown around; for a script it is a usage error.
    let greets = env::args_os().len() <= 1 && io::stdout().is_terminal();
    let cli = if greets { None } else { Some(Cli::parse()) };
    let (quiet, verbose) = cli.as_ref().map_or((true, 0), |cli| (cli.run.quiet, cli.run.verbose));
    let report = Report::new(quiet, verbose, log(cli.as_ref()));
    #[cfg(unix)]
    if report.log() == Log::Warnings {
        interrupt::watch(&report);
    }
    match cli.map_or_else(commands::greet, |cli| commands::run(cli, &report)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let exit = report::exit_report(&error);
            report.say(&exit.text);
            ExitCode::from(exit.status)
        }
    }
}

/// The log of the command: the server has one, and ends by itself when it is asked to.
fn log(cli: Option<&Cli>) -> Log {
    #[cfg(feature = "serve")]
    if let Some(args::Command::Serve(serve)) = cli.map(|cli| &cli.command) {
        return match serve.log {
            args::LogForm::Text => Log::Text,
            args::LogForm::Json => Log::Json,
        };
    }
    let _ = cli;
    Log::Warnings
}
