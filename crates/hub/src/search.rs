//! The search for a model in caches, ours and those of other tools.

use embedkit_types::{ModelFiles, ModelSpec};

use crate::{
    archive,
    config::Hub,
    external,
    inspect::inspect,
    layout::{RepoDir, Repository},
    needed::needed_files,
    record,
};

/// A commit of a repository in a cache, complete for a model or not.
pub(crate) struct Located {
    pub(crate) repository: Repository,
    pub(crate) dir: RepoDir,
    pub(crate) commit: String,
    /// The needed files that are missing or damaged.
    missing: Vec<String>,
}

/// A model that is complete in a cache.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) files: ModelFiles,
    /// Empty for a model from an archive.
    pub(crate) commit: String,
}

/// Looks for a model in all caches of `hub`; otherwise the missing files of the most complete one.
pub(crate) fn find(hub: &Hub, spec: &ModelSpec) -> Result<Found, Vec<String>> {
    let mut missing = needed_files(spec).required;
    if let Some(Located { repository, dir, commit, missing: lacking }) = locate(hub, spec) {
        if lacking.is_empty() {
            let root = dir.snapshot(&commit);
            let own = repository.dir(&hub.cache_dir);
            let model = external::model_path(&own, &commit, &root, spec);
            let files = ModelFiles { model, ..ModelFiles::in_dir(root, spec) };
            return Ok(Found { files, commit });
        }
        missing = lacking;
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
    let repository = Repository::of(spec).ok()?;
    let mut best: Option<Located> = None;
    for cache in std::iter::once(&hub.cache_dir).chain(&hub.other_caches) {
        for dir in repository.dirs(cache) {
            let Some(commit) = dir.commit(repository.revision()) else { continue };
            let Some(missing) = missing(hub, &repository, &dir, &commit, spec) else { continue };
            if best.as_ref().is_none_or(|best| missing.len() < best.missing.len()) {
                best = Some(Located { repository: repository.clone(), dir, commit, missing });
            }
            if best.as_ref().is_some_and(|best| best.missing.is_empty()) {
                return best;
            }
        }
    }
    best
}

/// The required files of a model that are not there, and all of its files that are damaged.
fn missing(
    hub: &Hub,
    repository: &Repository,
    dir: &RepoDir,
    commit: &str,
    spec: &ModelSpec,
) -> Option<Vec<String>> {
    let record = record::read(dir, commit);
    let found = inspect(spec, &dir.snapshot(commit), record.as_ref()).ok()?;
    if !found.touched.is_empty() && dir.is_in(&hub.cache_dir) {
        // So that they need not be read the next time; a read-only cache stays as it is.
        let _ = record::add(dir, repository.id(), commit, &found.touched);
    }
    Some(found.missing)
}
