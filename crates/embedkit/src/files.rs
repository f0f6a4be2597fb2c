//! The files of a model that is about to be opened.

use std::path::{Path, PathBuf};

#[cfg(feature = "hub")]
use embedkit_hub::{Hub, OnEvent};
use embedkit_types::{LoadOptions, ModelFiles, ModelSpec};

use crate::Error;

/// Places to look for files: a folder of the caller's, or the cache and behind it the hub.
#[derive(Clone, Default)]
pub(crate) struct FileSource {
    pub(crate) dir: Option<PathBuf>,
    /// Hears of downloads.
    #[cfg(feature = "hub")]
    pub(crate) on_event: Option<OnEvent>,
}

impl FileSource {
    /// The files of a model; `None` where none are needed and no folder was named.
    pub(crate) fn find(
        &self,
        spec: &ModelSpec,
        options: &LoadOptions,
        needed: bool,
    ) -> Result<Option<ModelFiles>, Error> {
        match &self.dir {
            Some(dir) => in_dir(dir, spec).map(Some),
            None if needed => self.fetch(spec, options).map(Some),
            None => Ok(None),
        }
    }

    #[cfg(feature = "hub")]
    fn fetch(&self, spec: &ModelSpec, options: &LoadOptions) -> Result<ModelFiles, Error> {
        let mut hub = Hub::from_env(options.cache_dir.clone(), options.offline)?;
        if let Some(on_event) = &self.on_event {
            hub = hub.with_progress(on_event.clone());
        }
        Ok(hub.files(spec)?)
    }

    #[cfg(not(feature = "hub"))]
    #[expect(clippy::unused_self, reason = "the hub is compiled out")]
    fn fetch(&self, spec: &ModelSpec, _: &LoadOptions) -> Result<ModelFiles, Error> {
        Err(crate::SpecError::NeedsFiles { id: spec.id.to_string() }.into())
    }
}

#[cfg(feature = "hub")]
fn in_dir(dir: &Path, spec: &ModelSpec) -> Result<ModelFiles, Error> {
    Ok(embedkit_hub::local(dir, spec)?)
}

/// The family finds out which files are missing.
#[cfg(not(feature = "hub"))]
#[expect(clippy::unnecessary_wraps, reason = "the hub looks which files are there")]
fn in_dir(dir: &Path, spec: &ModelSpec) -> Result<ModelFiles, Error> {
    Ok(ModelFiles::in_dir(dir, spec))
}
