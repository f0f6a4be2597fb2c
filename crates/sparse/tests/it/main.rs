//! Sparse text embedding against FastEmbed 0.9.1.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::type_complexity, reason = "in tests")]

#[cfg(feature = "bm25")]
mod bm25;
#[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
mod graphs;
#[cfg(any(feature = "splade", feature = "bm42"))]
mod real;
#[cfg(feature = "bm25")]
mod stream;

use embedkit_core::registry;
use embedkit_types::{ModelSpec, SparseKind, Task, TaskKind};

/// The registered model.
fn spec(id: &str) -> &'static ModelSpec {
    registry::find_task(id, TaskKind::Sparse).unwrap()
}

/// The kind of the registered model.
#[cfg_attr(not(feature = "bm25"), expect(dead_code))]
fn kind(id: &str) -> &'static SparseKind {
    match &spec(id).task {
        Task::Sparse(task) => &task.kind,
        other => panic!("{}", other.name()),
    }
}
