//! Typed models by id.

use std::ops::Deref;

use embedkit_core::registry;
use embedkit_types::{
    Embed, LoadOptions, ModelFiles, ModelSpec, MultiVectorModel, Role, SpecError, TaskKind,
};

#[cfg(feature = "any-model")]
use crate::canary;
use crate::{Error, files::FileSource, resolve::resolve};

/// A family's model, as [`Loaded`] opens it.
pub trait Load: Sized {
    /// Task of the models.
    const TASK: TaskKind;

    /// Options of the family beside [`LoadOptions`]; `()` where there are none.
    type Options: Default;

    /// True if the model that `spec` describes can only be opened with files.
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
        family_options: &Self::Options,
    ) -> Result<Self, Error>;
}

/// A family's model with the ways to open it; it derefs to the model itself, whose methods embed.
///
/// ```no_run
/// use embedkit::{LoadOptions, TextEmbedding};
///
/// let model = TextEmbedding::load("BAAI/bge-small-en-v1.5", LoadOptions::default())?;
/// let query = model.query_embed_one("who wrote it?")?;
/// # Ok::<(), embedkit::Error>(())
/// ```
///
/// [`Model`](crate::Model) is for programs that learn the model, or its family, only when they run.
#[derive(Debug, Clone)]
pub struct Loaded<M>(M);

impl<M: Load> Loaded<M> {
    /// Opens a model by name: a built-in id, a folder, or a repository of the hub (see
    /// [`resolve`](crate::resolve)). Its files are taken from the cache or, with feature `hub`, fetched,
    /// where it needs any.
    ///
    /// # Errors
    /// An unknown id (with the closest ones), files that cannot be had or do not describe a model of this
    /// family, and those of the family.
    pub fn load(id: &str, options: LoadOptions) -> Result<Self, Error> {
        Self::load_with(id, options, &M::Options::default())
    }

    /// [`load`](Self::load) with options of the family.
    ///
    /// # Errors
    /// Same as there.
    pub fn load_with(
        id: &str,
        options: LoadOptions,
        family_options: &M::Options,
    ) -> Result<Self, Error> {
        if registry::find(id).is_ok() {
            return Self::load_spec(registry::find_task(id, M::TASK)?, options, family_options);
        }
        let found = resolve(id, &options)?;
        let of_family = |spec: &&ModelSpec| spec.task.kind() == M::TASK;
        let spec = found.specs.iter().find(of_family);
        let spec = spec.ok_or_else(|| SpecError::wrong_task(&found.specs[0], M::TASK))?;
        open(&found.files, spec, &options, family_options).map(Self)
    }

    /// Opens a model of your own: its files are taken from the cache or fetched.
    ///
    /// # Errors
    /// Files that cannot be had, and those of the family.
    #[expect(clippy::needless_pass_by_value, reason = "as in `load`")]
    pub fn load_spec(
        spec: &ModelSpec,
        options: LoadOptions,
        family_options: &M::Options,
    ) -> Result<Self, Error> {
        open(&FileSource::default(), spec, &options, family_options).map(Self)
    }

    /// Opens the model that `spec` describes from files on disk.
    ///
    /// # Errors
    /// Those of the family.
    pub fn from_files(
        spec: &ModelSpec,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        Self::from_files_with(spec, files, options, &M::Options::default())
    }

    /// [`from_files`](Self::from_files) with options of the family.
    ///
    /// # Errors
    /// Those of the family.
    pub fn from_files_with(
        spec: &ModelSpec,
        files: &ModelFiles,
        options: &LoadOptions,
        family_options: &M::Options,
    ) -> Result<Self, Error> {
        let files = FileSource::default().with_precision(spec, files.clone(), options)?;
        M::open(spec, Some(&files), options, family_options).map(Self)
    }

    /// The built-in models of the family.
    pub fn supported_models() -> impl Iterator<Item = &'static ModelSpec> {
        registry::models().iter().filter(|spec| spec.task.kind() == M::TASK)
    }
}

/// Opens a model of a family, with its files where it needs some or a folder was named.
pub(crate) fn open<M: Load>(
    files: &FileSource,
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
    let found = files.find(spec, options, M::needs_files(spec))?;
    M::open(spec, found.as_ref(), options, family_options)
}

impl<M> Loaded<M> {
    /// The family's own type.
    pub fn into_inner(self) -> M {
        self.0
    }
}

impl<M> Deref for Loaded<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.0
    }
}

impl<M: Embed> Embed for Loaded<M> {
    type Input = M::Input;
    type Output = M::Output;

    fn embed_batch(&self, role: Role, inputs: &[&Self::Input]) -> Result<Vec<Self::Output>, Error> {
        Embed::embed_batch(&self.0, role, inputs)
    }
}

impl<M: MultiVectorModel> MultiVectorModel for Loaded<M> {
    fn embedding_size(&self) -> usize {
        self.0.embedding_size()
    }
}

/// A family whose models need files: its feature, type, task, options, and how it is opened.
macro_rules! load {
    ($feature:literal, $model:ty, $task:ident, $options:ty, $open:expr) => {
        #[cfg(feature = $feature)]
        impl Load for $model {
            const TASK: TaskKind = TaskKind::$task;
            type Options = $options;

            fn open(
                spec: &ModelSpec,
                files: Option<&ModelFiles>,
                options: &LoadOptions,
                family_options: &Self::Options,
            ) -> Result<Self, Error> {
                let open: fn(
                    &ModelSpec,
                    &ModelFiles,
                    &LoadOptions,
                    &$options,
                ) -> Result<Self, Error> = $open;
                let missing = || crate::SpecError::NeedsFiles { id: spec.id.to_string() };
                let files = files.ok_or_else(missing)?;
                let model = open(spec, files, options, family_options)?;
                let subject = canary::Subject { spec, files: Some(files), options };
                canary::check(&model, subject, |on_cpu| open(spec, files, on_cpu, family_options))?;
                Ok(model)
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
    "hybrid",
    embedkit_hybrid::HybridTextEmbedding,
    TextHybrid,
    embedkit_hybrid::HybridOptions,
    Self::from_files_with
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

#[cfg(feature = "any-sparse")]
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
        family_options: &Self::Options,
    ) -> Result<Self, Error> {
        let Some(files) = files else {
            return Self::without_files(spec, options, family_options);
        };
        let open = |options: &_| Self::from_files_with(spec, files, options, family_options);
        let model = open(options)?;
        let subject = canary::Subject { spec, files: Some(files), options };
        canary::check(&model, subject, open)?;
        Ok(model)
    }
}
