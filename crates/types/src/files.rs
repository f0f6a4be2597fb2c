//! The files of one model on disk.

use std::path::{Path, PathBuf};

use crate::ModelSpec;

/// A folder with the files of one model, and which of them is the model itself.
///
/// Made by `embedkit-hub` from a [`ModelSpec`], or by hand for files of your own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// The folder that paths of a description begin at.
    pub root: PathBuf,
    /// The folder that holds `tokenizer.json` and its like: the root, for nearly all models.
    pub tokenizer_dir: PathBuf,
    /// The model file itself, with the folder.
    pub model: PathBuf,
}

impl ModelFiles {
    /// The files in `root` with the model file `model`, which is named with its folder. Nothing is checked.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, model: impl Into<PathBuf>) -> Self {
        let (root, model) = (root.into(), model.into());
        Self { tokenizer_dir: root.clone(), root, model }
    }

    /// The files of `spec` in `root`, with the model file at its registered path. Nothing is checked.
    #[must_use]
    pub fn in_dir(root: impl Into<PathBuf>, spec: &ModelSpec) -> Self {
        let root = root.into();
        let model = root.join(spec.file.as_ref());
        Self { tokenizer_dir: root.join(spec.folder.as_ref()), root, model }
    }

    /// The path of a file in the root of the folder.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// The path of a file beside the tokenizer.
    #[must_use]
    pub fn tokenizer_path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.tokenizer_dir.join(name)
    }
}
