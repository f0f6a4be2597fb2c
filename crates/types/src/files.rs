//! The files of one model on disk.

use std::path::{Path, PathBuf};

use crate::ModelSpec;

/// A folder with the files of one model, and which of them is the model itself.
///
/// Made by `embedkit-hub` from a [`ModelSpec`], or by hand for files of your own. Tokenizer and
/// configuration files are looked for in the root of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// The folder that holds `tokenizer.json` and its like.
    pub root: PathBuf,
    /// The model file itself, with the folder.
    pub model: PathBuf,
}

impl ModelFiles {
    /// The files of `spec` in `root`, with the model file at its registered path. Nothing is checked.
    #[must_use]
    pub fn in_dir(root: impl Into<PathBuf>, spec: &ModelSpec) -> Self {
        let root = root.into();
        let model = root.join(spec.file.as_ref());
        Self { root, model }
    }

    /// The path of a file in the root of the folder.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }
}
