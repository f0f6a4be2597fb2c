//! One module for each command: what it checks, does and prints.

mod check;
mod compare;
#[cfg(feature = "completions")]
mod completions;
mod convert;
mod doctor;
mod embed;
mod greeting;
#[cfg(feature = "man")]
mod man;
mod models;
mod plot;
mod quantize;
mod rerank;
mod runtime;
mod search;
#[cfg(feature = "serve")]
mod serve;

use anyhow::Result;
pub(crate) use greeting::greet;

use crate::{
    args::{Cli, Command},
    report::Report,
};

/// Runs the command that was typed.
pub(crate) fn run(cli: Cli, report: &Report) -> Result<()> {
    let Cli { command, run } = cli;
    match command {
        Command::Embed(args) => embed::run(args, &run, report),
        Command::Rerank(args) => rerank::run(args, &run, report),
        Command::Search(args) => search::run(args, &run, report),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(*args, &run, report),
        Command::Models(command) => models::run(&command, &run, report),
        Command::Runtime(command) => runtime::run(&command, &run, report),
        Command::Convert(args) => convert::run(&args, report),
        Command::Plot(args) => plot::run(&args, report),
        Command::Compare(args) => compare::run(args, &run, report),
        Command::Quantize(args) => quantize::run(&args, &run, report),
        Command::Doctor { json } => doctor::run(json, &run, report),
        #[cfg(feature = "completions")]
        Command::Completions { shell } => completions::run(shell),
        #[cfg(feature = "man")]
        Command::Man { dir } => man::run(dir.as_deref(), report),
    }
}
