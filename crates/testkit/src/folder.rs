//! Folders of cases and the files in them.

use std::{fs, path::Path};

use serde::de::DeserializeOwned;

/// The names of the cases below a folder, sorted: of the folders with a description of a model.
pub(crate) fn case_names(root: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(root).unwrap_or_else(|e| panic!("cannot list {}: {e}", root.display()));
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap_or_else(|e| panic!("cannot list {}: {e}", root.display())))
        .filter(|entry| entry.path().join("spec.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// What a JSON file says.
pub(crate) fn parsed<T: DeserializeOwned>(path: &Path) -> T {
    serde_json::from_str(&read(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
