//! A check: what was found, how bad it is, and what to do about it.

use std::{sync::mpsc, thread, time::Duration};

use anyhow::Error;
use serde::Serialize;

use crate::report::{advice, causes};

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Ok,
    /// Not looked at, because of another check or an option.
    Skipped,
    /// Something to know; embedding works.
    Warning,
    /// Something that keeps embedkit from embedding.
    Problem,
}

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One line of the page.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) level: Level,
    pub(super) found: String,
    pub(super) advice: Option<String>,
}

impl Check {
    pub(super) fn new(name: &'static str, level: Level, found: impl Into<String>) -> Self {
        Self { name, level, found: found.into(), advice: None }
    }

    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Level::Ok, found)
    }

    pub(super) fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self::new(name, Level::Skipped, why)
    }

    /// A failure with its own advice.
    pub(super) fn failed(name: &'static str, level: Level, error: &Error) -> Self {
        Self { advice: advice(error), ..Self::new(name, level, causes(error)) }
    }

    pub(super) fn advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

/// The answer to a question that may take for ever; `None` where it took longer than `limit`. The thread that
/// looks for it ends with the program.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    ask: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (tell, answer) = mpsc::channel();
    thread::Builder::new()
        .spawn(move || {
            // Nobody waits any more where it was too late.
            let _ = tell.send(ask());
        })
        .ok()?;
    answer.recv_timeout(limit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_ever() {
        let (_open, never) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(10), move || never.recv().is_ok()), None);
        assert_eq!(within(Duration::from_secs(600), || 1), Some(1));
    }
}
