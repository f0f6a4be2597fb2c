//! Paths in the repository.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The root of the repository.
pub fn root() -> PathBuf {
    // Cargo passes the package's path to a program that it runs. A program started directly uses the
    // compile-time path, which is right unless the folder was moved.
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let root = package.as_deref().and_then(above);
    let compiled = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.or_else(|| above(compiled)).unwrap_or(compiled).to_owned()
}

/// The root of the repository above a package, by the table of models that lies there.
fn above(package: &Path) -> Option<&Path> {
    package.ancestors().find(|folder| folder.join("models.toml").is_file())
}

/// Folder of everything that is fetched or made for the demo and the tests.
pub fn assets() -> PathBuf {
    root().join(".cache").join("assets")
}

/// A path for messages: relative to the root of the repository if it is inside.
pub fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_above_packages_at_any_depth() {
        let root = root();
        assert!(root.join("Cargo.lock").is_file(), "{}", root.display());
        assert_eq!(above(&root.join("bench").join("harness")), Some(root.as_path()));
        assert_eq!(above(Path::new("no/such/package")), None);
    }
}
