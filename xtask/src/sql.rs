//! `cargo xtask sql`: tests the package `distributed`, which is outside the workspace.
//!
//! Its engines are several hundred packages with a lock file of their own. The functions and jobs in one
//! process are tested by default; `--cluster` adds lints and Ballista, which takes twice as long to build.

use std::process::Command;

use anyhow::Result;

use crate::{
    assets::{self, Set},
    repo, run,
    steps::{Outcome, Steps},
    test::runner,
};

/// Options of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Also lint, and test a scheduler and executors as child processes
    #[arg(long)]
    cluster: bool,
    /// Passed on to the tests
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Checks the format, runs the tests, and ends with a table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    assets::ensure(Set::Test)?;
    let mut steps = Steps::default();
    let features: &[&str] = if arguments.cluster { &["--features", "cluster"] } else { &[] };
    steps.run("format of distributed", || passes(&["fmt", "--check"]));
    if arguments.cluster {
        let clippy = ["clippy", "--all-targets", "--locked", "--quiet"];
        let strict = ["--", "-D", "warnings"];
        steps.run("lints of distributed", || passes(&[&clippy, features, &strict].concat()));
    }
    // Not nextest: processes of a cluster do not gain from neighbours.
    let tests = ["test", "--locked", "--no-fail-fast"];
    let mut command = cargo(&[&tests, features].concat());
    command.arg("--").arg("--test-threads=2").args(&arguments.arguments);
    steps.run("tests of distributed", || runner::tests(command, &assets::newest_runtime()));
    steps.finish()
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = run::cargo(arguments);
    command.current_dir(repo::root().join("distributed"));
    command
}

fn passes(arguments: &[&str]) -> Result<Outcome> {
    run::status(&mut cargo(arguments))?;
    Ok(Outcome::Passed(String::new()))
}
