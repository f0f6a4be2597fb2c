//! Jobs: a statement over many files, in units that are written once each.
//!
//! A job cuts its input into units (row groups of Parquet, pieces of JSONL and CSV), runs some of them at a
//! time as queries of their own, and gives each part its name when it is complete. The name is a hash of
//! everything that the part depends on. So a job that was killed goes on where it was, and a change of the
//! input, the statement, a model or an option makes other parts.

mod columns;
mod config;
mod folder;
mod key;
mod progress;
mod qdrant;
mod run;
mod source;
mod statement;
mod units;

pub use self::{
    config::{Job, QdrantConfig, RunConfig, SinkConfig, SourceConfig},
    progress::Progress,
    run::{Report, run},
    source::Format,
};
#[cfg(feature = "cluster")]
pub(crate) use source::UnitTable;

use datafusion::{arrow::error::ArrowError, error::DataFusionError, parquet::errors::ParquetError};

/// Reason why a job does not run, or stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The description of the job cannot be followed.
    #[error("{0}")]
    Config(String),
    /// A file of the input cannot be read.
    #[error("the input {file} cannot be read: {reason}")]
    Input {
        /// The file.
        file: String,
        /// Reason.
        reason: String,
    },
    /// The output cannot be written.
    #[error("{place}: {reason}")]
    Output {
        /// The folder or file.
        place: String,
        /// Reason.
        reason: String,
    },
    /// Qdrant does not take points.
    #[error("Qdrant at {url} does not take points: {reason}")]
    Qdrant {
        /// URL of the collection.
        url: String,
        /// Reason.
        reason: String,
        /// True for trouble that may pass.
        passing: bool,
    },
    /// The folder has parts that this job does not make.
    #[error(
        "{place} has {count} parts of another input, statement, model or option, such as {example} \
         (--prune removes them)"
    )]
    Foreign {
        /// The folder.
        place: String,
        /// Number of parts.
        count: usize,
        /// Name of one.
        example: String,
    },
    /// A unit failed for good.
    #[error("{unit} failed after {attempts} attempts: {cause}")]
    Unit {
        /// File and range.
        unit: String,
        /// Attempts.
        attempts: usize,
        /// The last error.
        cause: Box<JobError>,
    },
    /// The engine failed.
    #[error("{}", .0.strip_backtrace())]
    Engine(DataFusionError),
}

impl JobError {
    /// True for trouble that another attempt may not meet.
    fn is_passing(&self, on_cluster: bool) -> bool {
        match self {
            Self::Engine(error) => match error.find_root() {
                DataFusionError::IoError(_) | DataFusionError::ResourcesExhausted(_) => true,
                // What a cluster tells about its failures is text.
                DataFusionError::Plan(_)
                | DataFusionError::SchemaError(..)
                | DataFusionError::NotImplemented(_)
                | DataFusionError::Configuration(_) => false,
                _ => on_cluster,
            },
            Self::Qdrant { passing, .. } => *passing,
            _ => false,
        }
    }
}

impl From<DataFusionError> for JobError {
    fn from(error: DataFusionError) -> Self {
        Self::Engine(error)
    }
}

impl From<ArrowError> for JobError {
    fn from(error: ArrowError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<ParquetError> for JobError {
    fn from(error: ParquetError) -> Self {
        Self::Engine(error.into())
    }
}
