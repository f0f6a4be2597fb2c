//! The project's own commands, called as `cargo xtask COMMAND`.
//!
//! | command | what it does |
//! |---|---|
//! | `assets` | fetches ONNX Runtime and the models that the demo and the tests use |
//! | `demo` | searches a small collection with a real model, with timings |
//! | `test` | fetches what the tests need and runs all of them |
//! | `tidy` | checks the rules of the repository that no compiler checks |
//! | `golden` | makes the stored golden values again, or compares with the original live |
//! | `matrix` | the same tests on every runtime, device, feature set or model |
//! | `bench` | measures speed and memory, beside the peers |
//! | `release` | checks what has to hold before the crates are published |
//! | `registry update` | pins models to what the hub has now |
//! | `book` | makes the site of the documentation |
//! | `codegen` | renders code and documentation from `models.toml` |
//!
//! Models are looked at with `types`, `convert` and `hub` only, never with `core`: this program has
//! to build when a file that it generates is broken.

#![expect(clippy::print_stdout, reason = "a command line program answers on standard output")]

mod assets;
mod bench;
mod book;
mod codegen;
mod demo;
mod golden;
mod matrix;
mod python;
mod registry;
mod release;
mod repo;
mod run;
mod steps;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetch ONNX Runtime and the models that the demo and the tests use
    Assets(assets::Arguments),
    /// Search a small collection of passages with a real model
    Demo(demo::Arguments),
    /// Fetch what the tests need and run all of them
    Test(test::Arguments),
    /// Check the rules of the repository that no compiler checks
    Tidy,
    /// Make the stored golden values again, or compare with the original live
    Golden(golden::Arguments),
    /// Run the same tests with every runtime, device, feature set or model
    Matrix(matrix::Arguments),
    /// Check what has to hold before the crates are published
    Release(release::Arguments),
    /// Measure speed and memory, beside the peers
    Bench(bench::Arguments),
    /// Look after models.toml
    #[command(subcommand)]
    Registry(registry::Command),
    /// Make the site of the documentation, with mdBook
    Book(book::Arguments),
    /// Render code and documentation from models.toml
    Codegen {
        /// Write nothing; fail when something is stale
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Assets(arguments) => assets::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Tidy => tidy::run(),
        Command::Golden(arguments) => golden::run(&arguments),
        Command::Matrix(arguments) => matrix::run(&arguments),
        Command::Release(arguments) => release::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Registry(command) => registry::run(&command),
        Command::Book(arguments) => book::run(&arguments),
        Command::Codegen { check } => codegen::run(check),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(hint) = error.chain().find_map(hint) {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Hint of an error of our libraries.
fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<embedkit_hub::Error>() {
        return error.hint().map(|hint| hint.to_string());
    }
    error.downcast_ref::<embedkit_convert::Error>()?.hint().map(|hint| hint.to_string())
}
