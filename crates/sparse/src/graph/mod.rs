//! Models with a graph: what is the same for all kinds.

#[cfg(feature = "bm42")]
mod bm42;
#[cfg(feature = "splade")]
mod if_splade;
#[cfg(feature = "minicoil")]
pub(crate) mod minicoil;
#[cfg(feature = "splade")]
mod splade;
mod step;
#[cfg(any(feature = "bm42", feature = "minicoil"))]
mod subwords;

#[cfg(feature = "splade")]
use embedkit_core::onnx::TokenWeights;
use embedkit_core::{
    onnx::{Row, TextGraph, TextGraphOptions},
    pipeline::Workload,
    tokenizer::{Tokenizer, TokenizerOptions, Tokens},
};
#[cfg(feature = "splade")]
use embedkit_types::SpladeConfig;
use embedkit_types::{
    Embedded, Error, LoadOptions, ModelFiles, ModelSpec, Role, Sparse, SparseKind, Token,
};

use self::step::Text;
use crate::{
    SparseOptions,
    model::{feature, not_compiled},
    terms::Terms,
};

/// A tokenizer, a graph, and what the kind of model makes of its output.
#[derive(Debug)]
pub(crate) struct GraphModel {
    tokenizer: Tokenizer,
    graph: TextGraph,
    kind: Kind,
}

/// How a row of the graph becomes a vector.
#[derive(Debug)]
enum Kind {
    #[cfg(feature = "splade")]
    Splade(SpladeConfig),
    #[cfg(feature = "splade")]
    IfSplade(if_splade::IfSplade),
    #[cfg(feature = "splade")]
    TokenWeights(TokenWeights),
    #[cfg(feature = "bm42")]
    Bm42(Box<bm42::Bm42>),
    #[cfg(feature = "minicoil")]
    MiniCoil(Box<minicoil::MiniCoil>),
}

impl GraphModel {
    pub(crate) fn open(
        spec: &ModelSpec,
        task: &Sparse,
        files: &ModelFiles,
        load: &LoadOptions,
        options: &SparseOptions,
    ) -> Result<Self, Error> {
        let id = spec.id.as_ref();
        let compiled = [
            ("splade", cfg!(feature = "splade")),
            ("bm42", cfg!(feature = "bm42")),
            ("minicoil", cfg!(feature = "minicoil")),
        ];
        if !compiled.contains(&(feature(&task.kind), true)) {
            return Err(not_compiled(id, &task.kind));
        }
        let span = tracing::info_span!("load", path = %files.root.display());
        let tokenizer =
            span.in_scope(|| Tokenizer::load_with(files, TokenizerOptions::of(spec, load)))?;
        let (output, kind) = match &task.kind {
            #[cfg(feature = "splade")]
            SparseKind::Splade(facts) => (&facts.output, Kind::Splade(facts.clone())),
            #[cfg(feature = "splade")]
            SparseKind::IfSplade(facts) => {
                let kind = if_splade::IfSplade::open(facts, files, &tokenizer)?;
                (&facts.documents.output, Kind::IfSplade(kind))
            }
            #[cfg(feature = "splade")]
            SparseKind::TokenWeights(facts) => {
                let (head, skip) = (facts.head.as_ref(), &facts.skip_tokens);
                let kind = TokenWeights::open(files, head, skip, &tokenizer)?;
                (&facts.output, Kind::TokenWeights(kind))
            }
            #[cfg(feature = "bm42")]
            SparseKind::Bm42(facts) => {
                let kind = bm42::Bm42::open(facts, files, &tokenizer, options)?;
                (&facts.output, Kind::Bm42(Box::new(kind)))
            }
            #[cfg(feature = "minicoil")]
            SparseKind::MiniCoil(facts) => {
                let kind = minicoil::MiniCoil::open(facts, files, options)?;
                (&facts.output, Kind::MiniCoil(Box::new(kind)))
            }
            other => return Err(not_compiled(id, other)),
        };
        let _ = options; // SPLADE has none
        let graph = TextGraphOptions {
            output: output.clone(),
            more_outputs: Vec::new(),
            padding: tokenizer.padding(),
            extra_inputs: Vec::new(),
        };
        let graph = TextGraph::open(files, load, graph)?;
        if !load.lazy
            && matches!(task.kind, SparseKind::Splade(_) | SparseKind::IfSplade(_))
            && let (Some(found), Some(registered)) = (graph.dim()?, task.vocab_size)
            && found != registered
        {
            tracing::warn!(
                model = id,
                found,
                registered,
                "the graph's vocabulary has not the registered size; the graph decides"
            );
        }
        Ok(Self { tokenizer, graph, kind })
    }

    pub(crate) fn encode(&self, text: &str) -> Result<Tokens, Error> {
        Ok(self.tokenizer.encode(text)?)
    }

    pub(crate) fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error> {
        Ok(self.tokenizer.tokenize(text, special)?)
    }

    pub(crate) fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        Ok(self.tokenizer.decode(ids, skip_special)?)
    }

    pub(crate) fn max_tokens(&self) -> usize {
        self.tokenizer.limit()
    }

    /// Checks that the graph has a vector for each token and position.
    fn check(&self, tokens: &Tokens) -> Result<(), Error> {
        Ok(self.graph.check(tokens, |id| self.tokenizer.token(id))?)
    }

    pub(crate) fn device(&self) -> Result<&str, Error> {
        Ok(self.graph.session().device()?)
    }

    /// Whether a role's vectors come without a run of the graph.
    pub(crate) fn looks_up(&self, role: Role) -> bool {
        role == Role::Query
            && match &self.kind {
                #[cfg(feature = "splade")]
                Kind::Splade(_) | Kind::TokenWeights(_) => false,
                #[cfg(feature = "splade")]
                Kind::IfSplade(_) => true,
                #[cfg(feature = "bm42")]
                Kind::Bm42(_) => true,
                #[cfg(feature = "minicoil")]
                Kind::MiniCoil(_) => false,
            }
    }

    fn run(&self, workload: Workload, texts: &[Text]) -> Result<Vec<Result<Terms, Error>>, Error> {
        let mut rest = texts.iter();
        let finish = |row: Row<'_>| match rest.next() {
            Some(text) => self.finish(text.role, &text.tokens, &row),
            None => Err(row.shape_error("one row per text").into()),
        };
        Ok(self.graph.run(workload, texts, &[], finish)?)
    }

    /// A query without the graph.
    pub(crate) fn query(&self, text: &str) -> Result<Embedded<Terms>, Error> {
        let mut tokens = self.encode(text)?;
        #[cfg(feature = "splade")]
        if let Kind::IfSplade(kind) = &self.kind
            && kind.special_tokens()
        {
            // Special tokens around a query take no room from its own.
            let limit = self.tokenizer.limit();
            tokens.ids = self.tokenizer.piece_ids(text)?;
            tokens.truncated &= tokens.ids.len() >= limit;
            tokens.ids.truncate(limit);
        }
        Ok(tokens.embedded(self.look_up(&tokens)?))
    }

    /// The terms of a query without the graph.
    fn look_up(&self, text: &Tokens) -> Result<Terms, Error> {
        let _ = text; // MiniCOIL has no such form
        match &self.kind {
            #[cfg(feature = "splade")]
            Kind::IfSplade(kind) => Ok(kind.query(text)),
            #[cfg(feature = "bm42")]
            Kind::Bm42(kind) => kind.query(text, &self.tokenizer),
            #[cfg(any(feature = "splade", feature = "minicoil"))]
            _ => Ok(Terms::new()),
        }
    }

    fn finish(&self, role: Role, text: &Tokens, row: &Row<'_>) -> Result<Terms, Error> {
        let _ = (role, text); // SPLADE needs neither
        match &self.kind {
            #[cfg(feature = "splade")]
            Kind::Splade(facts) => splade::finish(row, facts),
            #[cfg(feature = "splade")]
            Kind::IfSplade(kind) => kind.finish(row),
            #[cfg(feature = "splade")]
            Kind::TokenWeights(kind) => {
                let terms = kind.terms(&text.ids, row)?;
                let weights = terms.values().iter().map(|&weight| f64::from(weight));
                Ok(terms.indices().iter().copied().zip(weights).collect())
            }
            #[cfg(feature = "bm42")]
            Kind::Bm42(kind) => kind.finish(text, row, &self.tokenizer),
            #[cfg(feature = "minicoil")]
            Kind::MiniCoil(kind) => kind.finish(role, text, row, &self.tokenizer),
        }
    }
}
