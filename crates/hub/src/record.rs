//! The record of a download, beside the snapshot: size, hash and time of change of each file.
//!
//! Whenever a model is opened, sizes and times are compared; content is hashed again where they differ,
//! and when a model is verified.

use std::{
    fs::{File, Metadata},
    io::Read,
    path::Path,
    time::SystemTime,
};

use embedkit_types::FileDigest;
use serde::{Deserialize, Serialize};

use crate::{Error, layout::RepoDir, staging};

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

/// One file of a commit, as it was downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedFile {
    #[serde(flatten)]
    pub(crate) file: FileDigest,
    /// Time of the last write before it was hashed, in nanoseconds since 1970.
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

    /// Reads a record. A damaged one counts as none: it is a second opinion, not the files themselves.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let mut text = Vec::new();
        File::open(path).ok()?.take(LARGEST).read_to_end(&mut text).ok()?;
        Self::parse(&text)
    }

    pub(crate) fn file(&self, path: &str) -> Option<&RecordedFile> {
        self.files.iter().find(|recorded| recorded.file.path == path)
    }
}

/// Time of the last write, in nanoseconds since 1970.
pub(crate) fn modified(meta: &Metadata) -> Option<u64> {
    let since = meta.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    since.as_nanos().try_into().ok()
}

/// Time of the last change of a file or its entry, which nobody can set, in nanoseconds since 1970, and
/// the inode, where the system has them.
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

/// True if two times are equal, where one may have lost its fraction of a second in an archive or a
/// layer of a container.
pub(crate) fn same_time(a: u64, b: u64) -> bool {
    a == b || (a / SECOND == b / SECOND && [a, b].iter().any(|time| time.is_multiple_of(SECOND)))
}

/// The record of a commit.
pub(crate) fn read(dir: &RepoDir, commit: &str) -> Option<Record> {
    Record::read(&dir.record(commit))
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
    record.files.retain(|old| !files.iter().any(|new| new.file.path == old.file.path));
    record.files.extend_from_slice(files);
    record.files.sort_by(|a, b| a.file.path.cmp(&b.file.path));
    staging::write(&dir.record(commit), &record.to_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_flat_and_forgives_what_newer_versions_add() {
        let file = FileDigest { path: "a/b".into(), size: 5, sha256: "00".into() };
        let files = vec![
            RecordedFile { file: file.clone(), modified: Some(7) },
            RecordedFile { file, modified: None },
        ];
        let record = Record { repository: "r".into(), commit: "c".into(), files };
        let text = r#"{"repository":"r","commit":"c","newer":1,"files":[
            {"path":"a/b","size":5,"sha256":"00","modified":7,"newer":[]},
            {"path":"a/b","size":5,"sha256":"00"}]}"#;
        assert_eq!(Record::parse(text.as_bytes()), Some(record.clone()));
        assert_eq!(Record::parse(&record.to_json()), Some(record));
    }
}
