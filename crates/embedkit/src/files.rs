//! The files of a model that is about to be opened.

use std::path::{Path, PathBuf};

#[cfg(feature = "hub")]
use embedkit_hub::{Hub, OnEvent};
use embedkit_types::{LoadOptions, ModelFiles, ModelSpec};

#[cfg(feature = "hub")]
use crate::error::of_hub;
use crate::{Error, Load};

/// Where files are looked for: in a folder of the caller's, or in the cache and behind it the hub.
#[derive(Clone, Default)]
pub(crate) struct FileSource {
    pub(crate) dir: Option<PathBuf>,
    /// Hears of downloads.
    #[cfg(feature = "hub")]
    pub(crate) on_event: Option<OnEvent>,
}

impl FileSource {
    /// Opens a model of a family. Files are looked for only where it needs some or a folder was named.
    pub(crate) fn open<M: Load>(
        &self,
        spec: &ModelSpec,
        options: &LoadOptions,
        family_options: &M::Options,
    ) -> Result<M, Error> {
        if let Some(id) = &spec.alias_of {
            tracing::warn!("{} is an old spelling of {id}", spec.id);
        }
        if let Some(notice) = &spec.notice {
            tracing::warn!("{}: {notice}", spec.id);
        }
        let files = match &self.dir {
            Some(dir) => Some(in_dir(dir, spec)?),
            None if M::needs_files(spec) => Some(self.fetch(spec, options)?),
            None => None,
        };
        M::open(spec, files.as_ref(), options, family_options)
    }

    #[cfg(feature = "hub")]
    fn fetch(&self, spec: &ModelSpec, options: &LoadOptions) -> Result<ModelFiles, Error> {
        let mut hub = Hub::from_env(options.cache_dir.clone(), options.offline).map_err(of_hub)?;
        if let Some(on_event) = &self.on_event {
            hub = hub.with_progress(on_event.clone());
        }
        hub.files(spec).map_err(of_hub)
    }

    #[cfg(not(feature = "hub"))]
    #[expect(clippy::unused_self, reason = "the hub is compiled out")]
    fn fetch(&self, spec: &ModelSpec, _: &LoadOptions) -> Result<ModelFiles, Error> {
        Err(crate::SpecError::NeedsFiles { id: spec.id.to_string() }.into())
    }
}

#[cfg(feature = "hub")]
fn in_dir(dir: &Path, spec: &ModelSpec) -> Result<ModelFiles, Error> {
    embedkit_hub::local(dir, spec).map_err(of_hub)
}

/// The family finds out which files are missing.
#[cfg(not(feature = "hub"))]
#[expect(clippy::unnecessary_wraps, reason = "the hub looks which files are there")]
fn in_dir(dir: &Path, spec: &ModelSpec) -> Result<ModelFiles, Error> {
    Ok(ModelFiles::in_dir(dir, spec))
}
