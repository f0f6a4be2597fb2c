//! Parts that the project's commands and the benchmark harness share: test assets, Python environments,
//! paths of the repository and other programs.
//!
//! ```
//! use xtask::{assets, repo};
//!
//! assert!(repo::root().join("models.toml").is_file());
//! assert!(assets::minilm().starts_with(repo::assets()));
//! ```

#![expect(clippy::print_stdout, reason = "parts of command line programs, which report progress")]

pub mod assets;
pub mod exit;
pub mod python;
pub mod repo;
pub mod run;
