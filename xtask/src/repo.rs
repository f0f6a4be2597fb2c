//! Paths in the repository.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The root of the repository: the folder above this package.
pub(crate) fn root() -> PathBuf {
    // Cargo passes the package's path to a program that it runs. A program started directly uses the
    // compile-time path, which is right unless the folder was moved.
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.ends_with("xtask"))
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    package.parent().map_or_else(|| package.clone(), Path::to_owned)
}

/// Folder of everything that is fetched or made for the demo and the tests.
pub(crate) fn assets() -> PathBuf {
    root().join(".cache").join("assets")
}

/// A path for messages: relative to the root of the repository if it is inside.
pub(crate) fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
