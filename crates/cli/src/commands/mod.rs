//! One module for each command: what it checks, does and prints.

mod compare;
mod convert;
mod embed;
mod models;
mod plot;
mod quantize;
mod rerank;
mod runtime;
mod search;

use anyhow::Result;

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
        Command::Models(command) => models::run(&command, &run, report),
        Command::Runtime(command) => runtime::run(&command, &run, report),
        Command::Convert(args) => convert::run(&args, report),
        Command::Plot(args) => plot::run(&args, report),
        Command::Compare(args) => compare::run(args, &run, report),
        Command::Quantize(args) => quantize::run(&args, &run, report),
    }
}
