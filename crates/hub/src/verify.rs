//! Whether the files of a model still are what was downloaded.

use std::path::Path;

use embedkit_types::ModelSpec;

use crate::{
    Error, Hub, archive,
    digest::{Digest, hash_file},
    layout, names,
    needed::needed_files,
    record::{self, Record, blob_name},
};

/// One file of a cached model, hashed again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedFile {
    /// Its name in the repository.
    pub path: String,
    /// SHA-256 of its content, in lower-case hexadecimal digits.
    pub sha256: String,
    /// What that was compared with.
    pub outcome: Outcome,
}

/// What became of the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is the content that was downloaded.
    Same,
    /// It is other content.
    Different {
        /// The hash that it should have.
        expected: String,
        /// The hash, or the size, that it has.
        found: String,
    },
    /// Nothing is known to compare it with: neither we nor a tool that names content by its hash put
    /// it there.
    Unknown,
}

/// Hashes the cached files of `spec` and compares them with what they are pinned to, else with
/// what was recorded when they came, else with the hashes by which the hub's tools name them.
pub(crate) fn verify(hub: &Hub, spec: &ModelSpec) -> Result<Vec<VerifiedFile>, Error> {
    let needed = needed_files(spec);
    // A damaged file counts as missing for `find`; here it is what is looked for.
    let snapshot = layout::locate(hub, spec)
        .map(|found| (found.dir.snapshot(&found.commit), record::read(&found.dir, &found.commit)));
    let unpacked = || archive::recorded(hub, spec, spec.source.url.as_deref()?);
    let (root, record) = snapshot.or_else(unpacked).ok_or_else(|| Error::Missing {
        model: spec.id.to_string(),
        dir: hub.cache_dir.clone(),
        missing: needed.required.clone(),
        found: Vec::new(),
    })?;
    let required = needed.required.into_iter().map(|name| (name, true));
    let optional = needed.optional.into_iter().map(|name| (name, false));
    let (mut files, mut missing) = (Vec::new(), Vec::new());
    for (name, required) in required.chain(optional) {
        let path = root.join(names::file_path(&name)?);
        if path.is_file() {
            files.push(compare(spec, record.as_ref(), name, &path)?);
        } else if required {
            missing.push(name);
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
    name: String,
    path: &Path,
) -> Result<VerifiedFile, Error> {
    let recorded = record.and_then(|record| record.file(&name));
    let (size, expected) = match (spec.pinned(&name), recorded) {
        (Some(pin), _) => (Some(pin.size), Digest::parse(&pin.sha256)),
        (None, Some(file)) => (Some(file.size), Digest::parse(&file.sha256)),
        (None, None) => (None, blob_name(path).as_deref().and_then(Digest::parse)),
    };
    let hashed = hash_file(path, expected.as_ref())?;
    let outcome = match hashed.check(&name, size, expected.as_ref()) {
        Err(Error::Corrupt { expected, found, .. }) => Outcome::Different { expected, found },
        Err(error) => return Err(error),
        Ok(()) if expected.is_none() => Outcome::Unknown,
        Ok(()) => Outcome::Same,
    };
    Ok(VerifiedFile { path: name, sha256: hashed.sha256, outcome })
}
