//! [`HybridTextEmbedding`], the model that applications hold.

use embedkit_core::{
    Dim,
    onnx::{TextGraph, TextGraphOptions},
    pipeline::{
        Capacity, Class, Depth, Engine, Pending, Pool, QueueOptions, RunResult, Step, Workload,
        text_estimate,
    },
    tokenizer::{Tokenizer, TokenizerOptions, Tokens},
};
use embedkit_types::{
    Embedded, Error, HybridEmbedding, LoadOptions, ModelFiles, ModelSpec, Outputs, Role, SpecError,
    Task, TaskKind, Token,
};

use crate::heads::Heads;

/// A model that turns a text into several kinds of embedding in one pass. Cheap to clone; every method takes
/// `&self`, and several threads may embed at once.
///
/// Queries and documents have the same form.
#[derive(Debug, Clone)]
pub struct HybridTextEmbedding {
    engine: Engine<Model>,
}

/// A choice that a caller may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HybridOptions {
    /// The kinds of embedding that are computed; `None` for all that the model gives.
    pub outputs: Option<Outputs>,
}

#[derive(Debug)]
struct Model {
    tokenizer: Tokenizer,
    graph: TextGraph,
    heads: Heads,
    outputs: Outputs,
    dim: Dim,
}

impl HybridTextEmbedding {
    /// Opens the model that `spec` describes from files on disk, for all kinds of embedding that it gives.
    ///
    /// # Errors
    /// A description of another family; missing or damaged files; a missing runtime or device; a graph
    /// that does not fit the description; options that have no meaning here.
    pub fn from_files(
        spec: &ModelSpec,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        Self::from_files_with(spec, files, options, &HybridOptions::default())
    }

    /// [`from_files`](Self::from_files) for some kinds of embedding.
    ///
    /// # Errors
    /// As there, and [`SpecError::NoOutput`] for a kind that the model does not give.
    pub fn from_files_with(
        spec: &ModelSpec,
        files: &ModelFiles,
        options: &LoadOptions,
        hybrid: &HybridOptions,
    ) -> Result<Self, Error> {
        let id = spec.id.to_string();
        let Task::TextHybrid(task) = &spec.task else {
            return Err(SpecError::wrong_task(spec, TaskKind::TextHybrid).into());
        };
        options.check(spec)?;
        if options.dim.is_some() {
            return Err(SpecError::UnusedOption { id, option: "dim" }.into());
        }
        let known = task.outputs();
        let outputs = hybrid.outputs.unwrap_or(known);
        if outputs.and(known) != outputs || outputs.count() == 0 {
            return Err(SpecError::NoOutput { id, asked: outputs, known }.into());
        }
        let span = tracing::info_span!("load", path = %files.root.display());
        let tokenizer =
            span.in_scope(|| Tokenizer::load_with(files, TokenizerOptions::of(spec, options)))?;
        let (heads, read) = Heads::open(task, outputs, files, &tokenizer)?;
        let mut read = read.into_iter();
        let graph = TextGraphOptions {
            output: read.next().unwrap_or(embedkit_types::GraphOutput::Index(0)),
            more_outputs: read.collect(),
            padding: tokenizer.padding(),
            extra_inputs: Vec::new(),
        };
        let graph = TextGraph::open(files, options, graph)?;
        let dim = Dim::new(id, task.dim, None);
        let model = Model { tokenizer, graph, heads, outputs, dim };
        Ok(Self { engine: Engine::new(model, options.batch) })
    }

    /// The kinds of embedding that are computed.
    #[must_use]
    pub fn outputs(&self) -> Outputs {
        self.engine.step().outputs
    }

    /// Embeds texts and says for each how many tokens it has and whether it was cut.
    pub fn embed_detailed<I>(
        &self,
        role: Role,
        texts: I,
    ) -> impl Iterator<Item = Result<Embedded<HybridEmbedding>, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let _ = role; // queries and documents have one form
        self.engine.stream(texts.into_iter().map(|text| text.as_ref().to_owned()))
    }

    /// Puts texts into the model's queue.
    ///
    /// # Errors
    /// Those of loading, where the model is opened lazily, and of a queue that is full.
    pub fn submit(
        &self,
        role: Role,
        texts: impl IntoIterator<Item: AsRef<str>>,
        queue: QueueOptions,
    ) -> Result<Pending<Embedded<HybridEmbedding>>, Error> {
        let _ = role; // queries and documents have one form
        let texts = texts.into_iter().map(|text| text.as_ref().to_owned());
        self.engine.pending(texts.collect(), queue)
    }

    /// Load of the queue by [submitted](Self::submit) texts of a class.
    #[must_use]
    pub fn depth(&self, class: Class) -> Depth {
        self.engine.depth(class)
    }

    /// All tokens of a text, however long it is and without prompts; with the special tokens around it where
    /// `special` is true. Needs no session.
    ///
    /// # Errors
    /// A text that the tokenizer cannot split.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error> {
        Ok(self.engine.step().tokenizer.tokenize(text, special)?)
    }

    /// The text of tokens, without special tokens where `skip_special` is true.
    ///
    /// # Errors
    /// An id that is not in the vocabulary.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        Ok(self.engine.step().tokenizer.decode(ids, skip_special)?)
    }

    /// Maximum tokens of a text, special tokens included.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.engine.step().tokenizer.limit()
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
        let tokenizer = &self.engine.step().tokenizer;
        texts.into_iter().map(|text| Ok(tokenizer.encode(text.as_ref())?.ids.len())).sum()
    }

    /// Dimension of `dense`: the registered one until the first has been seen. Needs no session.
    #[must_use]
    pub fn embedding_size(&self) -> usize {
        self.engine.step().dim.kept()
    }

    /// Device of the model, such as `cpu` or `cuda:0`.
    ///
    /// # Errors
    /// Those of loading, where the graph is opened lazily.
    pub fn device(&self) -> Result<&str, Error> {
        Ok(self.engine.step().graph.session().device()?)
    }
}

embedkit_core::text_front! {
    impl HybridTextEmbedding: TextHybrid => HybridEmbedding;
    /// Embeds texts.
    embed: Raw;
    /// Embeds queries, in the same form as documents.
    query_embed: Query;
    /// Embeds documents, in the same form as queries.
    passage_embed: Document;
}

impl Step for Model {
    type Input = String;
    type Prepared = Tokens;
    type Output = Embedded<HybridEmbedding>;

    fn prepare(&self, text: String) -> Result<Tokens, Error> {
        let tokens = self.tokenizer.encode(&text)?;
        self.graph.check(&tokens, |id| self.tokenizer.token(id))?;
        Ok(tokens)
    }

    fn estimate(&self, text: &String) -> usize {
        text_estimate(text.len())
    }

    fn length(&self, tokens: &Tokens) -> usize {
        self.graph.padded(tokens)
    }

    fn pool(&self, _: &Tokens) -> Result<Pool, Error> {
        Ok(Pool::new(self.graph.grouping()?))
    }

    fn capacity(&self) -> Result<Capacity, Error> {
        Ok(self.graph.session().capacity()?)
    }

    fn run(&self, workload: Workload, texts: &[Tokens]) -> RunResult<Self> {
        let mut rest = texts.iter();
        let embeddings = self.graph.run_all(workload, texts, &[], |rows| {
            let Some(tokens) = rest.next() else {
                return Err(rows[0].shape_error("one row per text").into());
            };
            let value = self.heads.finish(tokens, rows)?;
            if let Some(dense) = &value.dense {
                self.dim.note(dense.len())?;
            }
            Ok(tokens.embedded(value))
        })?;
        Ok(embeddings)
    }
}
