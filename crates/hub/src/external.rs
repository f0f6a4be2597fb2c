//! External data: weights outside of the model file.
//!
//! ONNX Runtime opens external data only within the folder of the model's path, or within the folder
//! that the model file's links lead to. In a store of blobs that several repositories share, each file
//! has a folder of its own, so both would be refused. Then model and data are hard-linked side by side
//! into `models--ORG--NAME/onnx_snapshots/COMMIT` of our own cache.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use embedkit_types::ModelSpec;

use crate::{layout::RepoDir, names, staging};

/// The path to open the model file by: the one in the snapshot `root` wherever that works. Links are
/// made in `own`, the repository's folder in our own cache.
pub(crate) fn model_path(own: &RepoDir, commit: &str, root: &Path, spec: &ModelSpec) -> PathBuf {
    let plain = root.join(spec.file.as_ref());
    let together = together(spec);
    if together.len() < 2 || reachable(root, &together).unwrap_or(true) {
        return plain;
    }
    let target = own.side_by_side(commit);
    match link_all(root, &together, &target) {
        Ok(()) => target.join(spec.file.as_ref()),
        Err(error) => {
            tracing::warn!(
                model = %spec.id, %error, folder = %target.display(),
                "model and data lie in different folders and cannot be linked into one; \
                 ONNX Runtime may refuse them",
            );
            plain
        }
    }
}

/// The model file, then the additional files at or below its folder.
fn together(spec: &ModelSpec) -> Vec<&str> {
    let folder = spec.file.rfind('/').map_or("", |slash| &spec.file[..=slash]);
    let data = spec.additional_files.iter().map(AsRef::as_ref);
    std::iter::once(spec.file.as_ref())
        .chain(data.filter(|name: &&str| name.starts_with(folder) && *name != spec.file.as_ref()))
        .collect()
}

/// True if all data lie within a folder that the runtime accepts.
fn reachable(root: &Path, together: &[&str]) -> io::Result<bool> {
    let model = root.join(together[0]);
    let named = fs::canonicalize(model.parent().unwrap_or(root))?;
    let resolved = fs::canonicalize(&model)?;
    let resolved = resolved.parent().unwrap_or(root);
    for name in &together[1..] {
        let data = fs::canonicalize(root.join(name))?;
        if !data.starts_with(&named) && !data.starts_with(resolved) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn link_all(root: &Path, together: &[&str], target: &Path) -> io::Result<()> {
    for name in together {
        let path = names::file_path(name).map_err(io::Error::other)?;
        let from = fs::canonicalize(root.join(&path))?;
        let to = target.join(path);
        // A commit's file never changes, so the size tells a whole file from a damaged one.
        let same = fs::symlink_metadata(&to).is_ok_and(|meta| {
            meta.is_file() && fs::metadata(&from).is_ok_and(|f| f.len() == meta.len())
        });
        if !same {
            staging::replace(&to, |to| {
                fs::hard_link(&from, to).or_else(|_| fs::copy(&from, to).map(drop))
            })?;
        }
    }
    Ok(())
}
