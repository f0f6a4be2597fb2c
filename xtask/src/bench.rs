//! `cargo xtask bench`: how fast we are, and how that compares with others on the same machine.
//!
//! Contestants are processes that measure themselves ([`contestant`]), started once and then asked
//! in turn, so that whatever else the machine does falls on all of them. All run on the same ONNX
//! file, the same ONNX Runtime, the same texts ([`corpus`]) and as many threads as there are cores,
//! and nothing is timed before their vectors are found to be equal.

mod contestant;
mod corpus;
mod dense;
mod machine;
mod peers;
mod report;
mod roofline;
mod vectors;

use std::{
    fs::{self, File, TryLockError},
    path::PathBuf,
};

use anyhow::{Context, Result, bail};

use crate::repo;

/// What is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Text to one vector: speed, latency, memory and load time, beside FastEmbed and fastembed-rs
    Dense(dense::Arguments),
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let _alone = alone()?;
    match &arguments.what {
        What::Dense(arguments) => dense::run(arguments),
    }
}

/// Everything that the benchmarks make.
fn folder() -> PathBuf {
    repo::root().join(".cache").join("bench")
}

/// Makes sure that no other benchmark of this repository runs: its files are the same, and the
/// figures of both would be worthless. The lock ends with the process, however it ends.
fn alone() -> Result<File> {
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("could not make {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another benchmark is running"),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("could not lock {}", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_benchmarks_do_not_run_at_once() {
        // The second may come from this process too: locks are of the file as it was opened.
        let Ok(_first) = alone() else { return }; // a real one is running
        let error = alone().expect_err("the first still holds the lock");
        assert_eq!(error.to_string(), "another benchmark is running");
    }
}
