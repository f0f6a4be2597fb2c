//! The hub's cache layout, read as any tool left it.
//!
//! ```text
//! CACHE/models--ORG--NAME/
//!   blobs/DIGEST                content, named by SHA-256 (large files) or git blob (small ones)
//!   refs/main                   the commit that a revision stood for
//!   snapshots/COMMIT/PATH       link to the blob, or the file itself
//!   embedkit/COMMIT.json        what we downloaded: sizes and SHA-256
//!   embedkit/damaged/NAME       what had other content than it should, moved aside
//! ```
//! Blobs may be links themselves, into a store that several repositories share.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use embedkit_types::{ModelFiles, ModelSpec};

use crate::{
    Hub, archive, external, names,
    needed::needed_files,
    record::{self, Condition},
    staging,
};

/// The revision of a model that names none.
pub(crate) const MAIN: &str = "main";

/// One repository's folder within a cache.
#[derive(Debug, Clone)]
pub(crate) struct RepoDir(pub(crate) PathBuf);

/// The revision of a model.
pub(crate) fn revision(spec: &ModelSpec) -> &str {
    spec.source.revision.as_deref().unwrap_or(MAIN)
}

/// The name of a repository's folder.
pub(crate) fn folder_name(repo: &str) -> String {
    format!("models--{}", repo.replace('/', "--"))
}

impl RepoDir {
    /// Where a repository is written.
    pub(crate) fn canonical(cache: &Path, repo: &str) -> Self {
        Self(cache.join(folder_name(repo)))
    }

    /// Where a repository may be found: under its own name, then under names that differ in case
    /// only. Repositories have been renamed so, and older caches have the old name.
    fn candidates(cache: &Path, repo: &str) -> Vec<Self> {
        let name = folder_name(repo);
        let mut found = vec![Self(cache.join(&name))];
        let Ok(entries) = fs::read_dir(cache) else { return found };
        let mut others: Vec<_> = entries
            .flatten()
            .map(|entry| entry.file_name())
            .filter(|other| {
                other.to_str().is_some_and(|o| o != name && o.eq_ignore_ascii_case(&name))
            })
            .collect();
        others.sort();
        found.extend(others.into_iter().map(|other| Self(cache.join(other))));
        found
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.0.join("snapshots").join(commit)
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.0.join("blobs")
    }

    pub(crate) fn reference(&self, revision: &str) -> PathBuf {
        revision.split('/').fold(self.0.join("refs"), |path, part| path.join(part))
    }

    /// Removes what processes that were killed left of their work on the files `names` of a commit.
    pub(crate) fn sweep<'a>(&self, commit: &str, names: impl Iterator<Item = &'a Path>) {
        let snapshot = self.snapshot(commit);
        let mut folders = vec![self.blobs(), self.0.join("refs"), self.0.join("embedkit")];
        for name in names {
            let folder = snapshot.join(name.parent().unwrap_or(Path::new("")));
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        for folder in folders {
            staging::sweep(&folder);
        }
    }

    /// Moves a file whose content is not what it should be out of the way, for whoever wants to know
    /// what became of it: only the last one of a name is kept. A file that lies elsewhere, in a store
    /// that several repositories share, stays where it is; the link to it will be replaced.
    pub(crate) fn set_aside(&self, file: &Path) {
        // A second name of the file may be in there; it is made again where it is needed.
        let _ = fs::remove_dir_all(self.0.join("onnx_snapshots"));
        let (Ok(real), Ok(dir)) = (fs::canonicalize(file), fs::canonicalize(&self.0)) else {
            return;
        };
        let Some(name) = real.file_name().filter(|_| real.starts_with(dir)) else { return };
        let damaged = self.0.join("embedkit").join("damaged");
        let target = damaged.join(name);
        // Where this fails, the file is replaced by the right one, or that fails with its reason.
        let moved = fs::create_dir_all(&damaged).and_then(|()| fs::rename(&real, &target));
        match moved {
            Ok(()) => tracing::warn!(
                file = %file.display(), to = %target.display(), "a damaged file was moved aside"
            ),
            Err(error) => tracing::warn!(
                file = %file.display(), %error, "a damaged file cannot be moved aside"
            ),
        }
    }

    /// The commit that a revision stands for here.
    fn commit(&self, revision: &str) -> Option<String> {
        if names::is_commit(revision) {
            return Some(revision.into());
        }
        let mut text = String::new();
        // A commit and perhaps a line feed; the cap is for whatever else may lie there.
        File::open(self.reference(revision)).ok()?.take(256).read_to_string(&mut text).ok()?;
        let commit = text.trim();
        // Our own are 40 hexadecimal digits, but a folder of that name is all that is needed.
        (!commit.contains('/') && names::file_path(commit).is_ok()).then(|| commit.to_owned())
    }
}

/// A commit of a repository in a cache, whether or not all files of a model are there.
pub(crate) struct Located {
    pub(crate) dir: RepoDir,
    pub(crate) commit: String,
    /// The needed files that are missing or damaged.
    missing: Vec<String>,
}

/// A model that is complete in a cache.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) files: ModelFiles,
    pub(crate) commit: String,
}

/// Looks for a model in all caches of `hub`; otherwise the files that are missing where the fewest
/// are.
pub(crate) fn find(hub: &Hub, spec: &ModelSpec) -> Result<Found, Vec<String>> {
    let mut missing = needed_files(spec).required;
    if let Some(located) = locate(hub, spec) {
        if located.missing.is_empty() {
            let root = located.dir.snapshot(&located.commit);
            let repo = spec.source.repo.as_deref().unwrap_or_default();
            let model = external::model_path(hub, repo, &located.commit, &root, spec);
            return Ok(Found { files: ModelFiles { root, model }, commit: located.commit });
        }
        missing = located.missing;
    }
    if let Some(url) = &spec.source.url {
        match archive::find(hub, spec, url) {
            Ok(files) => return Ok(Found { files, commit: String::new() }),
            Err(fewer) if fewer.len() < missing.len() => missing = fewer,
            Err(_) => {}
        }
    }
    Err(missing)
}

/// The first cache that has all files of a model, else the one that lacks the fewest; `None` where
/// none knows the revision, or where a name of the model is not a proper name.
pub(crate) fn locate(hub: &Hub, spec: &ModelSpec) -> Option<Located> {
    let required = needed_files(spec).required;
    let revision = names::revision(revision(spec)).ok()?;
    let repo = names::repo(spec.source.repo.as_deref()?).ok()?;
    if required.iter().any(|name| names::file_path(name).is_err()) {
        return None;
    }
    let mut best: Option<Located> = None;
    for cache in std::iter::once(&hub.cache_dir).chain(&hub.other_caches) {
        for dir in RepoDir::candidates(cache, repo) {
            let Some(commit) = dir.commit(revision) else { continue };
            let missing = missing(hub, &dir, &commit, spec);
            if best.as_ref().is_none_or(|best| missing.len() < best.missing.len()) {
                best = Some(Located { dir, commit, missing });
            }
            if best.as_ref().is_some_and(|best| best.missing.is_empty()) {
                return best;
            }
        }
    }
    best
}

/// The required files of a model that are not there, and all of its files that are damaged.
fn missing(hub: &Hub, dir: &RepoDir, commit: &str, spec: &ModelSpec) -> Vec<String> {
    let root = dir.snapshot(commit);
    let record = record::read(dir, commit);
    let needed = needed_files(spec);
    let (mut missing, mut touched) = (Vec::new(), Vec::new());
    let required = needed.required.into_iter().map(|name| (name, true));
    for (name, required) in required.chain(needed.optional.into_iter().map(|name| (name, false))) {
        let Ok(path) = names::file_path(&name) else { continue };
        let recorded = record.as_ref().and_then(|record| record.file(&name));
        match Condition::of(&name, &root.join(path), recorded, spec.pinned(&name)) {
            Condition::Sound => {}
            Condition::Touched(file) => touched.push(file),
            Condition::Missing if !required => {}
            Condition::Missing | Condition::Damaged | Condition::NotPinned => {
                missing.push(name);
            }
        }
    }
    if !touched.is_empty() && dir.0.starts_with(&hub.cache_dir) {
        // So that they need not be read the next time; a cache that cannot be written stays as it is.
        let repo = spec.source.repo.as_deref().unwrap_or_default();
        let _ = record::add(dir, repo, commit, &touched);
    }
    missing
}
