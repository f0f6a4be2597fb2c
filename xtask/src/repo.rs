//! Where things are in the repository.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The root of the repository: the folder above this package.
pub(crate) fn root() -> PathBuf {
    // Cargo tells a program it runs where its package is; a program started by hand is told by the
    // compiler, which is right unless the folder was moved since.
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.ends_with("xtask"))
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    package.parent().map_or_else(|| package.clone(), Path::to_owned)
}

/// Everything that is fetched or made for the demo and the tests.
pub(crate) fn assets() -> PathBuf {
    root().join(".cache").join("assets")
}

/// A path as it is best read: relative to the root of the repository where it lies in it.
pub(crate) fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
