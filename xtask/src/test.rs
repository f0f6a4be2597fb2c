//! `cargo xtask test`: fetches what the tests need and runs all of them.
//!
//! All tests run on the newest ONNX Runtime, then those of the crates that use it once more on the
//! lowest. cargo-nextest is used when it is installed; nothing else is needed beyond cargo, a C
//! compiler and pip.

pub(crate) mod runner;

use anyhow::Result;

use self::runner::Runner;
use crate::{
    assets::{self, Set},
    run,
    steps::{Outcome, Steps},
};

/// How the tests are run.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which ONNX Runtimes to run on
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

/// Fetches and runs everything, and ends with a table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    // Without them there is nothing to run the tests on: an error at once, not after minutes.
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
