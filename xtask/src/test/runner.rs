//! Runs tests with cargo-nextest, or without it, and counts them.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{run, steps::Outcome};

/// Crates whose tests run graphs and depend on the version of ONNX Runtime.
const USE_RUNTIME: &[&str] = &[
    "embedkit-core",
    "embedkit-convert",
    "embedkit-describe",
    "embedkit-text-dense",
    "embedkit-sparse",
    "embedkit-late-interaction",
    "embedkit-image",
    "embedkit-rerank",
    "embedkit-hybrid",
    "embedkit",
    "embedkit-cli",
];

/// Common part of golden tests' names.
const GOLDEN: &str = "the_original";

/// Families: their results must not depend on device, threads or replicas.
const FAMILIES: &[&str] = &[
    "embedkit-text-dense",
    "embedkit-sparse",
    "embedkit-late-interaction",
    "embedkit-image",
    "embedkit-rerank",
    "embedkit-hybrid",
];

/// Test runner.
#[derive(Clone, Copy)]
pub(crate) enum Runner {
    Nextest,
    Test,
}

impl Runner {
    /// cargo-nextest if it is installed.
    pub(crate) fn find() -> Self {
        if run::output(&mut run::cargo(["nextest", "--version"])).is_ok() {
            return Self::Nextest;
        }
        println!("cargo-nextest is not installed: running `cargo test`, which takes longer");
        Self::Test
    }

    /// All tests of the workspace.
    pub(crate) fn all(self, extra: &[String]) -> Command {
        let mut command = match self {
            Self::Nextest => run::cargo(["nextest", "run", "--workspace", "--no-fail-fast"]),
            // Documentation is a separate step.
            Self::Test => run::cargo(["test", "--workspace", "--lib", "--bins", "--tests"]),
        };
        if matches!(self, Self::Test) {
            command.arg("--no-fail-fast");
        }
        command.args(extra);
        command
    }

    /// The same build, so nothing is rebuilt: naming packages with `--package` would unite the features
    /// of fewer crates and rebuild their dependencies.
    pub(crate) fn those_with_runtime(self, extra: &[String]) -> Command {
        let mut command = self.all(extra);
        // `cargo test` cannot select tests of a workspace build and runs all.
        if matches!(self, Self::Nextest) {
            command.arg("--filterset").arg(packages(USE_RUNTIME));
        }
        command
    }

    /// The golden tests of the families, with `features` added.
    pub(crate) fn golden(self, features: &[&str]) -> Command {
        let mut command = self.all(&[]);
        if !features.is_empty() {
            command.arg("--features").arg(features.join(","));
        }
        match self {
            Self::Nextest => {
                let golden = format!("({}) & test({GOLDEN})", packages(FAMILIES));
                command.arg("--filterset").arg(golden);
            }
            Self::Test => {
                command.arg(GOLDEN);
            }
        }
        command
    }
}

/// nextest's filter for the tests of some packages.
fn packages(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("package(={name})")).collect();
    names.join(" + ")
}

/// Runs tests on an ONNX Runtime; the outcome has the number of tests.
pub(crate) fn tests(mut command: Command, runtime: &Path) -> Result<Outcome> {
    // With this variable a test with missing needs would be skipped instead of failing.
    command.env("ORT_DYLIB_PATH", runtime).env_remove("EMBEDKIT_SKIP");
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

/// Number of tests.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Count {
    /// Sums the summaries of nextest and of the built-in test runner; `None` if there is none or no
    /// test ran.
    fn read(said: &str) -> Option<Self> {
        let mut count = Self::default();
        for line in said.lines() {
            let line = without_colours(line);
            // Summary [   1.2s] 12 tests run: 10 passed (1 slow), 1 failed, 1 timed out, 3 skipped
            let nextest =
                line.trim().strip_prefix("Summary [").and_then(|rest| rest.split_once(" run: "));
            // test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; …
            // Indented lines are nextest's output of a failed test, which it counts itself.
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
        let shown = "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured\n";
        assert_eq!(Count::read(shown), None, "a test's own output");
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
        assert!(line.contains("--retries=1 --filterset 'package(=embedkit-core) + "), "{line}");
        let chosen = packages(FAMILIES);
        assert!(chosen.split(" + ").all(|family| line.contains(family)), "{line}");
        assert!(!line.contains("embedkit-hub"), "{line}");
    }
}
