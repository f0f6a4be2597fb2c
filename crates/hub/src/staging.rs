//! Atomic writes: a file or folder is made under a unique temporary name, then renamed into place.

use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io,
    path::{Path, PathBuf},
    process,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use crate::{Error, error::DiskResult};

/// Ending of unfinished files; the hub's own tools use the same one.
const ENDING: &str = ".incomplete";

/// A file without writes for so long belongs to a process that is gone.
const STALE: Duration = Duration::from_secs(3600);

/// An unfinished file. Dropped unfinished, it is removed.
pub(crate) struct Staged {
    file: Option<File>,
    path: PathBuf,
}

impl Staged {
    /// Opens a new file beside `target`, whose folder is created. Its name is different in every
    /// process and every call.
    pub(crate) fn beside(target: &Path) -> Result<Self, Error> {
        let path = unique(target)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .or_disk("create", &path)?;
        Ok(Self { file: Some(file), path })
    }

    pub(crate) fn file(&mut self) -> &mut File {
        self.file.as_mut().expect("the file is open until it is published")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the content durable, then renames the file to `target`, in place of an earlier one.
    pub(crate) fn publish(mut self, target: &Path) -> Result<(), Error> {
        if let Some(file) = self.file.take() {
            file.sync_all().or_disk("write", &self.path)?;
        }
        fs::rename(&self.path, target).or_disk("write", target)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.file.take();
        // After `publish` there is nothing left under this name.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes a temporary folder in `parent`, which only the user can enter; removed when dropped. Its name
/// begins with `prefix`.
pub(crate) fn private_dir(parent: &Path, prefix: &str, suffix: &str) -> Result<TempDir, Error> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(suffix);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.tempdir_in(parent).or_disk("create a folder in", parent)
}

/// Makes a temporary folder in `parent`, whose content is then renamed into place there. [`sweep`]
/// removes what a killed process leaves of it.
pub(crate) fn work_dir(parent: &Path) -> Result<TempDir, Error> {
    fs::create_dir_all(parent).or_disk("create", parent)?;
    private_dir(parent, "work.embedkit-", ENDING)
}

/// Gives the folder `made` the name `place`, in place of what was there, which goes with the folder
/// `work`. Another process may do the same; either result is whole.
pub(crate) fn publish_dir(made: &Path, place: &Path, work: &Path) -> Result<(), Error> {
    for _ in 0..3 {
        if fs::rename(made, place).is_ok() {
            return Ok(());
        }
        // A folder that is not empty stands in the way.
        let _ = fs::rename(place, work.join("before")).or_else(|_| fs::remove_dir_all(place));
    }
    fs::rename(made, place).or_disk("write", place)
}

/// Makes a folder and those above it, writable by the user only, whatever the umask. An existing one
/// stays as it is.
pub(crate) fn own_folder(dir: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
    builder.create(dir).or_disk("create", dir)
}

/// Removes the write permission of group and others.
pub(crate) fn only_mine(path: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        let permissions = fs::metadata(path).or_disk("read", path)?.permissions();
        let mode = permissions.mode() & 0o7777;
        if mode & 0o022 != 0 {
            let mode = fs::Permissions::from_mode(mode & !0o022);
            fs::set_permissions(path, mode).or_disk("set the permissions of", path)?;
        }
    }
    #[cfg(not(unix))]
    let _ = path; // its folder lies within the user's own
    Ok(())
}

/// Writes a small file at once.
pub(crate) fn write(target: &Path, content: &[u8]) -> Result<(), Error> {
    let mut staged = Staged::beside(target)?;
    io::Write::write_all(staged.file(), content).or_disk("write", target)?;
    staged.publish(target)
}

/// Replaces `target` by the file that `make` puts under the temporary name given to it.
pub(crate) fn replace(target: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let path = unique(target).map_err(|error| match error {
        Error::Disk { source, .. } => source,
        other => io::Error::other(other),
    })?;
    let result = make(&path).and_then(|()| fs::rename(&path, target));
    // Where both names are links to one file, renaming does nothing and leaves the first.
    let _ = fs::remove_file(&path);
    result
}

/// Removes unfinished files and folders that killed processes left in `dir`.
pub(crate) fn sweep(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.ends_with(ENDING) && name.contains(".embedkit-"));
        let stale = || {
            let modified = entry.metadata().and_then(|meta| meta.modified()).ok()?;
            SystemTime::now().duration_since(modified).ok()
        };
        if ours && stale().is_some_and(|age| age > STALE) {
            let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
        }
    }
}

/// A name beside `target` that no other process and no other call uses.
fn unique(target: &Path) -> Result<PathBuf, Error> {
    let dir = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).or_disk("create", dir)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    // Each RandomState has keys of its own, seeded by the system.
    let nonce = RandomState::new().hash_one(SystemTime::now());
    Ok(dir.join(format!("{name}.embedkit-{}-{nonce:016x}{ENDING}", process::id())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn unfinished_files_vanish() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a");
        let mut staged = Staged::beside(&target).unwrap();
        io::Write::write_all(staged.file(), b"half").unwrap();
        assert_eq!(names(dir.path()).len(), 1);
        drop(staged);
        assert!(names(dir.path()).is_empty());
        write(&target, b"one").unwrap();
        write(&target, b"two").unwrap();
        assert_eq!(names(dir.path()), ["a"]);
        assert_eq!(fs::read(&target).unwrap(), b"two");
    }

    #[test]
    fn a_work_folder_is_private_swept_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let work = work_dir(&dir.path().join("below")).unwrap();
        let name = work.path().file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("work.embedkit-") && name.ends_with(ENDING), "{name}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(work.path()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        drop(work);
        assert!(names(&dir.path().join("below")).is_empty());
    }

    #[test]
    fn sweeping_takes_only_what_is_old_and_ours() {
        let dir = tempfile::tempdir().unwrap();
        let old = |name: &str| {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - 2 * STALE).unwrap();
        };
        old("a.embedkit-1-2.incomplete");
        old("b.incomplete");
        old("c");
        File::create(dir.path().join("d.embedkit-1-2.incomplete")).unwrap();
        sweep(dir.path());
        let mut left = names(dir.path());
        left.sort();
        assert_eq!(left, ["b.incomplete", "c", "d.embedkit-1-2.incomplete"]);
    }
}
