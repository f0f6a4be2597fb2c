//! Models by id.

use embedkit_core::registry;
use embedkit_hub::Hub;
use embedkit_types::{LoadOptions, ModelFiles, ModelSpec, TaskKind};

use crate::Error;

/// A kind of model that can be opened by id, or by a description with its files still to be found.
pub trait Load: Sized {
    /// The task that the kind of model has.
    const TASK: TaskKind;

    /// What a caller may change beside [`LoadOptions`]; `()` where that is nothing.
    type Options: Default;

    /// Whether the model that `spec` describes can only be opened with files.
    fn needs_files(spec: &ModelSpec) -> bool {
        let _ = spec;
        true
    }

    /// Opens a model from its description and files on disk, or from its description alone where it
    /// [needs none](Self::needs_files).
    ///
    /// # Errors
    /// Those of the family.
    fn open(
        spec: &ModelSpec,
        files: Option<&ModelFiles>,
        options: &LoadOptions,
        own: &Self::Options,
    ) -> Result<Self, Error>;

    /// Opens a built-in model: its files are taken from the cache or fetched, where it needs any.
    ///
    /// # Errors
    /// An unknown id (with the closest ones), files that cannot be had, and those of the family.
    fn load(id: &str, options: LoadOptions) -> Result<Self, Error> {
        Self::load_with(id, options, &Self::Options::default())
    }

    /// [`load`](Self::load) with options of the family.
    ///
    /// # Errors
    /// As there.
    fn load_with(id: &str, options: LoadOptions, own: &Self::Options) -> Result<Self, Error> {
        Self::load_spec(registry::find_task(id, Self::TASK)?, options, own)
    }

    /// Opens a model of your own: its files are taken from the cache or fetched.
    ///
    /// # Errors
    /// Files that cannot be had, and those of the family.
    fn load_spec(
        spec: &ModelSpec,
        options: LoadOptions,
        own: &Self::Options,
    ) -> Result<Self, Error> {
        if let Some(id) = &spec.alias_of {
            tracing::warn!("{} is an old spelling of {id}", spec.id);
        }
        if let Some(notice) = &spec.notice {
            tracing::warn!("{}: {notice}", spec.id);
        }
        if !Self::needs_files(spec) {
            return Self::open(spec, None, &options, own);
        }
        let hub = Hub::from_env(options.cache_dir.clone(), options.offline)?;
        let files = hub.files(spec)?;
        Self::open(spec, Some(&files), &options, own)
    }
}

/// A kind of model that needs files: its feature, type, task, options, and what opens it.
macro_rules! load {
    ($feature:literal, $model:ty, $task:ident, $own:ty, $open:expr) => {
        #[cfg(feature = $feature)]
        impl Load for $model {
            const TASK: TaskKind = TaskKind::$task;
            type Options = $own;

            fn open(
                spec: &ModelSpec,
                files: Option<&ModelFiles>,
                options: &LoadOptions,
                own: &Self::Options,
            ) -> Result<Self, Error> {
                let open: fn(&ModelSpec, &ModelFiles, &LoadOptions, &$own) -> Result<Self, _> =
                    $open;
                let missing = || Error::NeedsFiles { id: spec.id.to_string() };
                Ok(open(spec, files.ok_or_else(missing)?, options, own)?)
            }
        }
    };
}

load!(
    "text-dense",
    embedkit_text_dense::TextEmbedding,
    TextDense,
    embedkit_text_dense::DenseOptions,
    Self::from_files_with
);
load!(
    "late-interaction",
    embedkit_late_interaction::LateInteractionTextEmbedding,
    LateText,
    (),
    |spec, files, options, ()| { Self::from_files(spec, files, options) }
);
load!(
    "multimodal",
    embedkit_late_interaction::LateInteractionMultimodalEmbedding,
    LateMultimodal,
    embedkit_image::ImageOptions,
    Self::from_files_with
);
load!(
    "image",
    embedkit_image::ImageEmbedding,
    Image,
    embedkit_image::ImageOptions,
    Self::from_files_with
);
load!("rerank", embedkit_rerank::TextCrossEncoder, Rerank, (), |spec, files, options, ()| {
    Self::from_files(spec, files, options)
});

#[cfg(any(feature = "bm25", feature = "splade", feature = "bm42", feature = "minicoil"))]
impl Load for embedkit_sparse::SparseTextEmbedding {
    const TASK: TaskKind = TaskKind::Sparse;
    type Options = embedkit_sparse::SparseOptions;

    fn needs_files(spec: &ModelSpec) -> bool {
        Self::needs_files(spec)
    }

    fn open(
        spec: &ModelSpec,
        files: Option<&ModelFiles>,
        options: &LoadOptions,
        own: &Self::Options,
    ) -> Result<Self, Error> {
        Ok(match files {
            Some(files) => Self::from_files_with(spec, files, options, own)?,
            None => Self::without_files(spec, options, own)?,
        })
    }
}
