//! Steps that run one after the other, with a table at the end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Outcome of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Success, with a summary.
    Passed(String),
    /// Failure, with the reason.
    Failed(String),
    /// Skipped, which is no failure, with the reason.
    Skipped(String),
}

/// Outcomes so far.
#[derive(Default)]
pub(crate) struct Steps(Vec<(String, Outcome, Duration)>);

impl Steps {
    /// Runs a step. An error is a failed step, and the next ones still run.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<Outcome>) {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = step().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        self.0.push((name.to_owned(), outcome, start.elapsed()));
    }

    /// Records a step that was done elsewhere.
    pub(crate) fn note(&mut self, name: &str, outcome: Outcome) {
        self.0.push((name.to_owned(), outcome, Duration::ZERO));
    }

    /// Prints the table; fails if a step failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!("\n{}", self.table());
        let failed = self.0.iter().filter(|step| matches!(step.1, Outcome::Failed(_))).count();
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.0.len());
        }
        Ok(())
    }

    fn table(&self) -> String {
        let width = self.0.iter().map(|step| step.0.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, outcome, took) in &self.0 {
            let (word, note) = match outcome {
                Outcome::Passed(note) => ("passed", note),
                Outcome::Failed(note) => ("FAILED", note),
                Outcome::Skipped(note) => ("skipped", note),
            };
            let took = format!("{:.1} s", took.as_secs_f64());
            // One line for each step: causes of failures were printed in full before.
            let note = note.lines().next().unwrap_or_default();
            let row = format!("{name:width$}  {word:7}  {took:>8}  {note}");
            text.push_str(row.trim_end());
            text.push('\n');
        }
        let count = |word: fn(&Outcome) -> bool| self.0.iter().filter(|step| word(&step.1)).count();
        text.push_str(&format!(
            "{} steps: {} passed, {} failed, {} skipped",
            self.0.len(),
            count(|outcome| matches!(outcome, Outcome::Passed(_))),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_fails_the_whole_and_stops_nothing() {
        let mut steps = Steps::default();
        steps.run("first", || Ok(Outcome::Passed("12 tests".into())));
        steps.run("second", || bail!("no luck\nat all"));
        steps.note("third", Outcome::Skipped("not here".into()));
        let table = steps.table();
        assert!(table.contains("first   passed"), "{table}");
        assert!(table.contains("second  FAILED"), "{table}");
        assert!(table.contains("no luck\n"), "one line a step: {table}");
        assert!(table.ends_with("3 steps: 1 passed, 1 failed, 1 skipped"), "{table}");
        assert_eq!(steps.finish().unwrap_err().to_string(), "1 of 3 steps failed");
    }

    #[test]
    fn skipped_steps_are_no_failure() {
        let mut steps = Steps::default();
        steps.note("only", Outcome::Skipped("not here".into()));
        assert!(steps.finish().is_ok());
    }
}
