//! [`TextEmbedding`], the model that applications hold.

#[cfg(feature = "transformer")]
use std::borrow::Borrow;
use std::sync::Arc;
#[cfg(feature = "static")]
use std::thread::available_parallelism;

#[cfg(all(feature = "static", feature = "transformer"))]
use either::Either;
#[cfg(feature = "static")]
use embedkit_core::pipeline::{ParallelMap, Texts};
use embedkit_core::{
    Dim,
    pipeline::{Class, Depth, Pending, QueueOptions},
    tokenizer::Tokenizer,
};
#[cfg(feature = "transformer")]
use embedkit_core::{
    pipeline::{Capacity, Engine, Pool, RunResult, Step, Workload, text_estimate},
    tokenizer::Tokens,
};
use embedkit_types::{
    Embedded, Encoder, Error, LoadOptions, ModelFiles, ModelPrompts, ModelSpec, Role, SpecError,
    Task, TaskKind, TextDense, Token,
};

#[cfg(feature = "static")]
use crate::table::StaticTable;
#[cfg(feature = "transformer")]
use crate::transformer::Transformer;
use crate::{DenseOptions, WrongBuffer};

/// A model that turns a text into one vector. Cheap to clone; every method takes `&self`, and
/// several threads may embed at once.
#[derive(Debug, Clone)]
pub struct TextEmbedding {
    model: Arc<Model>,
    /// The task of raw text, of a model that has several.
    task: Option<u32>,
}

#[derive(Debug)]
struct Model {
    backend: Backend,
    rules: Arc<Rules>,
    /// Threads for a model without a graph.
    #[cfg(feature = "static")]
    threads: usize,
    /// Texts that are read ahead for it.
    #[cfg(feature = "static")]
    window: usize,
}

/// Ahead of and behind the encoder.
#[derive(Debug)]
struct Rules {
    prompts: ModelPrompts,
    dim: Dim,
}

#[derive(Debug)]
enum Backend {
    #[cfg(feature = "transformer")]
    Transformer(Engine<TextStep>),
    #[cfg(feature = "static")]
    Static(Box<StaticTable>),
}

impl TextEmbedding {
    /// Opens the model that `spec` describes from files on disk.
    ///
    /// # Errors
    /// A description of another family or of an encoder that this build lacks; missing or damaged
    /// files; a missing runtime or device; a graph that does not fit the description; options that
    /// cannot be followed.
    pub fn from_files(
        spec: &ModelSpec,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        Self::from_files_with(spec, files, options, &DenseOptions::default())
    }

    /// [`from_files`](Self::from_files) with options of the family.
    ///
    /// # Errors
    /// As there, and [`SpecError::UnknownTask`].
    pub fn from_files_with(
        spec: &ModelSpec,
        files: &ModelFiles,
        options: &LoadOptions,
        dense: &DenseOptions,
    ) -> Result<Self, Error> {
        let id = spec.id.to_string();
        let Task::TextDense(task) = &spec.task else {
            return Err(SpecError::wrong_task(spec, TaskKind::TextDense).into());
        };
        options.check(spec)?;
        let Some(prompts) = spec.prompts_for(&options.prompts) else {
            return Err(SpecError::PromptUnknown { id }.into());
        };
        let rules = Arc::new(Rules { prompts, dim: Dim::new(id, task.dim, options.dim) });
        let backend = Backend::open(spec, task, files, options, dense, &rules)?;
        if !options.lazy
            && let Some(found) = backend.dim()?
        {
            rules.dim.note(found)?;
        }
        let model = Model {
            backend,
            rules,
            // Counted once: the system's files are read for it.
            #[cfg(feature = "static")]
            threads: available_parallelism().map_or(1, usize::from),
            #[cfg(feature = "static")]
            window: options.batch.window,
        };
        Ok(Self { model: Arc::new(model), task: None })
    }

    /// The same model, whose raw texts are of another task; queries and documents have tasks of their own.
    /// Nothing is loaded: both share the graph, and batches are formed for each task.
    ///
    /// # Errors
    /// [`SpecError::UnknownTask`] for a name that the model does not have.
    pub fn with_task(&self, task: &str) -> Result<Self, Error> {
        let id = self.model.rules.dim.model();
        let task = match &self.model.backend {
            #[cfg(feature = "transformer")]
            Backend::Transformer(engine) => engine.step().transformer.find_task(id, task)?,
            #[cfg(feature = "static")]
            Backend::Static(_) => {
                let (id, task) = (id.to_owned(), task.to_owned());
                return Err(SpecError::UnknownTask { id, task, known: Vec::new() }.into());
            }
        };
        Ok(Self { model: Arc::clone(&self.model), task: Some(task) })
    }

    /// Embeds texts and says for each how many tokens the model saw and whether it was cut.
    pub fn embed_detailed<I>(
        &self,
        role: Role,
        texts: I,
    ) -> impl Iterator<Item = Result<Embedded<Vec<f32>>, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        #[cfg(feature = "static")]
        let looked_up = |texts| {
            let Model { threads, window, .. } = *self.model;
            let model = Arc::clone(&self.model);
            let embed = move |texts: &Texts| texts.map_each(|text| model.look_up(role, text));
            ParallelMap::new(texts, threads, window, embed)
        };
        #[cfg(all(feature = "static", feature = "transformer"))]
        let results = match &self.model.backend {
            Backend::Static(_) => Either::Left(looked_up(texts)),
            Backend::Transformer(engine) => Either::Right(engine.stream(self.tasked(role, texts))),
        };
        #[cfg(not(feature = "transformer"))]
        let results = looked_up(texts);
        #[cfg(not(feature = "static"))]
        let Backend::Transformer(engine) = &self.model.backend;
        #[cfg(not(feature = "static"))]
        let results = engine.stream(self.tasked(role, texts));
        results
    }

    /// Puts texts into the model's queue. A lookup table has none: it computes each vector when the
    /// result is taken.
    ///
    /// # Errors
    /// Those of loading, where the model is opened lazily, and of a queue that is full.
    pub fn submit(
        &self,
        role: Role,
        texts: impl IntoIterator<Item: AsRef<str>>,
        queue: QueueOptions,
    ) -> Result<Pending<Embedded<Vec<f32>>>, Error> {
        match &self.model.backend {
            #[cfg(feature = "transformer")]
            Backend::Transformer(engine) => {
                engine.pending(self.tasked(role, texts).collect(), queue)
            }
            #[cfg(feature = "static")]
            Backend::Static(_) => {
                let model = Arc::clone(&self.model);
                let texts = texts.into_iter().map(|text| text.as_ref().to_owned());
                let embed = move |text: String| model.look_up(role, &text);
                Ok(Pending::computed(texts.collect(), queue, embed))
            }
        }
    }

    /// Load of the queue by [submitted](Self::submit) texts of a class.
    #[must_use]
    pub fn depth(&self, class: Class) -> Depth {
        match &self.model.backend {
            #[cfg(feature = "transformer")]
            Backend::Transformer(engine) => engine.depth(class),
            #[cfg(feature = "static")]
            Backend::Static(_) => Depth::default(),
        }
    }

    /// Texts with their role and the task of raw text.
    #[cfg(feature = "transformer")]
    fn tasked<I: IntoIterator<Item: AsRef<str>>>(
        &self,
        role: Role,
        texts: I,
    ) -> impl Iterator<Item = RawText> + use<I> {
        let task = self.task;
        texts.into_iter().map(move |text| RawText { role, task, text: text.as_ref().to_owned() })
    }

    /// The sum of the texts' tokens, special tokens included, after truncation. Needs no session.
    ///
    /// # Errors
    /// A text that the tokenizer cannot split.
    pub fn token_count<I>(&self, texts: I) -> Result<usize, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let tokenizer = self.model.backend.tokenizer();
        texts.into_iter().map(|text| Ok(tokenizer.encode(text.as_ref())?.ids.len())).sum()
    }

    /// All tokens of a text, however long it is and without prompts; with the special tokens around it where
    /// `special` is true. Needs no session.
    ///
    /// # Errors
    /// A text that the tokenizer cannot split.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error> {
        Ok(self.model.backend.tokenizer().tokenize(text, special)?)
    }

    /// The text of tokens, without special tokens where `skip_special` is true.
    ///
    /// # Errors
    /// An id that is not in the vocabulary.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        Ok(self.model.backend.tokenizer().decode(ids, skip_special)?)
    }

    /// Maximum tokens of a text, special tokens included.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.model.backend.tokenizer().limit()
    }

    /// Dimension of the vectors: the graph's own where it says so, else the registered one until the
    /// first vector has been seen. Needs no session.
    #[must_use]
    pub fn embedding_size(&self) -> usize {
        self.model.rules.dim.kept()
    }

    /// Where the model runs, such as `cpu` or `cuda:0`.
    ///
    /// # Errors
    /// Those of loading, where the graph is opened lazily.
    pub fn device(&self) -> Result<&str, Error> {
        self.model.backend.device()
    }
}

embedkit_core::text_front! {
    impl TextEmbedding: TextDense => Vec<f32>;
    /// Embeds texts as they are, as FastEmbed's `embed` does.
    embed: Raw;
    /// Embeds queries: with the query prompt where prompts are switched on, and as the query task of
    /// a model with tasks. Otherwise the same as [`embed`](Self::embed).
    query_embed: Query;
    /// Embeds passages: with the passage prompt where prompts are switched on, and as the passage
    /// task of a model with tasks. Otherwise the same as [`embed`](Self::embed).
    passage_embed: Document;
}

/// Vectors as one matrix.
impl TextEmbedding {
    /// Embeds all texts of a slice into `matrix`, row by row: shape
    /// (`texts.len()`, [`embedding_size`](Self::embedding_size)).
    ///
    /// # Errors
    /// [`WrongBuffer`] for a matrix of another size, and the first error of a text, in input order; the
    /// rows before it are written.
    pub fn embed_into(
        &self,
        role: Role,
        texts: &[impl AsRef<str>],
        matrix: &mut [f32],
    ) -> Result<(), Error> {
        let (rows, found) = (texts.len(), matrix.len());
        let wrong = |dim| WrongBuffer { rows, dim, found };
        let dim = self.embedding_size();
        if rows.checked_mul(dim) != Some(found) {
            return Err(wrong(dim).into());
        }
        let rows = matrix.chunks_exact_mut(dim.max(1));
        for (row, vector) in rows.zip(self.values(role, texts)) {
            let vector = vector?;
            // The graph may turn out to have another dimension than the registered one.
            if vector.len() != dim {
                return Err(wrong(vector.len()).into());
            }
            row.copy_from_slice(&vector);
        }
        Ok(())
    }

    /// Embeds all texts of a slice as one array of shape
    /// (`texts.len()`, [`embedding_size`](Self::embedding_size)).
    ///
    /// # Errors
    /// The first error, in input order.
    #[cfg(feature = "ndarray")]
    pub fn embed_array(
        &self,
        role: Role,
        texts: &[impl AsRef<str>],
    ) -> Result<ndarray::Array2<f32>, Error> {
        let vectors = self.embed_batch(role, texts)?;
        let shape = (vectors.len(), self.embedding_size());
        let values = vectors.concat();
        Ok(ndarray::Array2::from_shape_vec(shape, values).expect("all vectors have one dimension"))
    }
}

#[cfg(feature = "static")]
impl Model {
    /// The vector of a text of a model without a graph.
    fn look_up(&self, role: Role, text: &str) -> Result<Embedded<Vec<f32>>, Error> {
        let text = self.rules.prompts.apply(role, text);
        let tokens = self.backend.tokenizer().encode(&text)?;
        let vector = match &self.backend {
            Backend::Static(table) => table.embed(&tokens)?,
            #[cfg(feature = "transformer")]
            Backend::Transformer(_) => Vec::new(),
        };
        Ok(tokens.embedded(self.rules.dim.truncate(vector)?))
    }
}

/// Texts, each with its role, through the graph.
#[cfg(feature = "transformer")]
#[derive(Debug)]
struct TextStep {
    transformer: Transformer,
    rules: Arc<Rules>,
}

/// A text that is not split yet.
#[cfg(feature = "transformer")]
struct RawText {
    role: Role,
    /// The task of raw text, where the caller has chosen one.
    task: Option<u32>,
    text: String,
}

/// A text with its task; 0 where the model has none.
#[cfg(feature = "transformer")]
struct Text {
    task: u32,
    tokens: Tokens,
}

#[cfg(feature = "transformer")]
impl Borrow<Tokens> for Text {
    fn borrow(&self) -> &Tokens {
        &self.tokens
    }
}

#[cfg(feature = "transformer")]
impl Step for TextStep {
    type Input = RawText;
    type Prepared = Text;
    type Output = Embedded<Vec<f32>>;

    fn prepare(&self, RawText { role, task, text }: RawText) -> Result<Text, Error> {
        let tokens = self.transformer.encode(&self.rules.prompts, role, text)?;
        self.transformer.check(&tokens)?;
        let chosen = task.filter(|_| role == Role::Raw);
        let task = chosen.unwrap_or_else(|| self.transformer.task_id(role));
        Ok(Text { task, tokens })
    }

    fn estimate(&self, input: &RawText) -> usize {
        text_estimate(input.text.len())
    }

    fn length(&self, text: &Text) -> usize {
        self.transformer.graph().padded(&text.tokens)
    }

    fn pool(&self, text: &Text) -> Result<Pool, Error> {
        Ok(Pool { key: text.task, grouping: self.transformer.graph().grouping()? })
    }

    fn capacity(&self) -> Result<Capacity, Error> {
        Ok(self.transformer.graph().session().capacity()?)
    }

    fn run(&self, workload: Workload, texts: &[Text]) -> RunResult<Self> {
        let Some(first) = texts.first() else { return Ok(Vec::new()) };
        let vectors = self.transformer.run(workload, first.task, texts)?;
        let results = vectors.into_iter().zip(texts);
        Ok(results
            .map(|(vector, text)| Ok(text.tokens.embedded(self.rules.dim.truncate(vector?)?)))
            .collect())
    }
}

impl Backend {
    fn open(
        spec: &ModelSpec,
        task: &TextDense,
        files: &ModelFiles,
        options: &LoadOptions,
        dense: &DenseOptions,
        rules: &Arc<Rules>,
    ) -> Result<Self, Error> {
        let _ = rules; // a table has none of its own
        match task.encoder {
            #[cfg(feature = "transformer")]
            Encoder::Transformer => {
                let transformer = Transformer::open(spec, task, files, options, dense)?;
                let step = TextStep { transformer, rules: Arc::clone(rules) };
                Ok(Self::Transformer(Engine::new(step, options.batch)))
            }
            #[cfg(not(feature = "transformer"))]
            Encoder::Transformer => Err(not_compiled(spec, "transformer")),
            #[cfg(feature = "static")]
            Encoder::Static => {
                use embedkit_core::tokenizer::TokenizerOptions;
                if let Some(task) = &dense.task {
                    let (id, task) = (spec.id.to_string(), task.clone());
                    return Err(SpecError::UnknownTask { id, task, known: Vec::new() }.into());
                }
                let options = TokenizerOptions::of(spec, options);
                Ok(Self::Static(Box::new(StaticTable::open(task, files, options)?)))
            }
            #[cfg(not(feature = "static"))]
            Encoder::Static => Err(not_compiled(spec, "static")),
        }
    }

    /// Dimension of the vectors, where it is known without running anything.
    fn dim(&self) -> Result<Option<usize>, Error> {
        match self {
            #[cfg(feature = "transformer")]
            Self::Transformer(engine) => engine.step().transformer.dim(),
            #[cfg(feature = "static")]
            Self::Static(model) => Ok(Some(model.dim())),
        }
    }

    fn tokenizer(&self) -> &Tokenizer {
        match self {
            #[cfg(feature = "transformer")]
            Self::Transformer(engine) => engine.step().transformer.tokenizer(),
            #[cfg(feature = "static")]
            Self::Static(model) => model.tokenizer(),
        }
    }

    fn device(&self) -> Result<&str, Error> {
        match self {
            #[cfg(feature = "transformer")]
            Self::Transformer(engine) => {
                Ok(engine.step().transformer.graph().session().device()?)
            }
            #[cfg(feature = "static")]
            Self::Static(_) => Ok("cpu"),
        }
    }
}

#[cfg(not(all(feature = "static", feature = "transformer")))]
fn not_compiled(spec: &ModelSpec, feature: &'static str) -> Error {
    let (id, package) = (spec.id.to_string(), env!("CARGO_PKG_NAME"));
    SpecError::NotCompiled { id, package, feature }.into()
}
