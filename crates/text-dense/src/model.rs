//! [`TextEmbedding`], the model that applications hold.

use std::sync::Arc;

use embedkit_core::{
    Width,
    pipeline::{Grouping, RunResult, Step, Stream, Workload},
    registry,
    tokenizer::{Tokenizer, Tokens},
};
use embedkit_types::{
    BatchOptions, Embed, Embedded, Encoder, LoadOptions, ModelFiles, ModelSpec, Prompts, Role,
    Task, TextDense,
};

use crate::Error;
#[cfg(feature = "static")]
use crate::table::StaticTable;
#[cfg(feature = "transformer")]
use crate::transformer::Transformer;

/// A model that turns a text into one vector. Cheap to clone; every method takes `&self`, and
/// several threads may embed at once.
#[derive(Debug, Clone)]
pub struct TextEmbedding {
    model: Arc<Model>,
}

#[derive(Debug)]
struct Model {
    backend: Backend,
    width: Width,
    prompts: Prompts,
    batch: BatchOptions,
}

#[derive(Debug)]
enum Backend {
    #[cfg(feature = "transformer")]
    Transformer(Box<Transformer>),
    #[cfg(feature = "static")]
    Static(Box<StaticTable>),
}

impl TextEmbedding {
    /// Opens the model that `spec` describes from files on disk.
    ///
    /// # Errors
    /// A description of another family or of an encoder that this build lacks; missing or damaged
    /// files; a missing runtime or device; a graph that does not fit the description; a task or a
    /// prompt that the model does not have.
    pub fn from_files(
        spec: &ModelSpec,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        let id = spec.id.to_string();
        let Task::TextDense(task) = &spec.task else {
            return Err(Error::WrongTask { id, found: spec.task.name() });
        };
        let Some(prompts) = spec.prompts_for(&options.prompts) else {
            return Err(Error::PromptUnknown { id });
        };
        let model = Model {
            backend: Backend::open(spec, task, files, options)?,
            width: Width::new(id, task.dim, options.dimensions),
            prompts,
            batch: options.batch,
        };
        if !options.lazy
            && let Some(width) = model.backend.width()?
        {
            model.width.check(width)?;
        }
        Ok(Self { model: Arc::new(model) })
    }

    /// The built-in models of this family.
    pub fn supported_models() -> impl Iterator<Item = &'static ModelSpec> {
        registry::models().iter().filter(|spec| matches!(spec.task, Task::TextDense(_)))
    }

    /// Embeds texts as they are, as FastEmbed's `embed` does.
    ///
    /// Vectors come lazily and in input order. An error concerns the text in its place; the stream
    /// goes on behind it. Dropping the iterator stops the work.
    pub fn embed<I>(&self, texts: I) -> impl Iterator<Item = Result<Vec<f32>, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.values(Role::Raw, texts)
    }

    /// Embeds queries: with the query prompt where prompts are switched on, and as the query task of
    /// a model with tasks. Otherwise the same as [`embed`](Self::embed).
    pub fn query_embed<I>(&self, texts: I) -> impl Iterator<Item = Result<Vec<f32>, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.values(Role::Query, texts)
    }

    /// Embeds passages: with the passage prompt where prompts are switched on, and as the passage
    /// task of a model with tasks. Otherwise the same as [`embed`](Self::embed).
    pub fn passage_embed<I>(
        &self,
        texts: I,
    ) -> impl Iterator<Item = Result<Vec<f32>, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.values(Role::Document, texts)
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
        let step = TextStep { model: Arc::clone(&self.model), role };
        let texts = texts.into_iter().map(|text| text.as_ref().to_owned());
        Stream::new(step, texts, self.model.batch)
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

    /// The width of the vectors: the graph's own where it says so, else the registered one until the
    /// first vector has been seen. Needs no session.
    #[must_use]
    pub fn embedding_size(&self) -> usize {
        self.model.width.of_results()
    }

    /// Where the model runs, such as `cpu` or `cuda:0`.
    ///
    /// # Errors
    /// Those of loading, where the graph is opened lazily.
    pub fn device(&self) -> Result<&str, Error> {
        self.model.backend.device()
    }

    fn values<I>(
        &self,
        role: Role,
        texts: I,
    ) -> impl Iterator<Item = Result<Vec<f32>, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.embed_detailed(role, texts).map(|result| Ok(result?.value))
    }
}

impl Embed for TextEmbedding {
    type Input = str;
    type Output = Vec<f32>;
    type Error = Error;

    fn embed_batch(&self, role: Role, texts: &[&str]) -> Result<Vec<Vec<f32>>, Error> {
        self.values(role, texts).collect()
    }
}

impl TextEmbedding {
    /// Embeds all texts of a slice. Also the method of the trait [`Embed`].
    ///
    /// # Errors
    /// The first error, in input order.
    pub fn embed_batch(&self, role: Role, texts: &[&str]) -> Result<Vec<Vec<f32>>, Error> {
        Embed::embed_batch(self, role, texts)
    }
}

/// One stream of texts through the model.
struct TextStep {
    model: Arc<Model>,
    role: Role,
}

impl Step for TextStep {
    type Input = String;
    type Prepared = Tokens;
    type Output = Embedded<Vec<f32>>;
    type Error = Error;

    fn prepare(&self, text: String) -> Result<Tokens, Error> {
        let text = self.model.prompts.put_before(self.role, text);
        self.model.backend.encode(&text)
    }

    fn length(&self, tokens: &Tokens) -> usize {
        self.model.backend.length(tokens)
    }

    fn grouping(&self) -> Result<Grouping, Error> {
        self.model.backend.grouping()
    }

    fn lanes(&self) -> Result<usize, Error> {
        self.model.backend.lanes()
    }

    fn run(&self, workload: Workload, rows: &[Tokens]) -> RunResult<Self> {
        let vectors = self.model.backend.run(workload, self.role, rows)?;
        let finished = vectors
            .into_iter()
            .zip(rows)
            .map(|(vector, tokens)| Ok(tokens.embedded(self.model.width.cut(vector?)?)));
        Ok(finished.collect())
    }
}

impl Backend {
    fn open(
        spec: &ModelSpec,
        task: &TextDense,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        match task.encoder {
            #[cfg(feature = "transformer")]
            Encoder::Transformer => {
                Ok(Self::Transformer(Box::new(Transformer::open(spec, task, files, options)?)))
            }
            #[cfg(not(feature = "transformer"))]
            Encoder::Transformer => {
                Err(Error::NotCompiled { id: spec.id.to_string(), feature: "transformer" })
            }
            #[cfg(feature = "static")]
            Encoder::Static => {
                use embedkit_core::tokenizer::Limits;
                if let Some(task) = &options.task {
                    let (id, task) = (spec.id.to_string(), task.clone());
                    return Err(Error::UnknownTask { id, task, known: Vec::new() });
                }
                Ok(Self::Static(Box::new(StaticTable::open(files, Limits::of(spec, options))?)))
            }
            #[cfg(not(feature = "static"))]
            Encoder::Static => {
                Err(Error::NotCompiled { id: spec.id.to_string(), feature: "static" })
            }
        }
    }

    /// The width of the vectors, where it is known without running anything.
    fn width(&self) -> Result<Option<usize>, Error> {
        match self {
            #[cfg(feature = "transformer")]
            Self::Transformer(model) => model.width(),
            #[cfg(feature = "static")]
            Self::Static(model) => Ok(Some(model.width())),
        }
    }

    fn tokenizer(&self) -> &Tokenizer {
        match self {
            #[cfg(feature = "transformer")]
            Self::Transformer(model) => model.tokenizer(),
            #[cfg(feature = "static")]
            Self::Static(model) => model.tokenizer(),
        }
    }

    fn device(&self) -> Result<&str, Error> {
        match self {
            #[cfg(feature = "transformer")]
            Self::Transformer(model) => model.device(),
            #[cfg(feature = "static")]
            Self::Static(_) => Ok("cpu"),
        }
    }

    fn lanes(&self) -> Result<usize, Error> {
        match self {
            #[cfg(feature = "transformer")]
            Self::Transformer(model) => model.lanes(),
            #[cfg(feature = "static")]
            Self::Static(_) => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
        }
    }

    fn grouping(&self) -> Result<Grouping, Error> {
        match self {
            #[cfg(feature = "transformer")]
            Self::Transformer(model) => model.grouping(),
            #[cfg(feature = "static")]
            Self::Static(_) => Ok(Grouping::Any),
        }
    }

    /// The tokens of a text. Whether the model has a vector for each of them and for each position is
    /// checked here where a graph shows it; a lookup table says it when it is used.
    fn encode(&self, text: &str) -> Result<Tokens, Error> {
        let tokens = self.tokenizer().encode(text)?;
        match self {
            #[cfg(feature = "transformer")]
            Self::Transformer(model) => model.check(&tokens)?,
            #[cfg(feature = "static")]
            Self::Static(_) => {}
        }
        Ok(tokens)
    }

    fn length(&self, tokens: &Tokens) -> usize {
        match self {
            #[cfg(feature = "transformer")]
            Self::Transformer(model) => model.length(tokens),
            #[cfg(feature = "static")]
            Self::Static(_) => tokens.ids.len().max(1),
        }
    }

    #[cfg_attr(
        not(feature = "transformer"),
        expect(unused_variables, reason = "a table knows neither workloads nor roles")
    )]
    fn run(
        &self,
        workload: Workload,
        role: Role,
        rows: &[Tokens],
    ) -> Result<Vec<Result<Vec<f32>, Error>>, Error> {
        match self {
            #[cfg(feature = "transformer")]
            Self::Transformer(model) => model.run(workload, role, rows),
            #[cfg(feature = "static")]
            Self::Static(model) => Ok(rows.iter().map(|tokens| Ok(model.embed(tokens)?)).collect()),
        }
    }
}
