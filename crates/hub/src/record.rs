//! What was downloaded, recorded beside the snapshot: the size of each file is compared whenever it
//! is opened, its SHA-256 when it is verified.

use std::{fs::File, io::Read, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, layout::RepoDir, staging};

/// The largest record that is read; a file takes about 150 bytes in it.
const LARGEST: u64 = 16 << 20;

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
}

impl Record {
    pub(crate) fn size(&self, path: &str) -> Option<u64> {
        self.files.iter().find(|file| file.path == path).map(|file| file.size)
    }
}

fn path(dir: &RepoDir, commit: &str) -> PathBuf {
    dir.0.join("embedkit").join(format!("{commit}.json"))
}

/// The record of a commit. A record that cannot be read counts as none: it is a second opinion, not
/// the files themselves.
pub(crate) fn read(dir: &RepoDir, commit: &str) -> Option<Record> {
    let mut text = Vec::new();
    File::open(path(dir, commit)).ok()?.take(LARGEST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
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
    let text = serde_json::to_vec_pretty(&record).expect("strings and numbers become JSON");
    staging::write(&path(dir, commit), &text)
}
