//! The state of a model's files in the caches.

use embedkit_types::{ModelFiles, ModelSpec};

use crate::{config::Hub, layout::Repository, search};

/// State of a model's files in the caches.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CacheState {
    /// All files are there.
    Complete(ModelFiles),
    /// Some files of its repository are there, and these are missing or damaged.
    Incomplete {
        /// Names as in the repository.
        missing: Vec<String>,
    },
    /// Nothing of its repository is there.
    Absent,
}

pub(crate) fn of(hub: &Hub, spec: &ModelSpec) -> CacheState {
    match search::find(hub, spec) {
        Ok(found) => CacheState::Complete(found.files),
        Err(missing) if has_folder(hub, spec) => CacheState::Incomplete { missing },
        Err(_) => CacheState::Absent,
    }
}

/// True if the cache has a folder for the model's repository. Those of other tools are theirs to complete.
fn has_folder(hub: &Hub, spec: &ModelSpec) -> bool {
    Repository::of(spec).is_ok_and(|repository| repository.dir(&hub.cache_dir).exists())
}
