//! The project's own commands, called as `cargo xtask COMMAND`; `cargo xtask help` lists them.
//!
//! Models are looked at with `types`, `convert` and `hub` only, never with `core`: this program has
//! to build when a file that it generates is broken.

#![expect(clippy::print_stdout, reason = "a command line program answers on standard output")]

mod bench;
mod book;
mod canonical;
mod codegen;
mod demo;
mod deploy;
mod golden;
mod help;
mod matrix;
mod pictures;
mod registry;
mod release;
mod serve;
mod sql;
mod steps;
mod test;
mod tidy;
mod wheel;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use xtask::{assets, exit, python, repo, run};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

// Each is listed in `help::GROUPS`.
#[derive(Subcommand)]
enum Command {
    /// Search a small collection of passages with a real model
    Demo(demo::Arguments),
    /// Fetch what the tests need and run all of them
    Test(test::Arguments),
    /// Build the Python package and test it
    Python(wheel::Arguments),
    /// Check the repository's rules that no compiler checks
    Tidy,
    /// Render code and documentation from models.toml
    Codegen {
        /// Write nothing; fail when something is stale
        #[arg(long)]
        check: bool,
    },
    /// Make golden values again, or compare with FastEmbed live
    Golden(golden::Arguments),
    /// Make the site of the documentation, with mdBook
    Book(book::Arguments),
    /// Draw the pictures of the README
    Pictures(pictures::Arguments),
    /// Measure speed, memory and quality, beside the peers
    Bench(bench::Arguments),
    /// Test the server with the clients of others
    Serve(serve::Arguments),
    /// Test SQL functions, jobs and clusters (distributed)
    Sql(sql::Arguments),
    /// Test the files of containers and services (deploy)
    Deploy(deploy::Arguments),
    /// Fetch ONNX Runtime and the models of demo, tests and benchmarks
    Assets(assets::Arguments),
    /// Test every runtime, device, feature set or model
    Matrix(matrix::Arguments),
    /// Look after models.toml
    #[command(subcommand)]
    Registry(registry::Command),
    /// Check what has to hold before the crates are published
    Release(release::Arguments),
}

fn main() -> ExitCode {
    let matches = help::grouped(Arguments::command()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let done = match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Python(arguments) => wheel::run(&arguments),
        Command::Tidy => tidy::run(),
        Command::Codegen { check } => codegen::run(check),
        Command::Golden(arguments) => golden::run(&arguments),
        Command::Book(arguments) => book::run(&arguments),
        Command::Pictures(arguments) => pictures::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Sql(arguments) => sql::run(&arguments),
        Command::Deploy(arguments) => deploy::run(&arguments),
        Command::Assets(arguments) => assets::run(&arguments),
        Command::Matrix(arguments) => matrix::run(&arguments),
        Command::Registry(command) => registry::run(&command),
        Command::Release(arguments) => release::run(&arguments),
    };
    exit::code(done)
}
