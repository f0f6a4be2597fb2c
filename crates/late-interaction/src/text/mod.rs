//! [`LateInteractionTextEmbedding`], the model that applications hold.

mod tokens;

use embedkit_core::{
    Dim, Layers,
    onnx::{Row, TextGraph, TextGraphOptions, round_to},
    pipeline::{
        Capacity, Class, Depth, Engine, Pending, Pool, QueueOptions, RunResult, Step, Workload,
        text_estimate,
    },
    tokenizer::{Padding, Side, TokenizerOptions, Tokens},
};
use embedkit_types::{
    Embedded, Error, LateText, Layer, LoadOptions, ModelFiles, ModelPrompts, ModelSpec,
    MultiVector, MultiVectorModel, Role, SpecError, Task, TaskKind, Token,
};

use self::tokens::{Prepared, TokenRules};
use crate::vectors::push_unit;

/// A model that turns a text into one vector per token. Cheap to clone; every method takes `&self`,
/// and several threads may embed at once.
///
/// Documents and queries have different forms: a ColBERT model puts a marker behind the first token
/// of each, leaves punctuation out of documents, and fills queries up with mask tokens that have
/// vectors of their own. All of that is data in the model's [`LateText`].
#[derive(Debug, Clone)]
pub struct LateInteractionTextEmbedding {
    engine: Engine<Model>,
}

#[derive(Debug)]
struct Model {
    task: LateText,
    layers: Layers,
    rules: TokenRules,
    /// One session: queries are padded otherwise than documents.
    documents: TextGraph,
    queries: TextGraph,
    prompts: ModelPrompts,
    dim: Dim,
}

impl LateInteractionTextEmbedding {
    /// Opens the model that `spec` describes from files on disk.
    ///
    /// With `options.dim` each vector keeps its first components and is scaled to unit
    /// length.
    ///
    /// # Errors
    /// A description of another family; missing or damaged files; a tokenizer without the token that
    /// pads queries, or with a limit that leaves no room for a text; a missing runtime or device; a
    /// graph that does not fit the description; options that cannot be followed.
    pub fn from_files(
        spec: &ModelSpec,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        let id = spec.id.to_string();
        let Task::LateText(task) = &spec.task else {
            return Err(SpecError::wrong_task(spec, TaskKind::LateText).into());
        };
        options.check(spec)?;
        let Some(prompts) = spec.prompts_for(&options.prompts) else {
            return Err(SpecError::PromptUnknown { id }.into());
        };
        let span = tracing::info_span!("load", path = %files.root.display());
        let tokenizer_options = TokenizerOptions::of(spec, options);
        let rules = span.in_scope(|| TokenRules::load(&id, task, files, tokenizer_options))?;
        let padding = rules.tokenizer().padding();
        let documents = TextGraph::open(
            files,
            options,
            TextGraphOptions {
                output: task.output.clone(),
                more_outputs: Vec::new(),
                padding,
                extra_inputs: Vec::new(),
            },
        )?;
        // Beyond their own length queries are only padded to even out a batch.
        let queries = match rules.query_padding_id() {
            None => documents.clone(),
            Some(id) => documents.clone().with_padding(Padding {
                side: Side::Right,
                id,
                multiple_of: 1,
                ..padding
            }),
        };
        let model = Model {
            dim: Dim::new(id, task.dim, options.dim),
            task: task.clone(),
            layers: Layers::open(files, &task.layers)?,
            rules,
            documents,
            queries,
            prompts,
        };
        if !options.lazy
            && let Some(found) = model.documents.dim()?
        {
            let found = task.layers.iter().rev().find_map(Layer::dim).unwrap_or(found);
            model.dim.note(found)?;
        }
        Ok(Self { engine: Engine::new(model, options.batch) })
    }

    /// Embeds texts and says for each how many tokens it has, as
    /// [`token_count`](Self::token_count) without extension counts them, and whether it was cut.
    pub fn embed_detailed<I>(
        &self,
        role: Role,
        texts: I,
    ) -> impl Iterator<Item = Result<Embedded<MultiVector>, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.engine.stream(texts.into_iter().map(move |text| (role, text.as_ref().to_owned())))
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
    ) -> Result<Pending<Embedded<MultiVector>>, Error> {
        let texts = texts.into_iter().map(|text| (role, text.as_ref().to_owned()));
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
        Ok(self.engine.step().rules.tokenizer().tokenize(text, special)?)
    }

    /// The text of tokens, without special tokens where `skip_special` is true.
    ///
    /// # Errors
    /// An id that is not in the vocabulary.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        Ok(self.engine.step().rules.tokenizer().decode(ids, skip_special)?)
    }

    /// Maximum tokens of a text, special tokens included.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.engine.step().rules.tokenizer().limit()
    }

    /// The sum of the texts' tokens, special tokens included, after truncation. With
    /// `include_extension` also the markers, and the tokens with which short queries are filled up.
    /// Needs no session.
    ///
    /// # Errors
    /// A text that the tokenizer cannot split.
    pub fn token_count<I>(
        &self,
        texts: I,
        role: Role,
        include_extension: bool,
    ) -> Result<usize, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let count = |text: I::Item| {
            let prepared = self.engine.step().rules.prepare(role, text.as_ref())?;
            Ok(if include_extension { prepared.tokens.ids.len() } else { prepared.own })
        };
        texts.into_iter().map(count).sum()
    }

    /// Dimension of the vectors: the graph's own where it says so, else the registered one until the
    /// first vector has been seen. Needs no session.
    #[must_use]
    pub fn embedding_size(&self) -> usize {
        self.engine.step().dim.kept()
    }

    /// Where the model runs, such as `cpu` or `cuda:0`.
    ///
    /// # Errors
    /// Those of loading, where the graph is opened lazily.
    pub fn device(&self) -> Result<&str, Error> {
        Ok(self.engine.step().documents.session().device()?)
    }
}

embedkit_core::text_front! {
    impl LateInteractionTextEmbedding: LateText => MultiVector;
    /// Embeds documents, as FastEmbed's `embed` does.
    embed: Raw;
    /// Embeds queries: with the query marker, the model's padding and all punctuation, and with the
    /// query prompt where prompts are switched on.
    query_embed: Query;
    /// Embeds documents as [`embed`](Self::embed) does, with the passage prompt where prompts are
    /// switched on.
    passage_embed: Document;
}

impl MultiVectorModel for LateInteractionTextEmbedding {
    fn embedding_size(&self) -> usize {
        Self::embedding_size(self)
    }
}

impl Step for Model {
    type Input = (Role, String);
    type Prepared = Prepared;
    type Output = Embedded<MultiVector>;

    fn prepare(&self, (role, text): (Role, String)) -> Result<Prepared, Error> {
        let text = self.prompts.apply(role, text);
        let prepared = self.rules.prepare(role, &text)?;
        let tokenizer = self.rules.tokenizer();
        self.graph(role).check(&prepared.tokens, |id| tokenizer.token(id))?;
        Ok(prepared)
    }

    fn estimate(&self, (_, text): &(Role, String)) -> usize {
        text_estimate(text.len())
    }

    fn length(&self, prepared: &Prepared) -> usize {
        self.graph(prepared.role).padded(&prepared.tokens)
    }

    /// Queries and documents are padded with different tokens.
    fn pool(&self, prepared: &Prepared) -> Result<Pool, Error> {
        let key = u32::from(prepared.role == Role::Query);
        Ok(Pool { key, grouping: self.graph(prepared.role).grouping()? })
    }

    fn capacity(&self) -> Result<Capacity, Error> {
        Ok(self.documents.session().capacity()?)
    }

    fn run(&self, workload: Workload, batch: &[Prepared]) -> RunResult<Self> {
        let Some(first) = batch.first() else { return Ok(Vec::new()) };
        let mut texts = batch.iter();
        let finish = |row: Row<'_>| {
            let Some(Prepared { role, tokens: text, own }) = texts.next() else {
                return Err(row.shape_error("one row per text").into());
            };
            let value = self.finish(*role, text, &row)?;
            Ok(Embedded { value, tokens: *own, truncated: text.truncated })
        };
        Ok(self.graph(first.role).run(workload, batch, &[], finish)?)
    }
}

impl Model {
    /// The graph with the padding of a role.
    fn graph(&self, role: Role) -> &TextGraph {
        match role {
            Role::Raw | Role::Document => &self.documents,
            Role::Query => &self.queries,
        }
    }

    /// The vectors of one text: those of its padding are gone already, those of skipped tokens go
    /// here.
    fn finish(&self, role: Role, text: &Tokens, row: &Row<'_>) -> Result<MultiVector, Error> {
        let width = match *row.shape {
            [_, width] if row.per_token && width > 0 => width,
            _ => return Err(row.shape_error("[texts, tokens, width]").into()),
        };
        let after = self.task.layers.iter().rev().find_map(Layer::dim).unwrap_or(width);
        let dim = self.dim.note(after)?;
        let document = role != Role::Query;
        let normalize =
            dim < after || if document { self.task.normalize } else { self.task.normalize_queries };
        let mut values = Vec::with_capacity(text.ids.len() * dim);
        for (&id, vector) in text.ids.iter().zip(row.values.chunks_exact(width)) {
            if document && self.rules.skips(id) {
                continue;
            }
            let through;
            let vector = if self.layers.is_empty() {
                vector
            } else {
                let vector = vector.iter().copied().map(f64::from).collect();
                through = round_to(&self.layers.apply(vector)?, row.half);
                &through
            };
            let vector = vector.get(..dim).unwrap_or(vector);
            if normalize {
                push_unit(&mut values, row, vector);
            } else {
                values.extend_from_slice(vector);
            }
        }
        Ok(MultiVector::new(values, dim).expect("whole vectors, of at least one component"))
    }
}
