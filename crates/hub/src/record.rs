//! What was downloaded, recorded beside the snapshot. Whenever a file is opened, its size and the time
//! of its last change are compared; content is hashed again where these say that it may be another,
//! and when a model is verified.

use std::{
    fs::{self, File, Metadata},
    io::Read,
    path::{Path, PathBuf},
    time::SystemTime,
};

use embedkit_types::PinnedFile;
use serde::{Deserialize, Serialize};

use crate::{Error, digest::hash_file, layout::RepoDir, staging};

/// The largest record that is read; a file takes about 150 bytes in it.
const LARGEST: u64 = 16 << 20;
const SECOND: u64 = 1_000_000_000;

/// One commit of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) repository: String,
    pub(crate) commit: String,
    pub(crate) files: Vec<RecordedFile>,
}

/// One file of a commit, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedFile {
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) sha256: String,
    /// When the file was last written to before it was hashed, in nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) modified: Option<u64>,
}

impl Record {
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("strings and numbers become JSON")
    }

    /// A record that cannot be read counts as none: it is a second opinion, not the files themselves.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let mut text = Vec::new();
        File::open(path).ok()?.take(LARGEST).read_to_end(&mut text).ok()?;
        Self::parse(&text)
    }

    pub(crate) fn file(&self, path: &str) -> Option<&RecordedFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// When a file was last written to, as it is recorded.
pub(crate) fn modified(meta: &Metadata) -> Option<u64> {
    let since = meta.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    since.as_nanos().try_into().ok()
}

/// When a file or its entry was last changed, which nobody can set, in nanoseconds since 1970, and its
/// number on the file system, where the system has them.
#[cfg(unix)]
pub(crate) fn changed_and_inode(meta: &Metadata) -> (Option<u64>, Option<u64>) {
    use std::os::unix::fs::MetadataExt;

    let seconds = meta.ctime().checked_mul(SECOND as i64);
    let nanos = seconds.and_then(|nanos| nanos.checked_add(meta.ctime_nsec()));
    (nanos.and_then(|nanos| nanos.try_into().ok()), Some(meta.ino()))
}

#[cfg(not(unix))]
pub(crate) fn changed_and_inode(_meta: &Metadata) -> (Option<u64>, Option<u64>) {
    (None, None)
}

/// Whether two times are one, of which one may have lost its fraction of a second on the way through
/// an archive or a layer of a container.
fn same_time(a: u64, b: u64) -> bool {
    a == b || (a / SECOND == b / SECOND && [a, b].iter().any(|time| time.is_multiple_of(SECOND)))
}

/// What is found where a file of a model should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Missing,
    /// Nothing speaks against it.
    Sound,
    /// It was written to since it was recorded, or never recorded, and still has the right content.
    Touched(RecordedFile),
    /// Its content is another than the recorded one.
    Damaged,
    /// Its content is another than the pinned one, which does not mean that it was changed.
    NotPinned,
}

impl Condition {
    /// Looks at the file `path`, which the repository calls `name`. It is read only where it changed
    /// since it was recorded, or where nothing but a pin is known of it.
    pub(crate) fn of(
        name: &str,
        path: &Path,
        recorded: Option<&RecordedFile>,
        pinned: Option<&PinnedFile>,
    ) -> Self {
        let Ok(meta) = fs::metadata(path) else { return Self::Missing };
        if !meta.is_file() {
            return Self::Missing;
        }
        let (size, sha256, other) = match (recorded, pinned) {
            (Some(file), Some(pin)) if file.sha256 != pin.sha256 => return Self::NotPinned,
            (Some(file), _) => (file.size, file.sha256.as_str(), Self::Damaged),
            (None, Some(pin)) => (pin.size, pin.sha256.as_ref(), Self::NotPinned),
            (None, None) => return Self::Sound,
        };
        if meta.len() != size {
            return other;
        }
        let now = modified(&meta);
        let known = match recorded {
            Some(file) => file.modified.zip(now).is_some_and(|(then, now)| same_time(then, now)),
            // The hub's tools name content by its hash.
            None => blob_name(path).is_some_and(|name| name == sha256),
        };
        if known {
            return Self::Sound;
        }
        match hash_file(path, None) {
            Ok(hashed) if hashed.sha256 == sha256 => Self::Touched(RecordedFile {
                path: name.into(),
                size,
                sha256: hashed.sha256,
                modified: now,
            }),
            Ok(_) => other,
            Err(_) => Self::Missing,
        }
    }
}

/// The name of the file that a link leads to: for the hub's tools, the hash of its content.
pub(crate) fn blob_name(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

fn path(dir: &RepoDir, commit: &str) -> PathBuf {
    dir.0.join("embedkit").join(format!("{commit}.json"))
}

/// The record of a commit.
pub(crate) fn read(dir: &RepoDir, commit: &str) -> Option<Record> {
    Record::read(&path(dir, commit))
}

/// Adds files to the record of a commit; several models may come from one repository.
pub(crate) fn add(
    dir: &RepoDir,
    repo: &str,
    commit: &str,
    files: &[RecordedFile],
) -> Result<(), Error> {
    let mut record = read(dir, commit).unwrap_or_default();
    record.repository = repo.into();
    record.commit = commit.into();
    record.files.retain(|old| !files.iter().any(|new| new.path == old.path));
    record.files.extend_from_slice(files);
    record.files.sort_by(|a, b| a.path.cmp(&b.path));
    staging::write(&path(dir, commit), &record.to_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    // `printf hello | sha256sum`
    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn only_what_changed_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let of = |recorded: Option<&RecordedFile>| Condition::of("f", &path, recorded, None);
        assert_eq!(of(None), Condition::Missing);
        fs::write(&path, "hello").unwrap();
        assert_eq!(of(None), Condition::Sound);
        let time = modified(&fs::metadata(&path).unwrap());
        let right =
            |modified| RecordedFile { path: "f".into(), size: 5, sha256: HELLO.into(), modified };
        assert_eq!(of(Some(&right(time))), Condition::Sound);
        let seconds = time.map(|time| time / SECOND * SECOND);
        assert_eq!(of(Some(&right(seconds))), Condition::Sound);
        for old in [None, time.map(|time| time - 3 * SECOND)] {
            assert_eq!(of(Some(&right(old))), Condition::Touched(right(time)));
        }
        fs::write(&path, "HELLO").unwrap();
        assert_eq!(of(Some(&right(None))), Condition::Damaged);
        // With the time as it was, only `verify` would notice.
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(time.unwrap()))
            .unwrap();
        assert_eq!(of(Some(&right(time))), Condition::Sound);
        fs::write(&path, "hell").unwrap();
        assert_eq!(of(Some(&right(time))), Condition::Damaged);
    }

    #[test]
    fn pins_stand_above_the_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "hello").unwrap();
        let pin = |sha256: &str, size| PinnedFile {
            path: "f".into(),
            size,
            sha256: sha256.to_owned().into(),
        };
        let of = |pin: &PinnedFile| Condition::of("f", &path, None, Some(pin));
        assert!(matches!(of(&pin(HELLO, 5)), Condition::Touched(_)));
        assert_eq!(of(&pin(HELLO, 6)), Condition::NotPinned);
        assert_eq!(of(&pin(&"0".repeat(64), 5)), Condition::NotPinned);
        let time = modified(&fs::metadata(&path).unwrap());
        let recorded =
            RecordedFile { path: "f".into(), size: 5, sha256: HELLO.into(), modified: time };
        let both = |pin: &PinnedFile| Condition::of("f", &path, Some(&recorded), Some(pin));
        assert_eq!(both(&pin(HELLO, 5)), Condition::Sound);
        assert_eq!(both(&pin(&"0".repeat(64), 5)), Condition::NotPinned);
    }
}
