//! Why a library that was found is not opened.

use std::path::{Path, PathBuf};

use embedkit_types::Hint;

use super::Origin;

/// The reason to refuse a library that was found by searching.
///
/// Opening a library runs its code, so that whoever can write it, or a folder on the way to it, could
/// run code as the user of this process. A path that the user names (in the load options or
/// `ORT_DYLIB_PATH`) is not asked these questions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The file, a folder or a link on the way to it belongs to somebody else.
    #[error("{} belongs to user {owner}, neither to user {user}, who runs this, nor to root", path.display())]
    Owner {
        /// The file, folder or link.
        path: PathBuf,
        /// Id of its owner.
        owner: u32,
        /// Effective id of the user of this process.
        user: u32,
    },
    /// Others can write the file or a folder on the way to it.
    #[error("{} can be written by {} (mode {mode:04o})", path.display(), writers(*.group))]
    Writable {
        /// The file or folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// The group whose members can write it; `None` where everybody can.
        group: Option<u32>,
    },
    /// There is no record of what was installed, or none that can be read.
    #[error("{} does not tell what was installed: {reason}", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// The content is not the installed one.
    #[error("{} is not what was installed: expected sha256 {expected}, found {found}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// SHA-256 of what was installed.
        expected: String,
        /// SHA-256 of what is there.
        found: String,
    },
    /// The system's loader would look in the current folder.
    #[error("the system's loader would take it from the current folder, {}", path.display())]
    CurrentFolder {
        /// The file there.
        path: PathBuf,
    },
    /// A file or folder cannot be looked at.
    #[error("{} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        reason: String,
    },
}

fn writers(group: Option<u32>) -> String {
    group.map_or_else(|| "everybody".to_owned(), |group| format!("group {group}"))
}

impl Refusal {
    /// A hint at the remedy, for a library that was found at `origin`.
    #[must_use]
    pub fn hint(&self, origin: Origin) -> Hint {
        let first = match self {
            Self::Owner { path, .. } => Some(format!(
                "choose a cache folder of your own with EMBEDKIT_CACHE, or take it over with `chown -h` on \
                 {}",
                shown(path)
            )),
            Self::Writable { path, .. } => Some(format!("run `chmod go-w {}`", shown(path))),
            Self::Record { .. } | Self::Changed { .. } | Self::Unreadable { .. } => None,
            Self::CurrentFolder { .. } => {
                return Hint::NameRuntime(
                    "remove empty and relative entries from the loader's search path, or go to another \
                     folder"
                        .into(),
                );
            }
        };
        Hint::ReinstallRuntime { first, installed: origin == Origin::Installed }
    }
}

/// A path as a shell takes it.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+=,:@".contains(c)) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
