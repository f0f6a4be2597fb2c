//! Errors of embedkit as errors of the engine.
//!
//! Ballista runs a task again where the root of its error is an [`io::Error`], and gives the whole query up
//! for any other. So trouble that may pass, such as with a download, a device or memory, is an `io::Error`,
//! a row that cannot be embedded is no error at all, and everything else fails at once.

use std::{error::Error as _, io};

use datafusion::error::DataFusionError;
use embedkit::{Error, ErrorKind, Hint};

/// Why a row has no result.
#[derive(Debug)]
pub(crate) enum RowError {
    /// The row is bad: it is NULL, and this is the reason.
    Bad {
        /// Class of the cause.
        kind: ErrorKind,
        /// The cause.
        reason: String,
    },
    /// The row is not to blame, so that the batch fails.
    Fatal(DataFusionError),
}

impl From<Error> for RowError {
    fn from(error: Error) -> Self {
        if is_passing(&error) {
            return Self::Fatal(passing(message(&error)));
        }
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::Offline | ErrorKind::Damaged => {
                Self::Fatal(lasting(&error))
            }
            kind => Self::Bad { kind, reason: chain(&error) },
        }
    }
}

/// The error of opening a model.
pub(crate) fn opening(error: &Error) -> DataFusionError {
    match error.kind() {
        ErrorKind::Runtime => passing(message(error)),
        _ if is_passing(error) => passing(message(error)),
        _ => lasting(error),
    }
}

/// The error of planning, such as an unknown model.
pub(crate) fn planning(error: &Error) -> DataFusionError {
    match error.kind() {
        ErrorKind::Download => passing(message(error)),
        _ => DataFusionError::Plan(message(error)),
    }
}

/// An error that the engine answers with another try.
pub(crate) fn passing(message: String) -> DataFusionError {
    DataFusionError::IoError(io::Error::other(message))
}

fn lasting(error: &Error) -> DataFusionError {
    DataFusionError::Execution(message(error))
}

/// True for trouble with the network, a device or memory.
fn is_passing(error: &Error) -> bool {
    let of_memory = matches!(error.hint(), Some(Hint::SmallerBatches | Hint::FewerThreads));
    of_memory || matches!(error.kind(), ErrorKind::Download | ErrorKind::Device | ErrorKind::Busy)
}

/// The error, its causes and its hint in one line.
fn message(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{} ({hint})", chain(error)),
        None => chain(error),
    }
}

/// The error and its causes in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "no luck")
    }

    #[test]
    fn trouble_that_may_pass_is_tried_again() {
        for kind in [ErrorKind::Download, ErrorKind::Device, ErrorKind::Busy] {
            assert!(matches!(opening(&error(kind)), DataFusionError::IoError(_)), "{kind}");
            let row = RowError::from(error(kind));
            assert!(matches!(row, RowError::Fatal(DataFusionError::IoError(_))), "{kind}");
        }
        let memory = error(ErrorKind::Runtime).with_hint(Hint::SmallerBatches);
        let row = RowError::from(memory);
        assert!(matches!(row, RowError::Fatal(DataFusionError::IoError(_))));
        assert!(matches!(opening(&error(ErrorKind::Runtime)), DataFusionError::IoError(_)));
    }

    #[test]
    fn a_bad_row_is_not_tried_again() {
        for kind in [ErrorKind::InvalidInput, ErrorKind::Runtime, ErrorKind::Cancelled] {
            assert!(matches!(RowError::from(error(kind)), RowError::Bad { .. }), "{kind}");
        }
    }

    #[test]
    fn a_missing_model_fails_at_once() {
        for kind in [ErrorKind::NotFound, ErrorKind::Damaged] {
            let row = RowError::from(error(kind));
            assert!(matches!(row, RowError::Fatal(DataFusionError::Execution(_))), "{kind}");
            assert!(matches!(opening(&error(kind)), DataFusionError::Execution(_)), "{kind}");
        }
        let hint = Hint::SimilarModels(vec!["a/b".to_owned()]);
        let unknown = planning(&error(ErrorKind::NotFound).with_hint(hint));
        assert!(
            matches!(&unknown, DataFusionError::Plan(text) if text.contains("a/b")),
            "{unknown}"
        );
    }
}
