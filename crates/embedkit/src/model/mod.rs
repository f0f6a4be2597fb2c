//! [`Model`]: any model.

pub(crate) mod backend;
mod builder;
pub(crate) mod capabilities;
pub(crate) mod difference;
mod encoders;
pub(crate) mod input;
mod opening;
pub(crate) mod output;
mod selection;
mod stream;

use std::{fmt, path::PathBuf, sync::Arc};

use embedkit_core::{
    pipeline::{Class, Depth, Pending, QueueOptions},
    registry,
};
use embedkit_types::{Embed, Embedded, ErrorKind, ModelSpec, Role, Token};

use self::{encoders::Encoders, stream::Embeddings};
use crate::{Error, Options, resolve};

pub use self::{
    builder::ModelBuilder,
    capabilities::Capabilities,
    difference::Difference,
    input::{Input, InputKind},
    output::{Output, OutputKind},
    selection::select_outputs,
    stream::StreamOptions,
};

/// Any model: dense, sparse, late-interaction, image or reranker, chosen when the program runs.
///
/// ```no_run
/// use embedkit::{Model, Options, Role};
///
/// let model = Model::load("BAAI/bge-small-en-v1.5", Options::default())?;
/// let query = model.query("who wrote it?")?;
/// for document in model.embed(Role::Document, ["a novel by Mary Shelley", "a recipe"]) {
///     println!("{}", query.score(&document?.value)?);
/// }
/// # Ok::<(), embedkit::Error>(())
/// ```
///
/// An id may stand for two encoders, of texts and of images (Jina CLIP, SigLIP 2): the kind of an input
/// decides, and each encoder is opened when it is first needed. One that gives several kinds of embedding
/// (BGE-M3) gives those of [`Options::outputs`]. A clone shares everything; every method
/// takes `&self`, and several threads may embed at once.
///
/// Results are those of the typed models, such as `TextEmbedding`.
#[derive(Clone)]
pub struct Model {
    encoders: Arc<Encoders>,
}

impl Model {
    /// Opens a model by name: a built-in id, a folder such as `./my-model`, or a repository of the hub, whose
    /// own files describe it (see [`resolve`](crate::resolve)). Its files are taken from the cache or, with
    /// feature `hub`, fetched, where it needs any.
    ///
    /// # Errors
    /// An unknown id (with the closest ones), files that cannot be had or do not describe a model, options
    /// that the model does not have, a family that this build lacks, and those of the family.
    pub fn load(id: &str, options: impl Into<Options>) -> Result<Self, Error> {
        Self::builder(id)?.options(options).open()
    }

    /// Opens a model of your own: its files are taken from the cache or fetched.
    ///
    /// # Errors
    /// Those of [`load`](Self::load), but for the id.
    pub fn load_spec(spec: &ModelSpec, options: impl Into<Options>) -> Result<Self, Error> {
        Self::builder_for([spec.clone()])?.options(options).open()
    }

    /// Opens a built-in model from a folder that is laid out like its repository. Nothing is fetched.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn from_dir(
        id: &str,
        dir: impl Into<PathBuf>,
        options: impl Into<Options>,
    ) -> Result<Self, Error> {
        Self::builder(id)?.dir(dir).options(options).open()
    }

    /// Prepares to open a model by name, with more choices than [`load`](Self::load). Nothing is read yet
    /// of a model that is not built in.
    ///
    /// # Errors
    /// An unknown id (with the closest ones) that is neither a folder nor the name of a repository.
    pub fn builder(id: &str) -> Result<ModelBuilder, Error> {
        match registry::find(id) {
            Ok(specs) => Self::builder_for(specs.into_iter().cloned()),
            Err(_) if resolve::leads_elsewhere(id) => Ok(ModelBuilder::named(id)),
            Err(unknown) => Err(unknown),
        }
    }

    /// Prepares to open a model of your own, from one description or from one for each of its encoders.
    /// Of two that take the same kind of input the first is used.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] without a description.
    pub fn builder_for(specs: impl IntoIterator<Item = ModelSpec>) -> Result<ModelBuilder, Error> {
        ModelBuilder::new(specs.into_iter().collect())
    }

    /// Id of the model, in its own spelling.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.capabilities().id
    }

    /// Inputs, outputs, and further facts of the model. Needs no encoder.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.encoders.capabilities
    }

    /// Opens the encoder for inputs of a kind now instead of at the first input.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a kind that the model does not take; those of
    /// [`load`](Self::load).
    pub fn open(&self, kind: InputKind) -> Result<(), Error> {
        self.encoders.get(kind).map(drop)
    }

    /// Embeds inputs, or scores pairs.
    ///
    /// Results come lazily and in input order. An error concerns the input in its place, such as an image
    /// for a model of texts, and the stream goes on behind it; after an encoder that cannot be opened it
    /// ends. Dropping the iterator stops the work. Of a model with two encoders one runs at a time, over
    /// a stretch of inputs of one kind: long stretches are faster.
    ///
    /// The role of a text decides on prompts, markers and tasks; images and pairs have none. A [`Role`] alone
    /// is options as well. For inputs that may be errors themselves, there is [`try_inputs`](crate::try_inputs).
    pub fn embed<'a, I, O>(
        &self,
        options: O,
        inputs: I,
    ) -> impl Iterator<Item = Result<Embedded<Output>, Error>> + Send + use<'a, I, O>
    where
        I: IntoIterator,
        I::IntoIter: Send + 'a,
        I::Item: Into<Input>,
        O: Into<StreamOptions>,
    {
        let (encoders, inputs) = (Arc::clone(&self.encoders), inputs.into_iter());
        Embeddings::new(encoders, options.into(), inputs, |backend, role, inputs| {
            backend.embed(role, inputs)
        })
    }

    /// Embeds texts as weighted terms in the order of the text, otherwise the same as [`embed`](Self::embed):
    /// for sparse models, and an error for each input of others.
    #[cfg(feature = "any-sparse")]
    pub fn embed_terms<'a, I, O>(
        &self,
        options: O,
        inputs: I,
    ) -> impl Iterator<Item = Result<Embedded<embedkit_sparse::Terms>, Error>> + Send + use<'a, I, O>
    where
        I: IntoIterator,
        I::IntoIter: Send + 'a,
        I::Item: Into<Input>,
        O: Into<StreamOptions>,
    {
        let (encoders, inputs) = (Arc::clone(&self.encoders), inputs.into_iter());
        Embeddings::new(encoders, options.into(), inputs, |backend, role, inputs| {
            backend.embed_terms(role, inputs)
        })
    }

    /// The same model, whose raw texts are of another task (Jina v3). Both share the graph.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and a task that the model does not have.
    pub fn with_task(&self, task: &str) -> Result<Self, Error> {
        Ok(Self { encoders: Arc::new(self.encoders.with_task(task)?) })
    }

    /// Puts inputs into the model's queue, where those of many callers share batches. The results are
    /// those of [`embed`](Self::embed); a [`Pending`] gives them to a thread or, on any executor, to a
    /// task. A server submits each request as [interactive](QueueOptions::INTERACTIVE); for one caller
    /// with many inputs [`embed`](Self::embed) needs less memory.
    ///
    /// ```no_run
    /// use embedkit::{Model, Options, QueueOptions, Role};
    ///
    /// # async fn handle(model: &Model) -> Result<(), embedkit::Error> {
    /// let mut results = model.submit(Role::Query, ["who wrote it?"], QueueOptions::INTERACTIVE)?;
    /// while let Some(result) = results.next_async().await {
    ///     println!("{:?}", result?.value);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Inputs of several kinds are in one queue for each encoder; where one has no room, none is kept.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an input that the model does not take, those of
    /// [`open`](Self::open), and, where the queue is full and the options say not to wait,
    /// [`ErrorKind::Busy`] with [`Hint::RetryAfter`](crate::Hint::RetryAfter).
    pub fn submit<I>(
        &self,
        role: Role,
        inputs: I,
        queue: QueueOptions,
    ) -> Result<Pending<Embedded<Output>>, Error>
    where
        I: IntoIterator,
        I::Item: Into<Input>,
    {
        // One part for each kind of input, in order of their first input.
        let mut parts: Vec<(InputKind, Vec<Input>)> = Vec::new();
        let mut order = Vec::new();
        for input in inputs.into_iter().map(Into::into) {
            let kind = input.kind();
            let part = parts.iter().position(|(of, _)| *of == kind).unwrap_or(parts.len());
            if part == parts.len() {
                parts.push((kind, Vec::new()));
            }
            parts[part].1.push(input);
            order.push(part);
        }
        let submit = |(kind, inputs)| self.encoders.get(kind)?.submit(role, inputs, queue);
        let mut pending = parts.into_iter().map(submit).collect::<Result<Vec<_>, Error>>()?;
        Ok(match (pending.pop(), pending.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                pending.extend(last);
                Pending::merged(pending, order)
            }
        })
    }

    /// Load of the queues of all encoders that are open, by submitted inputs of a class.
    #[must_use]
    pub fn depth(&self, class: Class) -> Depth {
        let mut depth = Depth::default();
        self.encoders.opened().for_each(|backend| depth += backend.depth(class));
        depth
    }

    /// Embeds one query.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and of the query.
    pub fn query(&self, query: impl Into<Input>) -> Result<Output, Error> {
        Ok(self.embed_one(Role::Query, query)?.value)
    }

    /// Embeds one document: a text, or an image.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and of the document.
    pub fn document(&self, document: impl Into<Input>) -> Result<Output, Error> {
        Ok(self.embed_one(Role::Document, document)?.value)
    }

    /// Embeds one input and says how many tokens the model saw and whether the input was cut.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and of the input.
    pub fn embed_one(
        &self,
        role: Role,
        input: impl Into<Input>,
    ) -> Result<Embedded<Output>, Error> {
        let input = input.into();
        let backend = self.encoders.get(input.kind())?;
        let none = || Err(Error::new(ErrorKind::Internal, "no result for an input"));
        backend.embed_one(role, input).unwrap_or_else(none)
    }

    /// Scores documents for a query: raw logits, higher is better, in the order of the documents.
    /// [`top_k`](crate::scoring::top_k) ranks them. For a lazy stream, [`embed`](Self::embed) takes
    /// [pairs](Input::pair).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where the model is no reranker; the first error, in input order.
    pub fn rerank<I>(&self, query: &str, documents: I) -> Result<Vec<f32>, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let backend = self.encoders.get(InputKind::Pair)?;
        let query: Arc<str> = query.into();
        let pairs: Vec<_> = documents
            .into_iter()
            .map(|document| Input::pair(Arc::clone(&query), document.as_ref()))
            .collect();
        let scores = backend.embed(Role::Raw, Box::new(pairs.into_iter()));
        scores.map(|score| score?.value.into_score()).collect()
    }

    /// The sum of the inputs' tokens, special tokens included, after truncation: without prompts and
    /// without those that a late-interaction model adds. Needs no session.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for images and for inputs that the model does not take; a text that
    /// the tokenizer cannot split.
    pub fn token_count<I>(&self, role: Role, inputs: I) -> Result<usize, Error>
    where
        I: IntoIterator,
        I::Item: Into<Input>,
    {
        let count = |input: Input| self.encoders.get(input.kind())?.token_count(role, &input);
        inputs.into_iter().map(Into::into).map(count).sum()
    }

    /// The same with the tokens that a late-interaction model adds to each text: markers, and what short
    /// queries are filled with.
    ///
    /// # Errors
    /// Those of [`token_count`](Self::token_count).
    pub fn extended_token_count<I>(&self, role: Role, inputs: I) -> Result<usize, Error>
    where
        I: IntoIterator,
        I::Item: Into<Input>,
    {
        let count =
            |input: Input| self.encoders.get(input.kind())?.extended_token_count(role, &input);
        inputs.into_iter().map(Into::into).map(count).sum()
    }

    /// All tokens of a text, however long it is and without prompts; with the special tokens around it where
    /// `special` is true. Of a reranker those of a single text. Needs no session.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a model of images, [`ErrorKind::Unsupported`] for BM25, whose words have
    /// no ids; a text that the tokenizer cannot split.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error> {
        self.encoders.get(self.text_kind())?.tokenize(text, special)
    }

    /// The text of tokens, without special tokens where `skip_special` is true.
    ///
    /// # Errors
    /// Those of [`tokenize`](Self::tokenize); an id that is not in the vocabulary.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        self.encoders.get(self.text_kind())?.decode(ids, skip_special)
    }

    /// Maximum tokens of a text or pair, special tokens included: the limit in force. `None` where there is no
    /// limit.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a model of images; those of [`open`](Self::open).
    pub fn max_tokens(&self) -> Result<Option<usize>, Error> {
        Ok(self.encoders.get(self.text_kind())?.max_tokens())
    }

    /// The kind of inputs that have tokens.
    fn text_kind(&self) -> InputKind {
        let takes_pairs = self.capabilities().takes(InputKind::Pair);
        if takes_pairs { InputKind::Pair } else { InputKind::Text }
    }

    /// Dimension of the vectors: the graph's own where an encoder is open and the graph states it, else
    /// the registered one until the first result. `None` for models without vectors.
    #[must_use]
    pub fn dim(&self) -> Option<usize> {
        self.encoders.opened().find_map(backend::Backend::dim).or(self.capabilities().dim)
    }

    /// Device of the encoder for inputs of a kind, such as `cpu` or `cuda:0`. Opens the graph if need be.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn device(&self, kind: InputKind) -> Result<&str, Error> {
        self.encoders.get(kind)?.device()
    }
}

impl Embed for Model {
    type Input = Input;
    type Output = Output;

    fn embed_batch(&self, role: Role, inputs: &[&Input]) -> Result<Vec<Output>, Error> {
        let inputs = inputs.iter().map(|&input| input.clone());
        self.embed(role, inputs).map(|result| Ok(result?.value)).collect()
    }
}

impl ModelBuilder {
    /// Opens a model with one encoder; where there are several, each when it is first needed.
    ///
    /// # Errors
    /// Those of [`Model::load`], but for the id.
    pub fn open(self) -> Result<Model, Error> {
        Ok(Model { encoders: Arc::new(self.into_encoders()?) })
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("id", &self.id())
            .field("opened", &self.encoders.opened().count())
            .finish_non_exhaustive()
    }
}
