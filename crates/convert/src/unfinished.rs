//! Unfinished files under temporary names. They are deleted if writing fails, and on request before a
//! signal ends the process.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

use crate::Error;

/// Paths of the unfinished files. The lock is held while a file is created and while files are renamed.
static PATHS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn paths() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    PATHS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Deletes the unfinished files of this process and then calls `end`, which ends the process, for
/// example after a signal. Until `end` returns, no file is created or renamed, so that a model and its
/// weight file appear together or not at all.
///
/// ```no_run
/// embedkit_convert::discard_unfinished(|| std::process::exit(130));
/// ```
pub fn discard_unfinished<T>(end: impl FnOnce() -> T) -> T {
    let paths = paths();
    for path in &*paths {
        // A file that is gone or cannot be deleted does not delay the end.
        let _ = fs::remove_file(path);
    }
    end()
}

/// A temporary file that is deleted unless it is renamed.
pub(crate) struct Unfinished {
    file: NamedTempFile,
    listed: Listed,
}

/// An entry of the list, removed on drop.
struct Listed(PathBuf);

impl Drop for Listed {
    fn drop(&mut self) {
        paths().remove(&self.0);
    }
}

impl Unfinished {
    /// Creates a file in the folder of `target`.
    pub(crate) fn beside(target: &Path, prefix: &str) -> io::Result<Self> {
        let folder = target.parent().filter(|parent| *parent != Path::new(""));
        let mut builder = tempfile::Builder::new();
        builder.prefix(prefix);
        #[cfg(unix)]
        {
            // Permissions follow the process's umask, as for any new file, not only the owner's.
            use std::{fs::Permissions, os::unix::fs::PermissionsExt};
            builder.permissions(Permissions::from_mode(0o666));
        }
        Self::listed(|| builder.tempfile_in(folder.unwrap_or(Path::new("."))))
    }

    /// Creates a private file in the folder for temporary files.
    #[cfg(feature = "quantize")]
    pub(crate) fn scratch() -> io::Result<Self> {
        Self::listed(NamedTempFile::new)
    }

    fn listed(create: impl FnOnce() -> io::Result<NamedTempFile>) -> io::Result<Self> {
        let mut paths = paths();
        let file = create()?;
        paths.insert(file.path().to_owned());
        Ok(Self { listed: Listed(file.path().to_owned()), file })
    }

    #[cfg(feature = "quantize")]
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Renames files in order, without an end of the process in between.
    pub(crate) fn persist<const N: usize>(files: [(Self, &Path); N]) -> Result<(), Error> {
        let (files, listed): (Vec<_>, Vec<_>) =
            files.map(|(this, path)| ((this.file, path), this.listed)).into_iter().unzip();
        let locked = paths();
        let renamed = files.into_iter().try_for_each(|(file, path)| {
            let failed = |error: tempfile::PersistError| Error::Write {
                path: path.to_owned(),
                source: error.error,
            };
            file.persist(path).map(drop).map_err(failed)
        });
        drop(locked); // which taking them off the list waits for
        drop(listed);
        renamed
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// One test, because the list belongs to the whole process and other tests write files, too.
    #[test]
    fn files_are_listed_until_they_are_complete() {
        let folder = tempfile::tempdir().unwrap();
        let listed = || paths().iter().filter(|path| path.starts_with(folder.path())).count();
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.path().join(name));
        let new = || Unfinished::beside(&a, ".writing-").unwrap();

        let (first, second) = (new(), new());
        assert_eq!((listed(), names(folder.path()).len()), (2, 2));
        Unfinished::persist([(first, &a), (second, &b)]).unwrap();
        assert_eq!(names(folder.path()), ["a", "b"]);
        assert_eq!(listed(), 0);

        drop(new());
        assert_eq!((listed(), names(folder.path()).len()), (0, 2));

        let nowhere = folder.path().join("no/where");
        let error = Unfinished::persist([(new(), &nowhere), (new(), &c)]).unwrap_err();
        assert!(matches!(&error, Error::Write { path, .. } if *path == nowhere), "{error}");
        assert_eq!((listed(), names(folder.path()).len()), (0, 2));
    }
}
