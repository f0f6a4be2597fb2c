//! Weights outside of the model file: which files a graph may name.
//!
//! ONNX Runtime 1.23 opens whatever a graph names, such as `../../secret` or what a link leads to; later
//! versions do not. So that a model of a stranger reads nothing but the model with any of them, names are
//! checked before the runtime sees the graph, by the rule of the later versions: a file has to lie in the
//! folder of the model file, or in the one that the model file's links lead to. The latter is how caches
//! of the model hub have files: links to a folder of blobs.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use crate::error::{Error, probe};

/// In what the runtime takes for an address in memory, not for the name of a file.
const MEMORY_ADDRESS: &str = "_MEM_ADDR_";

/// Checks the files that the graph at `model` names as its weights.
///
/// # Errors
/// [`Error::ExternalData`] for one that the graph may not name, [`Error::Read`] for one that is not
/// there, [`Error::LfsPointer`].
pub(crate) fn check(model: &Path, names: &BTreeSet<Vec<u8>>) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let folder = model.parent().unwrap_or(Path::new(""));
    let folders = folders(model).map_err(|source| read(model, source))?;
    for name in names {
        let refuse = |reason| Error::ExternalData {
            path: model.to_owned(),
            name: String::from_utf8_lossy(name).into_owned(),
            reason,
        };
        let relative = relative(name).map_err(refuse)?;
        let file = folder.join(relative);
        let resolved = fs::canonicalize(&file).map_err(|source| read(&file, source))?;
        if !folders.iter().any(|folder| resolved.starts_with(folder)) {
            return Err(refuse("which a link leads out of the model's folder"));
        }
        // Asked before it is opened: opening a pipe would wait for its other end.
        if !resolved.is_file() {
            return Err(refuse("which is not a file"));
        }
        probe(&file)?;
    }
    Ok(())
}

/// Where files may lie, without links: the model file's folder, and the one that its links lead to.
fn folders(model: &Path) -> io::Result<[PathBuf; 2]> {
    let named = match model.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let resolved = fs::canonicalize(model)?;
    let linked = resolved.parent().unwrap_or(&resolved).to_owned();
    Ok([fs::canonicalize(named)?, linked])
}

/// A name that leads down from the model's folder, or nowhere.
fn relative(name: &[u8]) -> Result<&Path, &'static str> {
    let name = std::str::from_utf8(name).map_err(|_| "a name that is not UTF-8")?;
    if name.contains(MEMORY_ADDRESS) {
        return Err("which the runtime takes for an address in memory");
    }
    let path = Path::new(name);
    for part in path.components() {
        match part {
            Component::Normal(_) | Component::CurDir => {}
            Component::ParentDir => return Err("which leads out of the model's folder"),
            Component::RootDir | Component::Prefix(_) => return Err("which is an absolute path"),
        }
    }
    Ok(path)
}

fn read(path: &Path, source: io::Error) -> Error {
    Error::Read { path: path.to_owned(), source: Arc::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model folder with `w` in it, beside a file `secret`.
    fn model() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("model");
        fs::create_dir_all(folder.join("below/deeper")).unwrap();
        for file in ["secret", "model/model.onnx", "model/w", "model/below/deeper/w"] {
            fs::write(dir.path().join(file), "numbers").unwrap();
        }
        let model = folder.join("model.onnx");
        (dir, model)
    }

    fn attempt(model: &Path, name: &str) -> Result<(), Error> {
        check(model, &BTreeSet::from([name.as_bytes().to_vec()]))
    }

    #[track_caller]
    fn refused(model: &Path, name: &str, reason: &str) {
        let error = attempt(model, name).unwrap_err();
        assert!(matches!(error, Error::ExternalData { .. }), "{name}: {error}");
        assert!(error.to_string().contains(reason), "{name}: {error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn files_below_the_model_are_its_weights() {
        let (_dir, model) = model();
        for name in ["w", "./w", "below/deeper/w", "below//deeper/./w"] {
            attempt(&model, name).unwrap();
        }
        check(&model, &BTreeSet::new()).unwrap();
    }

    #[test]
    fn files_elsewhere_are_not() {
        let (dir, model) = model();
        refused(&model, "../secret", "leads out of the model's folder");
        refused(&model, "below/../w", "leads out of the model's folder");
        refused(&model, dir.path().join("secret").to_str().unwrap(), "absolute path");
        refused(&model, "below", "not a file");
        refused(&model, "", "not a file");
        refused(&model, "*/_ORT_MEM_ADDR_/*", "address in memory");
        let error = check(&model, &BTreeSet::from([vec![b'w', 0xff]])).unwrap_err();
        assert!(error.to_string().contains("not UTF-8"), "{error}");
        for name in ["absent", "w\0x"] {
            let error = attempt(&model, name).unwrap_err();
            assert!(matches!(error, Error::Read { .. }), "{name}: {error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_no_further_than_those_of_the_model_file() {
        use std::os::unix::fs::symlink;
        let (dir, model) = model();
        let folder = model.parent().unwrap();
        symlink("../secret", folder.join("link")).unwrap();
        refused(&model, "link", "a link leads out");
        symlink("..", folder.join("up")).unwrap();
        refused(&model, "up/secret", "a link leads out");
        symlink("below/deeper/w", folder.join("inside")).unwrap();
        attempt(&model, "inside").unwrap();
        // As a cache of the model hub has them.
        let cache = dir.path().join("cache");
        let snapshot = cache.join("snapshots/commit/onnx");
        fs::create_dir_all(&snapshot).unwrap();
        fs::create_dir_all(cache.join("blobs")).unwrap();
        for (name, blob) in [("model.onnx", "1"), ("model.onnx_data", "2")] {
            fs::write(cache.join("blobs").join(blob), "numbers").unwrap();
            symlink(format!("../../../blobs/{blob}"), snapshot.join(name)).unwrap();
        }
        let model = snapshot.join("model.onnx");
        attempt(&model, "model.onnx_data").unwrap();
        refused(&model, "../../../blobs/2", "leads out of the model's folder");
        symlink("../../../../secret", snapshot.join("other")).unwrap();
        refused(&model, "other", "a link leads out");
        // The folder itself may be a link.
        symlink(&snapshot, dir.path().join("linked")).unwrap();
        attempt(&dir.path().join("linked/model.onnx"), "model.onnx_data").unwrap();
    }
}
