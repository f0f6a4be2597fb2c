//! `cargo xtask test`: fetches what the tests need and runs all of them.
//!
//! All tests run on the newest ONNX Runtime, then those of the crates that use it once more on the
//! lowest. cargo-nextest is used when it is installed; nothing else is needed beyond cargo, a C
//! compiler and pip.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{
    assets::{self, Set},
    run,
    steps::{Outcome, Steps},
};

/// The crates whose tests run graphs, and so depend on the version of ONNX Runtime.
const USE_RUNTIME: &[&str] = &["embedkit-core", "embedkit-text-dense", "embedkit", "embedkit-cli"];

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
    let nextest = run::output(&mut run::cargo(["nextest", "--version"])).is_ok();
    if !nextest {
        println!("cargo-nextest is not installed: running `cargo test`, which takes longer");
    }
    let runner = if nextest { Runner::Nextest } else { Runner::Test };
    let newest = assets::newest_runtime();
    let lowest = assets::lowest_runtime();
    let extra = &arguments.arguments;
    if arguments.runtime != Runtimes::Lowest {
        let name = format!("tests, ONNX Runtime {}", assets::NEWEST);
        steps.run(&name, || tests(runner.all(extra), &newest));
        steps.run("examples in the documentation", || {
            tests(run::cargo(["test", "--doc", "--workspace"]), &newest)
        });
    }
    if arguments.runtime != Runtimes::Newest {
        let name = format!("tests, ONNX Runtime {}", assets::LOWEST);
        steps.run(&name, || tests(runner.those_with_runtime(extra), &lowest));
    }
    steps.finish()
}

#[derive(Clone, Copy)]
enum Runner {
    Nextest,
    Test,
}

impl Runner {
    fn all(self, extra: &[String]) -> Command {
        let mut command = match self {
            Self::Nextest => run::cargo(["nextest", "run", "--workspace", "--no-fail-fast"]),
            // Documentation is a step of its own.
            Self::Test => run::cargo(["test", "--workspace", "--lib", "--bins", "--tests"]),
        };
        if matches!(self, Self::Test) {
            command.arg("--no-fail-fast");
        }
        command.args(extra);
        command
    }

    /// The same build, so that nothing is built again: naming the packages with `--package` would
    /// unite the features of fewer crates and build their dependencies anew.
    fn those_with_runtime(self, extra: &[String]) -> Command {
        let mut command = self.all(extra);
        // `cargo test` cannot choose among the tests of a workspace build and runs all.
        if matches!(self, Self::Nextest) {
            let packages: Vec<_> =
                USE_RUNTIME.iter().map(|name| format!("package(={name})")).collect();
            command.arg("--filterset").arg(packages.join(" + "));
        }
        command
    }
}

/// Runs tests on an ONNX Runtime; the outcome says how many there were.
fn tests(mut command: Command, runtime: &Path) -> Result<Outcome> {
    // A test that cannot have what it needs fails under this variable instead of being skipped.
    command.env("ORT_DYLIB_PATH", runtime).env("EMBEDKIT_REQUIRE_RUNTIME", "1");
    println!("{}", run::line(&command));
    let (success, said) = run::watched(&mut command)?;
    let count = Count::read(&said);
    Ok(match count {
        Some(count) if success => Outcome::Passed(count.to_string()),
        Some(count) => Outcome::Failed(count.to_string()),
        None if success => Outcome::Failed("no test was run".to_owned()),
        None => Outcome::Failed("no test was run, see above".to_owned()),
    })
}

/// How many tests were run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Count {
    /// Adds up the summaries of nextest and of the built-in test runner; `None` if there is none
    /// or nothing was run.
    fn read(said: &str) -> Option<Self> {
        let mut count = Self::default();
        for line in said.lines() {
            let line = without_colours(line);
            let line = line.trim();
            // Summary [   1.2s] 12 tests run: 10 passed (1 slow), 1 failed, 1 timed out, 3 skipped
            let nextest = line.strip_prefix("Summary [").and_then(|rest| rest.split_once(" run: "));
            // test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; …
            let built_in =
                line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "));
            let Some((_, parts)) = nextest.or(built_in) else { continue };
            for part in parts.split([',', ';']) {
                let mut words = part.split_whitespace();
                let number = words.next().and_then(|number| number.parse::<u64>().ok());
                match (number, words.next()) {
                    (Some(n), Some("passed")) => count.passed += n,
                    (Some(n), Some("failed" | "timed" | "exec")) => count.failed += n,
                    (Some(n), Some("skipped" | "ignored")) => count.skipped += n,
                    _ => {}
                }
            }
        }
        (count.passed + count.failed > 0).then_some(count)
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{} tests run: {passed} passed, {failed} failed", passed + failed)?;
        if *skipped > 0 {
            write!(f, ", {skipped} not chosen")?;
        }
        Ok(())
    }
}

/// A line without the escape sequences that colour it.
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_nextest_is_read() {
        let said = "  Starting 15 tests\n     \u{1b}[31;1mSummary\u{1b}[0m [   1.25s] 14/15 tests \
                    run: 10 passed (2 slow), 3 failed, 1 timed out, 7 skipped\n";
        let count = Count::read(said).expect("a summary");
        assert_eq!(count, Count { passed: 10, failed: 4, skipped: 7 });
        assert_eq!(count.to_string(), "14 tests run: 10 passed, 4 failed, 7 not chosen");
    }

    #[test]
    fn the_summaries_of_the_built_in_runner_are_added_up() {
        let said = "test a ... ok\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 \
                    filtered out; finished in 0.01s\n\ntest result: FAILED. 1 passed; 2 failed; 0 \
                    ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(Count::read(said), Some(Count { passed: 4, failed: 2, skipped: 1 }));
    }

    #[test]
    fn a_run_of_no_tests_is_none() {
        assert_eq!(Count::read("error: could not compile"), None);
        let nothing = "Summary [   0.00s] 0 tests run: 0 passed, 4 skipped";
        assert_eq!(Count::read(nothing), None);
    }

    #[test]
    fn the_lowest_runtime_reruns_the_crates_that_use_it() {
        let line = run::line(&Runner::Nextest.those_with_runtime(&["--retries=1".into()]));
        assert!(line.contains("--workspace"), "{line}");
        assert!(line.ends_with(
            "--retries=1 --filterset 'package(=embedkit-core) + package(=embedkit-text-dense) + \
             package(=embedkit) + package(=embedkit-cli)'"
        ), "{line}");
    }
}
