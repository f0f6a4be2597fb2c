//! Models by id.

use embedkit_core::registry;
use embedkit_hub::Hub;
use embedkit_types::{LoadOptions, ModelFiles, ModelSpec};

use crate::Error;

/// A kind of model that can be opened by id, or by a description with its files still to be found.
pub trait Load: Sized {
    /// The task that the kind of model has, by the name in the registry.
    const TASK: &'static str;

    /// Opens a model from its description and files on disk.
    ///
    /// # Errors
    /// Those of the family.
    fn open(spec: &ModelSpec, files: &ModelFiles, options: &LoadOptions) -> Result<Self, Error>;

    /// Opens a built-in model: its files are taken from the cache or fetched.
    ///
    /// # Errors
    /// An unknown id (with the closest ones), files that cannot be had, and those of the family.
    fn load(id: &str, options: LoadOptions) -> Result<Self, Error> {
        Self::load_spec(registry::find_task(id, Self::TASK)?, options)
    }

    /// Opens a model of your own: its files are taken from the cache or fetched.
    ///
    /// # Errors
    /// Files that cannot be had, and those of the family.
    fn load_spec(spec: &ModelSpec, options: LoadOptions) -> Result<Self, Error> {
        if let Some(id) = &spec.alias_of {
            tracing::warn!("{} is an old spelling of {id}", spec.id);
        }
        if let Some(notice) = &spec.notice {
            tracing::warn!("{}: {notice}", spec.id);
        }
        let hub = Hub::from_env(options.cache_dir.clone(), options.offline)?;
        let files = hub.files(spec)?;
        Self::open(spec, &files, &options)
    }
}

#[cfg(feature = "text-dense")]
impl Load for embedkit_text_dense::TextEmbedding {
    const TASK: &'static str = "text-dense";

    fn open(spec: &ModelSpec, files: &ModelFiles, options: &LoadOptions) -> Result<Self, Error> {
        Ok(Self::from_files(spec, files, options)?)
    }
}
