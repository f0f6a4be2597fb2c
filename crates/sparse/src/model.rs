//! [`SparseTextEmbedding`], the model that applications hold.

use std::{sync::Arc, thread::available_parallelism};

#[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
use either::Either;
#[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
use embedkit_core::pipeline::Engine;
use embedkit_core::pipeline::{Class, Depth, ParallelMap, Pending, QueueOptions, Texts, catching};
use embedkit_types::{
    BatchOptions, Embedded, Error, ErrorKind, LoadOptions, ModelFiles, ModelSpec, Role, Sparse,
    SparseEmbedding, SparseKind, SpecError, Task, TaskKind, Token,
};

#[cfg(feature = "bm25")]
use crate::bm25::{Bm25, StopwordLists};
#[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
use crate::graph::GraphModel;
use crate::{
    SparseOptions,
    packed::Packed,
    terms::{self, Terms},
};

/// A model that turns a text into weighted terms. Cheap to clone; every method takes `&self`, and
/// several threads may embed at once.
#[derive(Debug, Clone)]
pub struct SparseTextEmbedding {
    model: Arc<Model>,
}

#[derive(Debug)]
struct Model {
    backend: Backend,
    requires_idf: bool,
    /// Threads for what needs no graph.
    threads: usize,
    batch: BatchOptions,
}

#[derive(Debug)]
enum Backend {
    #[cfg(feature = "bm25")]
    Bm25(Box<Bm25>),
    #[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
    Graph(Engine<GraphModel>),
}

impl SparseTextEmbedding {
    /// Opens the model that `spec` describes from files on disk. For BM25 these are lists of
    /// stopwords, `<language>.txt` in the root of the folder, and none are left out where the list is
    /// missing.
    ///
    /// # Errors
    /// A description of another family or of a kind that this build lacks; missing or damaged files;
    /// a missing runtime or device; a graph that does not fit the description.
    pub fn from_files(
        spec: &ModelSpec,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        Self::from_files_with(spec, files, options, &SparseOptions::default())
    }

    /// [`from_files`](Self::from_files) with options of the kind of model.
    ///
    /// # Errors
    /// As there, and [`OptionError`](crate::OptionError) for an option that the kind does not have.
    pub fn from_files_with(
        spec: &ModelSpec,
        files: &ModelFiles,
        options: &LoadOptions,
        sparse: &SparseOptions,
    ) -> Result<Self, Error> {
        Self::open(spec, Some(files), options, sparse)
    }

    /// Opens a model that needs no files: BM25, with the stopwords that are built in.
    ///
    /// # Errors
    /// [`SpecError::NeedsFiles`] for another kind of model, and those of
    /// [`from_files_with`](Self::from_files_with).
    pub fn without_files(
        spec: &ModelSpec,
        options: &LoadOptions,
        sparse: &SparseOptions,
    ) -> Result<Self, Error> {
        Self::open(spec, None, options, sparse)
    }

    /// Whether the model that `spec` describes can be opened [without files](Self::without_files).
    #[must_use]
    pub fn needs_files(spec: &ModelSpec) -> bool {
        !matches!(&spec.task, Task::Sparse(Sparse { kind: SparseKind::Bm25(_), .. }))
    }

    fn open(
        spec: &ModelSpec,
        files: Option<&ModelFiles>,
        load: &LoadOptions,
        options: &SparseOptions,
    ) -> Result<Self, Error> {
        let Task::Sparse(task) = &spec.task else {
            return Err(SpecError::wrong_task(spec, TaskKind::Sparse).into());
        };
        load.check(spec)?;
        options.check(&task.kind, load)?;
        let model = Model {
            backend: Backend::open(spec, task, files, load, options)?,
            requires_idf: task.requires_idf,
            threads: threads(&task.kind, load)?,
            batch: load.batch,
        };
        Ok(Self { model: Arc::new(model) })
    }

    /// Embeds texts and says for each how many tokens it has and whether it was cut. BM25 never
    /// cuts.
    pub fn embed_detailed<I>(
        &self,
        role: Role,
        texts: I,
    ) -> impl Iterator<Item = Result<Embedded<SparseEmbedding>, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.results(role, texts, Backend::embed_all, terms::embedded)
    }

    /// Embeds texts as their terms in the order of the text, with weights before they are rounded: what
    /// FastEmbed's vectors hold.
    pub fn embed_terms<I>(
        &self,
        role: Role,
        texts: I,
    ) -> impl Iterator<Item = Result<Embedded<Terms>, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.results(role, texts, Backend::all_terms, |terms| terms)
    }

    /// Results that `look_up` makes without a graph, or `finish` of what the graph gives.
    fn results<I, W: Send + 'static, T: Send + 'static>(
        &self,
        role: Role,
        texts: I,
        look_up: fn(&Backend, Role, &Texts) -> Packed<W, T>,
        finish: fn(Embedded<Terms>) -> Embedded<T>,
    ) -> impl Iterator<Item = Result<Embedded<T>, Error>> + use<I, W, T>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let _ = finish; // BM25 has no graph
        let mapped = |texts| {
            let (model, threads, window) =
                (Arc::clone(&self.model), self.model.threads, self.model.batch.window);
            let embed = move |texts: &Texts| look_up(&model.backend, role, texts);
            ParallelMap::new(texts, threads, window, embed)
        };
        #[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
        let results = match &self.model.backend {
            Backend::Graph(engine) if !engine.step().looks_up(role) => {
                let owned = move |text: I::Item| (role, text.as_ref().to_owned());
                let results = engine.stream(texts.into_iter().map(owned));
                Either::Right(results.map(move |terms| terms.map(finish)))
            }
            _ => Either::Left(mapped(texts)),
        };
        #[cfg(not(any(feature = "splade", feature = "bm42", feature = "minicoil")))]
        let results = mapped(texts);
        results
    }

    /// Embeds a text on this thread, without a copy of it; `None` where a graph has to run.
    #[must_use]
    pub fn look_up(
        &self,
        role: Role,
        text: &str,
    ) -> Option<Result<Embedded<SparseEmbedding>, Error>> {
        match &self.model.backend {
            #[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
            Backend::Graph(engine) if !engine.step().looks_up(role) => None,
            backend => Some(catching(|| backend.embed(role, text))),
        }
    }

    /// Puts texts into the model's queue. Vectors that need no run of a graph are computed when the
    /// result is taken.
    ///
    /// # Errors
    /// Those of loading, where the model is opened lazily, and of a queue that is full.
    pub fn submit(
        &self,
        role: Role,
        texts: impl IntoIterator<Item: AsRef<str>>,
        queue: QueueOptions,
    ) -> Result<Pending<Embedded<SparseEmbedding>>, Error> {
        let texts = texts.into_iter().map(|text| text.as_ref().to_owned());
        match &self.model.backend {
            #[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
            Backend::Graph(engine) if !engine.step().looks_up(role) => {
                let inputs = texts.map(|text| (role, text)).collect();
                Ok(engine.pending(inputs, queue)?.map_ok(terms::embedded))
            }
            _ => {
                let model = Arc::clone(&self.model);
                let embed = move |text: String| model.backend.embed(role, &text);
                Ok(Pending::computed(texts.collect(), queue, embed))
            }
        }
    }

    /// Load of the queue by [submitted](Self::submit) texts of a class.
    #[must_use]
    pub fn depth(&self, class: Class) -> Depth {
        let _ = class; // BM25 has no queue
        match &self.model.backend {
            #[cfg(feature = "bm25")]
            Backend::Bm25(_) => Depth::default(),
            #[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
            Backend::Graph(engine) => engine.depth(class),
        }
    }

    /// The sum of the texts' tokens: those of the tokenizer, special tokens included, after
    /// truncation; for BM25 all words, stopwords included. Needs no session.
    ///
    /// # Errors
    /// A text that the tokenizer cannot split.
    pub fn token_count<I>(&self, texts: I) -> Result<usize, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let count = |text: I::Item| match &self.model.backend {
            #[cfg(feature = "bm25")]
            Backend::Bm25(bm25) => Ok(bm25.token_count(text.as_ref())),
            #[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
            Backend::Graph(engine) => Ok(engine.step().encode(text.as_ref())?.ids.len()),
        };
        texts.into_iter().map(count).sum()
    }

    /// All tokens of a text, however long it is; with the special tokens around it where `special` is true.
    /// Needs no session.
    ///
    /// # Errors
    /// A text that the tokenizer cannot split; [`ErrorKind::Unsupported`] for BM25, whose words have no ids.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error> {
        match &self.model.backend {
            #[cfg(feature = "bm25")]
            Backend::Bm25(_) => {
                let _ = (text, special);
                Err(no_ids())
            }
            #[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
            Backend::Graph(engine) => engine.step().tokenize(text, special),
        }
    }

    /// The text of tokens, without special tokens where `skip_special` is true.
    ///
    /// # Errors
    /// An id that is not in the vocabulary; [`ErrorKind::Unsupported`] for BM25.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        match &self.model.backend {
            #[cfg(feature = "bm25")]
            Backend::Bm25(_) => {
                let _ = (ids, skip_special);
                Err(no_ids())
            }
            #[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
            Backend::Graph(engine) => engine.step().decode(ids, skip_special),
        }
    }

    /// Maximum tokens of a text, special tokens included; `None` for BM25, which takes any text whole.
    #[must_use]
    pub fn max_tokens(&self) -> Option<usize> {
        match &self.model.backend {
            #[cfg(feature = "bm25")]
            Backend::Bm25(_) => None,
            #[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
            Backend::Graph(engine) => Some(engine.step().max_tokens()),
        }
    }

    /// Whether the search engine has to multiply the weights by the inverse document frequency.
    #[must_use]
    pub fn requires_idf(&self) -> bool {
        self.model.requires_idf
    }

    /// Where the model runs, such as `cpu` or `cuda:0`.
    ///
    /// # Errors
    /// Those of loading, where the graph is opened lazily.
    pub fn device(&self) -> Result<&str, Error> {
        match &self.model.backend {
            #[cfg(feature = "bm25")]
            Backend::Bm25(_) => Ok("cpu"),
            #[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
            Backend::Graph(engine) => engine.step().device(),
        }
    }
}

embedkit_core::text_front! {
    impl SparseTextEmbedding: Sparse => SparseEmbedding;
    /// Embeds texts as documents, as FastEmbed's `embed` does.
    embed: Raw;
    /// Embeds queries. SPLADE++ has no other form for these; BM25, BM42 and inference-free SPLADE
    /// look the terms up without running a graph; MiniCOIL leaves the frequencies out.
    query_embed: Query;
    /// The same as [`embed`](Self::embed).
    passage_embed: Document;
}

impl Backend {
    /// A text whose vector needs no run of a graph.
    fn embed(&self, role: Role, text: &str) -> Result<Embedded<SparseEmbedding>, Error> {
        let _ = role; // only BM25 looks up more than queries
        match self {
            #[cfg(feature = "bm25")]
            Self::Bm25(bm25) => {
                let mut pairs = Vec::new();
                let tokens = bm25.counter().embed(role, text, &mut pairs);
                let value = SparseEmbedding::from_pairs(pairs);
                Ok(Embedded { value, tokens, truncated: false })
            }
            #[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
            Self::Graph(engine) => engine.step().query(text).map(terms::embedded),
        }
    }

    /// Texts whose vectors need no run of a graph.
    fn embed_all(&self, role: Role, texts: &Texts) -> Packed<f32, SparseEmbedding> {
        let unpack = |pairs: &[_]| SparseEmbedding::from_pairs(pairs.iter().copied());
        match self {
            #[cfg(feature = "bm25")]
            Self::Bm25(bm25) => {
                let mut counter = bm25.counter();
                Packed::new(texts, unpack, |text, pairs| {
                    Ok((counter.embed(role, text, pairs), false))
                })
            }
            #[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
            Self::Graph(_) => Packed::new(texts, unpack, |text, pairs| {
                let Embedded { value, tokens, truncated } = self.embed(role, text)?;
                pairs.extend(value.iter());
                Ok((tokens, truncated))
            }),
        }
    }

    /// The terms of such texts.
    fn all_terms(&self, role: Role, texts: &Texts) -> Packed<f64, Terms> {
        let _ = role; // only BM25 looks up more than queries
        match self {
            #[cfg(feature = "bm25")]
            Self::Bm25(bm25) => {
                let mut counter = bm25.counter();
                Packed::new(texts, <[_]>::to_vec, |text, pairs| {
                    Ok((counter.terms(role, text, pairs), false))
                })
            }
            #[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
            Self::Graph(engine) => Packed::new(texts, <[_]>::to_vec, |text, pairs| {
                let Embedded { mut value, tokens, truncated } = engine.step().query(text)?;
                pairs.append(&mut value);
                Ok((tokens, truncated))
            }),
        }
    }

    fn open(
        spec: &ModelSpec,
        task: &Sparse,
        files: Option<&ModelFiles>,
        load: &LoadOptions,
        options: &SparseOptions,
    ) -> Result<Self, Error> {
        let _ = load; // BM25 loads nothing
        match &task.kind {
            #[cfg(feature = "bm25")]
            SparseKind::Bm25(facts) => {
                let folder = files.map(|files| StopwordLists::Folder(&files.root));
                let lists = folder.unwrap_or(StopwordLists::BuiltIn);
                Ok(Self::Bm25(Box::new(Bm25::new(facts, options, lists)?)))
            }
            #[cfg(not(feature = "bm25"))]
            kind @ SparseKind::Bm25(_) => Err(not_compiled(&spec.id, kind)),
            #[cfg(any(feature = "splade", feature = "bm42", feature = "minicoil"))]
            _ => {
                let files =
                    files.ok_or_else(|| SpecError::NeedsFiles { id: spec.id.to_string() })?;
                let model = GraphModel::open(spec, task, files, load, options)?;
                Ok(Self::Graph(Engine::new(model, load.batch)))
            }
            #[cfg(not(any(feature = "splade", feature = "bm42", feature = "minicoil")))]
            kind => Err(not_compiled(&spec.id, kind)),
        }
    }
}

/// The error for a kind of model that this build lacks.
#[cfg(feature = "bm25")]
fn no_ids() -> Error {
    Error::new(ErrorKind::Unsupported, "the words of BM25 have no token ids")
}

pub(crate) fn not_compiled(id: &str, kind: &SparseKind) -> Error {
    let (id, package) = (id.to_owned(), env!("CARGO_PKG_NAME"));
    SpecError::NotCompiled { id, package, feature: feature(kind) }.into()
}

/// The feature that a kind of model belongs to.
pub(crate) fn feature(kind: &SparseKind) -> &'static str {
    match kind.name() {
        "if-splade" | "token-weights" => "splade",
        name => name,
    }
}

/// More threads than any machine has cores.
const MOST_THREADS: usize = 1024;

/// Threads for what needs no graph. Options are about the graph, where there is one; else as many as its
/// replicas and their threads would be.
fn threads(kind: &SparseKind, load: &LoadOptions) -> Result<usize, Error> {
    let is_bm25 = matches!(kind, SparseKind::Bm25(_));
    let found = match (load.replicas, load.threads) {
        _ if !is_bm25 => available_parallelism().map_or(1, usize::from),
        (None, None) => available_parallelism().map_or(1, usize::from),
        (replicas, threads) => replicas.unwrap_or(1).saturating_mul(threads.unwrap_or(1)),
    };
    if found > MOST_THREADS {
        let (option, limit) = ("threads", MOST_THREADS);
        return Err(embedkit_core::Error::TooMany { option, found, limit }.into());
    }
    Ok(found)
}
