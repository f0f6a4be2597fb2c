//! A repository of the hub that describes itself.

use std::io;

use embedkit_describe::{Files, wanted};
use embedkit_hub::{Hub, Snapshot};
use embedkit_types::{Hint, LoadOptions, Source};

use super::{Resolved, described};
use crate::{Error, error::ResolveError};

/// Largest file that a description is read from, in bytes. The largest one is the index of shards.
const LARGEST: u64 = 16 << 20;

/// A repository's list of files, with the content of those that are on disk.
struct Listed<'a> {
    hub: &'a Hub,
    snapshot: &'a Snapshot,
}

impl Files for Listed<'_> {
    fn paths(&self) -> Vec<String> {
        self.snapshot.paths().map(str::to_owned).collect()
    }

    /// Fetches the file where it is not here.
    fn read(&self, path: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        if !self.snapshot.contains(path) {
            return Ok(None);
        }
        self.hub.fetch(self.snapshot, &[path.to_owned()], LARGEST).map_err(io::Error::other)?;
        self.snapshot.read(path, most as u64).map_err(io::Error::other)
    }
}

pub(super) fn in_repository(
    id: &str,
    options: &LoadOptions,
    unknown: &Error,
) -> Result<Resolved, Error> {
    let hub = Hub::from_env(options.cache_dir.clone(), options.offline)?;
    let snapshot = hub.snapshot(id, None).map_err(|error| not_read(id, error, unknown))?;
    let files = Listed { hub: &hub, snapshot: &snapshot };
    // At once, where the description would ask for one after the other.
    hub.fetch(&snapshot, &wanted(&files.paths()), LARGEST)?;
    let mut found = described(id, &files, options)?;
    let source = Source {
        repo: Some(id.to_owned().into()),
        revision: Some(snapshot.commit().to_owned().into()),
        url: None,
    };
    for spec in &mut found.specs {
        spec.source = source.clone();
    }
    #[cfg(feature = "convert")]
    if let Some(conversion) = &found.files.conversion {
        let config = format!("{}/config.json", conversion.folder);
        let config = snapshot.on_disk(config.trim_start_matches('/'));
        if let Some(folder) = config.as_deref().and_then(std::path::Path::parent) {
            crate::files::check_checkpoint(folder, conversion)?;
        }
    }
    Ok(found)
}

/// The error for a repository that cannot be listed: of a name that may be a misspelt one, the closest
/// built-in ids are told.
fn not_read(id: &str, error: embedkit_hub::Error, unknown: &Error) -> Error {
    use embedkit_hub::Error::{Denied, NotCached, NotFound};
    if !matches!(error, NotFound { .. } | NotCached { .. } | Denied { gated: false, .. }) {
        return error.into();
    }
    let similar = match unknown.hint() {
        Some(Hint::SimilarModels(ids)) => ids.clone(),
        _ => Vec::new(),
    };
    ResolveError::NoRepository { id: id.to_owned(), similar, source: error }.into()
}
