//! `cargo xtask test`: fetches the tests' assets and runs all tests.
//!
//! All tests run on the newest ONNX Runtime, then those of the crates that use it again on the lowest.
//! cargo-nextest is used if it is installed; otherwise cargo, a C compiler and pip are enough.

pub(crate) mod runner;

use anyhow::Result;

use self::runner::Runner;
use crate::{
    assets::{self, Set},
    run,
    steps::{Outcome, Steps},
};

/// Options of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// ONNX Runtimes to run on
    #[arg(long, value_enum, default_value_t = Runtimes::Both)]
    runtime: Runtimes,
    /// Passed on to `cargo nextest run`, or to `cargo test` where that is not installed
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// The ONNX Runtimes that the tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Runtimes {
    /// The newest for all tests, then the lowest for those that use it
    Both,
    /// The newest only
    Newest,
    /// The lowest only
    Lowest,
}

/// Fetches the assets, runs the tests, and ends with a table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    // Without the assets no test can run: fail at once, not after minutes.
    let summary = assets::ensure(Set::Test)?;
    let mut steps = Steps::default();
    steps.note("assets", Outcome::Passed(format!("{} ready", summary.ready)));
    for (name, reason) in assets::missing(Set::Test) {
        steps.note(&name, Outcome::Skipped(reason));
    }
    let runner = Runner::find();
    let newest = assets::newest_runtime();
    let lowest = assets::lowest_runtime();
    let extra = &arguments.arguments;
    if arguments.runtime != Runtimes::Lowest {
        let name = format!("tests, ONNX Runtime {}", assets::NEWEST);
        steps.run(&name, || runner::tests(runner.all(extra), &newest));
        steps.run("examples in the documentation", || {
            runner::tests(run::cargo(["test", "--doc", "--workspace"]), &newest)
        });
    }
    if arguments.runtime != Runtimes::Newest {
        let name = format!("tests, ONNX Runtime {}", assets::LOWEST);
        steps.run(&name, || runner::tests(runner.those_with_runtime(extra), &lowest));
    }
    steps.finish()
}
