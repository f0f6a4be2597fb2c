//! [`LateInteractionMultimodalEmbedding`], the model that applications hold.

mod config;
mod processor;
mod step;

use std::sync::Arc;

use embedkit_core::{
    Dim,
    onnx::{Row, TextGraph, TextGraphOptions},
    pipeline::{Class, Depth, Engine, Pending, QueueOptions, only},
    registry,
    tokenizer::{Padding, TokenizerOptions},
};
use embedkit_image::{ImageInput, ImageOptions};
use embedkit_types::{
    Embed, Embedded, Error, LoadOptions, ModelFiles, ModelSpec, MultiVector, MultiVectorModel,
    Role, SpecError, Task, TaskKind, Token,
};

use self::{
    processor::Processor,
    step::{ImageStep, PIXEL_VALUES, TextStep},
};
use crate::vectors::push_unit;

/// A model that turns a text, or the image of a page, into many vectors. Cheap to clone; every
/// method takes `&self`, and several threads may embed at once.
///
/// Texts are queries: the model puts its prompt before them and room for terms of its own behind
/// them. Images are documents: ColPali sees one image of fixed size, ColModernVBERT cuts a large one
/// into tiles. Vectors come as the graph gives them, which normalises them itself.
///
/// ```no_run
/// use std::path::PathBuf;
///
/// use embedkit_core::registry;
/// use embedkit_late_interaction::{LateInteractionMultimodalEmbedding, MaxSim};
/// use embedkit_types::{LoadOptions, ModelFiles, TaskKind};
///
/// let spec = registry::find_task("Qdrant/colmodernvbert", TaskKind::LateMultimodal)?;
/// let files = ModelFiles::in_dir("models/colmodernvbert", spec);
/// let options = LoadOptions::default();
/// let model = LateInteractionMultimodalEmbedding::from_files(spec, &files, &options)?;
/// let pages = ["page-1.png", "page-2.png"].map(PathBuf::from);
/// let pages: Vec<_> = model.embed_image(pages).collect::<Result<_, _>>()?;
/// for query in model.embed_text(["what was spent on travel?"]) {
///     let best = MaxSim::new(&pages)?.top_k(&query?, 1)?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct LateInteractionMultimodalEmbedding {
    model: Arc<Model>,
    texts: Engine<TextStep>,
    images: Engine<ImageStep>,
}

#[derive(Debug)]
struct Model {
    processor: Processor,
    /// One session: prompts of images are not padded to a multiple of some length.
    texts: TextGraph,
    images: TextGraph,
    registered_dim: usize,
    dim: Dim,
}

impl LateInteractionMultimodalEmbedding {
    /// Opens the model that `spec` describes from files on disk: the graph, the tokenizer's files,
    /// `preprocessor_config.json`, and for ColModernVBERT `processor_config.json` and `config.json`.
    ///
    /// With `options.dim` each vector keeps its first components and is scaled to unit
    /// length. There are no prompts to choose: those of the model are always there.
    ///
    /// # Errors
    /// A description of another family; missing or damaged files; a preprocessor that cuts tiles
    /// where the model takes none, or the reverse; a missing runtime or device; a graph that does
    /// not fit the description; options that cannot be followed.
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
        images: &ImageOptions,
    ) -> Result<Self, Error> {
        let id = spec.id.to_string();
        let Task::LateMultimodal(task) = &spec.task else {
            return Err(SpecError::wrong_task(spec, TaskKind::LateMultimodal).into());
        };
        options.check(spec)?;
        let span = tracing::info_span!("load", path = %files.root.display());
        let tokenizer_options = TokenizerOptions::of(spec, options);
        let processor =
            span.in_scope(|| Processor::load(spec, task, files, tokenizer_options, images))?;
        let padding = processor.tokenizer().padding();
        let texts = TextGraph::open(
            files,
            options,
            TextGraphOptions {
                output: task.output.clone(),
                more_outputs: Vec::new(),
                padding,
                extra_inputs: vec![PIXEL_VALUES.into()],
            },
        )?;
        let images = texts.clone().with_padding(Padding { multiple_of: 1, ..padding });
        let dim = Dim::new(id, task.dim, options.dim);
        if !options.lazy
            && let Some(found) = texts.dim()?
        {
            dim.note(found)?;
        }
        let model = Arc::new(Model { processor, texts, images, registered_dim: task.dim, dim });
        let texts = Engine::new(TextStep { model: Arc::clone(&model) }, options.batch);
        let images = ImageStep { model: Arc::clone(&model) };
        let batch = images.batch(options.batch);
        Ok(Self { model, texts, images: Engine::new(images, batch) })
    }

    /// The built-in models of this kind.
    pub fn supported_models() -> impl Iterator<Item = &'static ModelSpec> {
        registry::models().iter().filter(|spec| matches!(spec.task, Task::LateMultimodal(_)))
    }

    /// Embeds texts, which are queries to these models.
    ///
    /// Results come lazily and in input order. An error concerns the text in its place; the stream
    /// goes on behind it. Dropping the iterator stops the work.
    pub fn embed_text<I>(
        &self,
        texts: I,
    ) -> impl Iterator<Item = Result<MultiVector, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.embed_text_detailed(texts).map(|result| Ok(result?.value))
    }

    /// Embeds texts and says for each how many tokens the model saw, with those that it adds, and
    /// whether it was cut. A text that is too long loses what the model adds behind it.
    pub fn embed_text_detailed<I>(
        &self,
        texts: I,
    ) -> impl Iterator<Item = Result<Embedded<MultiVector>, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.texts.stream(texts.into_iter().map(|text| text.as_ref().to_owned()))
    }

    /// Embeds one text, such as a query.
    ///
    /// # Errors
    /// Those of loading, where the model is opened lazily, and of the text.
    pub fn embed_text_one(&self, text: &str) -> Result<MultiVector, Error> {
        only(self.embed_text([text]))
    }

    /// Embeds all texts of a slice.
    ///
    /// # Errors
    /// The first error, in input order.
    pub fn embed_text_batch(&self, texts: &[impl AsRef<str>]) -> Result<Vec<MultiVector>, Error> {
        self.embed_text(texts).collect()
    }

    /// Embeds images, which are documents to these models: paths, contents of files, or pixels.
    ///
    /// They are read and preprocessed on worker threads while others are in the graph, a few ahead
    /// of what is asked for. Results come lazily and in input order. An error concerns the
    /// image in its place; the stream goes on behind it. Dropping the iterator stops the work.
    pub fn embed_image<I>(
        &self,
        images: I,
    ) -> impl Iterator<Item = Result<MultiVector, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: Into<ImageInput>,
    {
        self.embed_image_detailed(images).map(|result| Ok(result?.value))
    }

    /// Embeds images and says for each how many tokens its prompt has. Images are never cut.
    pub fn embed_image_detailed<I>(
        &self,
        images: I,
    ) -> impl Iterator<Item = Result<Embedded<MultiVector>, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: Into<ImageInput>,
    {
        self.images.stream(images.into_iter().map(Into::into))
    }

    /// Embeds all images of a slice.
    ///
    /// # Errors
    /// The first error, in input order.
    pub fn embed_image_batch(&self, images: &[ImageInput]) -> Result<Vec<MultiVector>, Error> {
        self.embed_image(images.iter().cloned()).collect()
    }

    /// Puts texts into the model's queue.
    ///
    /// # Errors
    /// Those of loading, where the model is opened lazily, and of a queue that is full.
    pub fn submit_text(
        &self,
        texts: impl IntoIterator<Item: AsRef<str>>,
        queue: QueueOptions,
    ) -> Result<Pending<Embedded<MultiVector>>, Error> {
        let texts = texts.into_iter().map(|text| text.as_ref().to_owned());
        self.texts.pending(texts.collect(), queue)
    }

    /// Puts images into the model's queue, which is another than that of texts.
    ///
    /// # Errors
    /// Those of loading, where the model is opened lazily, and of a queue that is full.
    pub fn submit_image(
        &self,
        images: impl IntoIterator<Item: Into<ImageInput>>,
        queue: QueueOptions,
    ) -> Result<Pending<Embedded<MultiVector>>, Error> {
        self.images.pending(images.into_iter().map(Into::into).collect(), queue)
    }

    /// Load of both queues by submitted inputs of a class.
    #[must_use]
    pub fn depth(&self, class: Class) -> Depth {
        let mut depth = self.texts.depth(class);
        depth += self.images.depth(class);
        depth
    }

    /// All tokens of a text, however long it is and without prompts; with the special tokens around it where
    /// `special` is true. Needs no session.
    ///
    /// # Errors
    /// A text that the tokenizer cannot split.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error> {
        Ok(self.model.processor.tokenizer().tokenize(text, special)?)
    }

    /// The text of tokens, without special tokens where `skip_special` is true.
    ///
    /// # Errors
    /// An id that is not in the vocabulary.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        Ok(self.model.processor.tokenizer().decode(ids, skip_special)?)
    }

    /// Maximum tokens of a text, special tokens included.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.model.processor.tokenizer().limit()
    }

    /// The sum of the texts' tokens, special tokens included, after truncation; with
    /// `include_extension` of the texts with what the model puts before and behind them. Needs no
    /// session.
    ///
    /// # Errors
    /// A text that the tokenizer cannot split.
    pub fn token_count<I>(&self, texts: I, include_extension: bool) -> Result<usize, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let processor = &self.model.processor;
        let count = |text: I::Item| {
            let text = text.as_ref();
            Ok(if include_extension {
                processor.text(text)?.ids.len()
            } else {
                processor.tokenizer().encode(text)?.ids.len()
            })
        };
        texts.into_iter().map(count).sum()
    }

    /// Dimension of the vectors: the graph's own where it says so, else the registered one until the
    /// first vector has been seen. Needs no session.
    #[must_use]
    pub fn embedding_size(&self) -> usize {
        self.model.dim.kept()
    }

    /// Where the model runs, such as `cpu` or `cuda:0`.
    ///
    /// # Errors
    /// Those of loading, where the graph is opened lazily.
    pub fn device(&self) -> Result<&str, Error> {
        Ok(self.model.texts.session().device()?)
    }
}

/// Of texts, whatever their role.
impl Embed for LateInteractionMultimodalEmbedding {
    type Input = str;
    type Output = MultiVector;

    fn embed_batch(&self, _role: Role, texts: &[&str]) -> Result<Vec<MultiVector>, Error> {
        self.embed_text_batch(texts)
    }
}

impl MultiVectorModel for LateInteractionMultimodalEmbedding {
    fn embedding_size(&self) -> usize {
        Self::embedding_size(self)
    }
}

impl Model {
    /// The vectors of one input, without those of padding.
    fn vectors(&self, row: &Row<'_>) -> Result<MultiVector, Error> {
        match *row.shape {
            [_, width] if row.per_token && width > 0 => self.cut(row, width),
            _ => Err(row.shape_error("[inputs, tokens, width]").into()),
        }
    }

    /// The same for an image, whose vectors may also come as one list of numbers. Nothing tells
    /// their width then but the model's description.
    fn image_vectors(&self, row: &Row<'_>) -> Result<MultiVector, Error> {
        let width = self.registered_dim;
        match *row.shape {
            [numbers] if row.attended.checked_mul(width) == Some(numbers) => self.cut(row, width),
            _ => self.vectors(row),
        }
    }

    /// Keeps the dimensions that were asked for.
    fn cut(&self, row: &Row<'_>, width: usize) -> Result<MultiVector, Error> {
        let kept = self.dim.note(width)?;
        let mut values = Vec::with_capacity(row.values.len() / width * kept);
        if kept == width {
            values.extend_from_slice(row.values);
        } else {
            let vectors = row.values.chunks_exact(width);
            vectors.for_each(|vector| push_unit(&mut values, row, &vector[..kept]));
        }
        Ok(MultiVector::new(values, kept).expect("whole vectors, of at least one component"))
    }
}
