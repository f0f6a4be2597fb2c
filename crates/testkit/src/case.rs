//! Tiny models with golden values, shared by all families.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use embedkit_types::{ModelFiles, ModelSpec};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::files::{parsed, read};

/// A tiny model with its golden values.
#[derive(Debug, Clone)]
pub struct Case<G> {
    /// Name of its folder.
    pub name: String,
    /// Folder with the model and the files beside it.
    pub dir: PathBuf,
    /// Description of the model, from `spec.toml`.
    pub spec: ModelSpec,
    /// Results of the original, from `golden.json`.
    pub golden: G,
}

/// Golden values of a family.
pub(crate) trait Golden: DeserializeOwned {
    /// Folder of the family's cases.
    const FOLDER: &str;

    /// Checks that the values of the case in `dir` fit together, and reads those outside `golden.json`.
    ///
    /// # Panics
    /// If they do not.
    fn complete(self, dir: &Path, spec: &ModelSpec) -> Self;
}

impl<G> Case<G> {
    /// Model file and folder.
    #[must_use]
    pub fn files(&self) -> ModelFiles {
        ModelFiles::in_dir(&self.dir, &self.spec)
    }

    /// Copies the folder for a test to damage, and returns the files there.
    ///
    /// # Panics
    /// If the copy fails.
    #[must_use]
    pub fn copy(&self) -> (TempDir, ModelFiles) {
        let dir = TempDir::new().expect("a temporary folder");
        copy_dir(&self.dir, dir.path())
            .unwrap_or_else(|e| panic!("cannot copy {}: {e}", self.dir.display()));
        let files = ModelFiles::in_dir(dir.path(), &self.spec);
        (dir, files)
    }
}

/// All cases of a family, ordered by name: the folders with a model description.
pub(crate) fn cases<G: Golden>() -> Vec<Case<G>> {
    let root = crate::data_dir().join(G::FOLDER);
    let entries =
        fs::read_dir(&root).unwrap_or_else(|e| panic!("cannot list {}: {e}", root.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap_or_else(|e| panic!("cannot list {}: {e}", root.display())))
        .filter(|entry| entry.path().join("spec.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no cases in {}", root.display());
    names.iter().map(|name| case(name)).collect()
}

/// One case of a family by name.
pub(crate) fn case<G: Golden>(name: &str) -> Case<G> {
    let dir = crate::data_dir().join(G::FOLDER).join(name);
    let spec = dir.join("spec.toml");
    let spec = toml::from_str(&read(&spec)).unwrap_or_else(|e| panic!("{}: {e}", spec.display()));
    let golden = parsed::<G>(&dir.join("golden.json")).complete(&dir, &spec);
    Case { name: name.to_owned(), dir, spec, golden }
}

fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_dir(&path, &target)?;
        } else {
            fs::copy(path, target)?;
        }
    }
    Ok(())
}
