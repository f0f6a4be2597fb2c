//! [`ImageEmbedding`], the model that applications hold.

mod error;
mod graph;
mod step;

use embedkit_core::{
    Dim,
    pipeline::{Class, Depth, Engine, Pending, QueueOptions},
    registry,
};
use embedkit_types::{
    Embed, Embedded, Error, LoadOptions, ModelFiles, ModelSpec, Role, SpecError, Task, TaskKind,
};

pub use self::error::ImageError;
use self::graph::ImageGraph;
use crate::{DecodeOptions, ImageInput, ImageOptions, PreprocessError, Preprocessor};

/// The file that says how pixels become a tensor, in the root of a model's folder.
const CONFIGURATION: &str = "preprocessor_config.json";

/// A model that turns an image into one vector. Cheap to clone; every method takes `&self`, and
/// several threads may embed at once.
#[derive(Debug, Clone)]
pub struct ImageEmbedding {
    engine: Engine<Model>,
}

#[derive(Debug)]
struct Model {
    graph: ImageGraph,
    preprocessor: Preprocessor,
    decode: DecodeOptions,
    dim: Dim,
}

impl ImageEmbedding {
    /// Opens the model that `spec` describes from files on disk: the graph, and
    /// `preprocessor_config.json` in the root of the folder.
    ///
    /// # Errors
    /// A description of another family; missing or damaged files; a missing runtime or device; a
    /// graph that does not fit the description, or that wants more than pixels.
    pub fn from_files(
        spec: &ModelSpec,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        Self::from_files_with(spec, files, options, &ImageOptions::default())
    }

    /// [`from_files`](Self::from_files) with a choice of how images are read and preprocessed.
    ///
    /// # Errors
    /// As there.
    pub fn from_files_with(
        spec: &ModelSpec,
        files: &ModelFiles,
        options: &LoadOptions,
        image: &ImageOptions,
    ) -> Result<Self, Error> {
        let id = spec.id.to_string();
        let Task::Image(task) = &spec.task else {
            return Err(SpecError::wrong_task(spec, TaskKind::Image).into());
        };
        options.check(spec)?;
        let preprocessor =
            Preprocessor::from_file(&files.path(CONFIGURATION))?.with_options(image.preprocess);
        if preprocessor.makes_tiles() {
            let path = files.path(CONFIGURATION);
            let source = PreprocessError::WrongKind { makes_tiles: true }.into();
            return Err(PreprocessError::ConfigFile { path, source }.into());
        }
        let same_size = preprocessor.output_size().is_some();
        let model = Model {
            graph: ImageGraph::open(task, files, options, same_size)?,
            preprocessor,
            decode: image.decode,
            dim: Dim::new(id, task.dim, options.dim),
        };
        let batch = model.graph.batch();
        Ok(Self { engine: Engine::new(model, batch) })
    }

    /// The built-in models of this family.
    pub fn supported_models() -> impl Iterator<Item = &'static ModelSpec> {
        registry::models().iter().filter(|spec| matches!(spec.task, Task::Image(_)))
    }

    /// Embeds images: paths, the bytes of files, or pixels.
    ///
    /// Images are read and preprocessed by the threads that run the model. Vectors come lazily and
    /// in input order. An error concerns the image in its place and names its file; the stream goes
    /// on behind it. Dropping the iterator stops the work.
    pub fn embed<I>(&self, images: I) -> impl Iterator<Item = Result<Vec<f32>, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: Into<ImageInput>,
    {
        self.engine.stream(images.into_iter().map(Into::into))
    }

    /// [`embed`](Self::embed) in the form that all families have. An image has no tokens and is never
    /// truncated.
    pub fn embed_detailed<I>(
        &self,
        images: I,
    ) -> impl Iterator<Item = Result<Embedded<Vec<f32>>, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: Into<ImageInput>,
    {
        self.embed(images).map(|result| result.map(detailed))
    }

    /// Puts images into the model's queue.
    ///
    /// # Errors
    /// Those of loading, where the model is opened lazily, and of a queue that is full.
    pub fn submit(
        &self,
        images: impl IntoIterator<Item: Into<ImageInput>>,
        queue: QueueOptions,
    ) -> Result<Pending<Embedded<Vec<f32>>>, Error> {
        let images = images.into_iter().map(Into::into).collect();
        Ok(self.engine.pending(images, queue)?.map_ok(detailed))
    }

    /// Load of the queue by [submitted](Self::submit) images of a class.
    #[must_use]
    pub fn depth(&self, class: Class) -> Depth {
        self.engine.depth(class)
    }

    /// Embeds all images of a slice.
    ///
    /// # Errors
    /// The first error, in input order.
    pub fn embed_batch(&self, images: &[ImageInput]) -> Result<Vec<Vec<f32>>, Error> {
        self.embed(images.iter().cloned()).collect()
    }

    /// Dimension of the vectors: the registered one until the first vector has been seen. Needs no
    /// session.
    #[must_use]
    pub fn embedding_size(&self) -> usize {
        self.engine.step().dim.kept()
    }

    /// Where the model runs, such as `cpu` or `cuda:0`.
    ///
    /// # Errors
    /// Those of loading, where the graph is opened lazily.
    pub fn device(&self) -> Result<&str, Error> {
        self.engine.step().graph.device()
    }
}

/// A vector in the form that all families have.
fn detailed(value: Vec<f32>) -> Embedded<Vec<f32>> {
    Embedded { value, tokens: 0, truncated: false }
}

impl Embed for ImageEmbedding {
    type Input = ImageInput;
    type Output = Vec<f32>;

    /// The role makes no difference.
    fn embed_batch(&self, _: Role, images: &[&ImageInput]) -> Result<Vec<Vec<f32>>, Error> {
        self.embed(images.iter().map(|&image| image.clone())).collect()
    }
}
