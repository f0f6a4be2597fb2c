//! The same functions and jobs on a Ballista cluster: one scheduler, and executors with the models.
//!
//! Functions travel by name: client, scheduler and executors all have them. Models are opened by executors
//! alone, before they register, so that no task waits for a download.

mod client;
mod codec;
mod executor;
mod scheduler;

pub use client::connect;
pub use executor::{ExecutorOptions, run_executor};
pub use scheduler::{SchedulerOptions, run_scheduler};

use ballista_core::error::BallistaError;
use datafusion::error::DataFusionError;

/// Reason why a process of a cluster does not start, or ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// An option cannot be followed.
    #[error("{0}")]
    Option(String),
    /// A model cannot be opened, or the engine fails.
    #[error("{}", .0.strip_backtrace())]
    Engine(DataFusionError),
    /// Ballista fails.
    #[error("{0}")]
    Ballista(BallistaError),
    /// The system fails, such as with a port that is taken.
    #[error("{what}")]
    System {
        /// The operation that failed.
        what: String,
        /// Cause.
        source: std::io::Error,
    },
}

impl From<DataFusionError> for ClusterError {
    fn from(error: DataFusionError) -> Self {
        Self::Engine(error)
    }
}

impl From<BallistaError> for ClusterError {
    fn from(error: BallistaError) -> Self {
        Self::Ballista(error)
    }
}

/// Most bytes of a message between processes: plans of wide statements.
const MESSAGE_BYTES: u32 = 64 << 20;
