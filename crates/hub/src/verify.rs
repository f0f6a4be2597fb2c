//! Verification of cached files: hashed again and compared.

use std::path::Path;

use embedkit_types::{FileDigest, ModelSpec};

use crate::{
    Error, Hub, archive,
    digest::{Digest, hash_file},
    inspect::blob_name,
    names,
    needed::needed_files,
    record::{self, Record},
    search,
};

/// One file of a cached model, hashed again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedFile {
    /// Its name in the repository, and the size and hash of its content now.
    pub file: FileDigest,
    /// Result of the comparison.
    pub outcome: Outcome,
}

/// Result of the comparison of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The content that was downloaded.
    Same,
    /// Other content.
    Different {
        /// The hash that it should have.
        expected: String,
        /// The hash, or the size, that it has.
        found: String,
    },
    /// Nothing to compare with: the file came neither from us nor from a tool that names content by its
    /// hash.
    Unknown,
}

/// Hashes the cached files of `spec` and compares them with their pins, else with the record of the
/// download, else with the hashes by which the hub's tools name them.
pub(crate) fn verify(hub: &Hub, spec: &ModelSpec) -> Result<Vec<VerifiedFile>, Error> {
    let needed = needed_files(spec);
    // Not `search::find`, for which a damaged file is a missing one.
    let snapshot = search::locate(hub, spec)
        .map(|found| (found.dir.snapshot(&found.commit), record::read(&found.dir, &found.commit)));
    let unpacked = || archive::recorded(hub, spec, spec.source.url.as_deref()?);
    let (root, record) = snapshot.or_else(unpacked).ok_or_else(|| Error::Missing {
        model: spec.id.to_string(),
        dir: hub.cache_dir.clone(),
        missing: needed.required.clone(),
        found: Vec::new(),
    })?;
    let (mut files, mut missing) = (Vec::new(), Vec::new());
    for (name, required) in needed.iter() {
        let path = root.join(names::file_path(name)?);
        if path.is_file() {
            files.push(compare(spec, record.as_ref(), name, &path)?);
        } else if required {
            missing.push(name.to_owned());
        }
    }
    if missing.is_empty() {
        return Ok(files);
    }
    Err(Error::Missing { model: spec.id.to_string(), dir: root, missing, found: Vec::new() })
}

fn compare(
    spec: &ModelSpec,
    record: Option<&Record>,
    name: &str,
    path: &Path,
) -> Result<VerifiedFile, Error> {
    let recorded = || record.and_then(|record| record.file(name)).map(|recorded| &recorded.file);
    let (size, expected) = match spec.pinned(name).or_else(recorded) {
        Some(file) => (Some(file.size), Digest::parse(&file.sha256)),
        None => (None, blob_name(path).as_deref().and_then(Digest::parse)),
    };
    let hashed = hash_file(path, expected.as_ref())?;
    let outcome = match hashed.check(name, size, expected.as_ref()) {
        Err(Error::Corrupt { expected, found, .. }) => Outcome::Different { expected, found },
        Err(error) => return Err(error),
        Ok(()) if expected.is_none() => Outcome::Unknown,
        Ok(()) => Outcome::Same,
    };
    Ok(VerifiedFile { file: hashed.of(name), outcome })
}
