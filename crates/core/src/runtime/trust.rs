//! Trust in a library that was found by searching: who can have written it, and for the
//! installed one, whether it still is what was installed.
//!
//! A file is looked at through the one handle by which it is hashed. Whoever could exchange it after
//! that could write its folder, which was looked at before.

#[cfg(unix)]
mod owner;
mod record;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{Origin, Refusal};

/// An error unless the library may be opened; `cache` is the folder within which an installed one lies.
pub(super) fn check(path: &Path, origin: Origin, cache: Option<&Path>) -> Result<(), Refusal> {
    match origin {
        // The user's word, and no library of ours to judge.
        Origin::Option | Origin::Variable | Origin::Linked => Ok(()),
        Origin::Installed => record::check(path, cache),
        Origin::Executable | Origin::Python => only_ours(path, None),
        // The loader alone knows where it looks. That its places are safe is the system's affair, but
        // the current folder is none of them.
        Origin::System => match in_current_folder(path) {
            Some(path) => Err(Refusal::CurrentFolder { path }),
            None => Ok(()),
        },
    }
}

/// An error where others than the user and root can write the file, its folder, or the folders up to
/// `root`. Only where the system tells: on Windows nothing is looked at.
fn only_ours(path: &Path, root: Option<&Path>) -> Result<(), Refusal> {
    #[cfg(unix)]
    return owner::check(path, root);
    #[cfg(not(unix))]
    return Ok(()).map(|()| drop((path, root)));
}

/// The file that the system's loader would find in the current folder by a bare name.
fn in_current_folder(name: &Path) -> Option<PathBuf> {
    // Windows looks there after its own folders, macOS after the search path; others do so only where
    // an entry of the search path is empty or relative.
    if cfg!(any(windows, target_os = "macos")) {
        return std::path::absolute(name).ok().filter(|path| path.exists());
    }
    let entries = std::env::var_os("LD_LIBRARY_PATH")?;
    relative_entries(&entries)
        .into_iter()
        .filter_map(|entry| std::path::absolute(entry.join(name)).ok())
        .find(|path| path.exists())
}

/// The entries of a search path that start from the current folder.
fn relative_entries(entries: &OsStr) -> Vec<PathBuf> {
    // The loader of glibc splits at semicolons, too.
    let bytes = entries.as_encoded_bytes();
    if bytes.is_empty() {
        return Vec::new(); // as if it were not set
    }
    let text = String::from_utf8_lossy(bytes);
    let entries = text.split([':', ';']).map(PathBuf::from);
    entries.filter(|entry| !entry.is_absolute()).collect()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Refusal {
    Refusal::Unreadable { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
