//! Files that become visible all at once: written under a name of their own, then renamed.

use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io,
    path::{Path, PathBuf},
    process,
    time::{Duration, SystemTime},
};

use crate::{Error, error::DiskResult};

/// How unfinished files end; the hub's own tools use the same ending.
pub(crate) const ENDING: &str = ".incomplete";

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

    /// Makes the content durable, then gives it its name, in place of what was there.
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

/// Makes a folder and those above it, which nobody but the user can write whatever the process leaves
/// to others by default. One that is there stays as it is.
pub(crate) fn own_folder(dir: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
    builder.create(dir).or_disk("create", dir)
}

/// Takes the right to write from everybody but the user.
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

/// Makes `target` by `make`, which is given a name beside it; what was there is replaced.
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

/// Removes what processes that were killed left in `dir`.
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
pub(crate) fn unique(target: &Path) -> Result<PathBuf, Error> {
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
