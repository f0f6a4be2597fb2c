//! [`TextCrossEncoder`], the model that applications hold.

use std::sync::Arc;

use embedkit_core::{
    onnx::{Row, TextGraph, TextGraphOptions},
    pipeline::{
        Capacity, Class, Depth, Engine, Pending, Pool, QueueOptions, RunResult, Step, Stream,
        Workload, text_estimate,
    },
    registry,
    tokenizer::Tokens,
};
use embedkit_types::{
    Embedded, Error, LoadOptions, ModelFiles, ModelSpec, SpecError, Task, TaskKind, Token,
    TokenScore,
    scoring::{Ranked, top_k},
};

use crate::{
    NotANumber,
    pairs::{PairForm, Query},
};

/// A model that scores a document for a query. Cheap to clone; every method takes `&self`, and
/// several threads may score at once.
#[derive(Debug, Clone)]
pub struct TextCrossEncoder {
    engine: Engine<Model>,
}

#[derive(Debug)]
struct Model {
    id: String,
    pairs: PairForm,
    graph: TextGraph,
    score: Score,
}

/// The number of the graph's output that is the score.
#[derive(Debug)]
enum Score {
    /// A column of a classifier.
    Column(usize),
    /// Logits of the next token.
    Tokens(TokenScore),
}

impl TextCrossEncoder {
    /// Opens the model that `spec` describes from files on disk.
    ///
    /// # Errors
    /// A description of another family; missing or damaged files; a missing runtime or device; a graph
    /// that does not fit the description; options that have no meaning for scores.
    pub fn from_files(
        spec: &ModelSpec,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        let id = spec.id.to_string();
        let Task::Rerank(task) = &spec.task else {
            return Err(SpecError::wrong_task(spec, TaskKind::Rerank).into());
        };
        options.check(spec)?;
        if options.dim.is_some() {
            return Err(SpecError::UnusedOption { id, option: "dim" }.into());
        }
        let span = tracing::info_span!("load", path = %files.root.display());
        let pairs = span.in_scope(|| PairForm::load(spec, task, files, options))?;
        let graph = TextGraphOptions {
            output: task.output.clone(),
            more_outputs: Vec::new(),
            padding: pairs.padding(),
            extra_inputs: Vec::new(),
        };
        let graph = TextGraph::open(files, options, graph)?;
        let score = match &task.tokens {
            Some(tokens) => Score::Tokens(tokens.clone()),
            None => Score::Column(task.column),
        };
        let model = Model { id, pairs, graph, score };
        Ok(Self { engine: Engine::new(model, options.batch) })
    }

    /// The built-in models of this family.
    pub fn supported_models() -> impl Iterator<Item = &'static ModelSpec> {
        registry::models().iter().filter(|spec| matches!(spec.task, Task::Rerank(_)))
    }

    /// Scores documents for one query: raw logits, higher is better.
    ///
    /// Scores come lazily and in input order. An error concerns the document in its place; the stream
    /// goes on behind it. Dropping the iterator stops the work.
    pub fn rerank<I>(
        &self,
        query: &str,
        documents: I,
    ) -> impl Iterator<Item = Result<f32, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.rerank_detailed(query, documents).map(|result| Ok(result?.value))
    }

    /// Scores pairs of a query and a document, otherwise the same as [`rerank`](Self::rerank).
    pub fn rerank_pairs<I, Q, D>(
        &self,
        pairs: I,
    ) -> impl Iterator<Item = Result<f32, Error>> + use<I, Q, D>
    where
        I: IntoIterator<Item = (Q, D)>,
        Q: AsRef<str>,
        D: AsRef<str>,
    {
        self.rerank_pairs_detailed(pairs).map(|result| Ok(result?.value))
    }

    /// Scores documents for one query and says for each how many tokens of the pair the model saw and
    /// whether the pair was cut.
    pub fn rerank_detailed<I>(
        &self,
        query: &str,
        documents: I,
    ) -> impl Iterator<Item = Result<Embedded<f32>, Error>> + use<I>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let query = Arc::new(Query::new(query));
        let pairs = documents
            .into_iter()
            .map(move |document| (Arc::clone(&query), document.as_ref().to_owned()));
        self.stream(pairs)
    }

    /// Scores pairs of a query and a document and says for each how many tokens the model saw and
    /// whether it was cut. A query that follows itself is split into tokens once.
    pub fn rerank_pairs_detailed<I, Q, D>(
        &self,
        pairs: I,
    ) -> impl Iterator<Item = Result<Embedded<f32>, Error>> + use<I, Q, D>
    where
        I: IntoIterator<Item = (Q, D)>,
        Q: AsRef<str>,
        D: AsRef<str>,
    {
        self.stream(shared(pairs))
    }

    /// Puts pairs of a query and a document into the model's queue.
    ///
    /// # Errors
    /// Those of loading, where the model is opened lazily, and of a queue that is full.
    pub fn submit<Q, D>(
        &self,
        pairs: impl IntoIterator<Item = (Q, D)>,
        queue: QueueOptions,
    ) -> Result<Pending<Embedded<f32>>, Error>
    where
        Q: AsRef<str>,
        D: AsRef<str>,
    {
        self.engine.pending(shared(pairs).collect(), queue)
    }

    /// Load of the queue by [submitted](Self::submit) pairs of a class.
    #[must_use]
    pub fn depth(&self, class: Class) -> Depth {
        self.engine.depth(class)
    }

    /// The `k` best documents for a query, best first; of equal scores the one that came first.
    ///
    /// # Errors
    /// The first error, in input order; [`NotANumber`] where a score cannot be ranked.
    pub fn top_k<I>(&self, query: &str, documents: I, k: usize) -> Result<Vec<Ranked>, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let scores = self.rerank(query, documents).enumerate().map(|(index, score)| {
            let score = score?;
            if score.is_nan() {
                return Err(NotANumber { id: self.engine.step().id.clone(), index }.into());
            }
            Ok(score)
        });
        Ok(top_k(scores.collect::<Result<Vec<_>, Error>>()?, k))
    }

    /// All tokens of a text, however long it is and without prompts; with the special tokens around it where
    /// `special` is true. Needs no session.
    ///
    /// # Errors
    /// A text that the tokenizer cannot split.
    pub fn tokenize(&self, text: &str, special: bool) -> Result<Vec<Token>, Error> {
        self.engine.step().pairs.tokenize(text, special)
    }

    /// The text of tokens, without special tokens where `skip_special` is true.
    ///
    /// # Errors
    /// An id that is not in the vocabulary.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, Error> {
        self.engine.step().pairs.decode(ids, skip_special)
    }

    /// Maximum tokens of a pair, special tokens included.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.engine.step().pairs.limit()
    }

    /// The sum of the pairs' tokens, special tokens included, after truncation. Needs no session.
    ///
    /// # Errors
    /// A text that the tokenizer cannot split.
    pub fn token_count<I, Q, D>(&self, pairs: I) -> Result<usize, Error>
    where
        I: IntoIterator<Item = (Q, D)>,
        Q: AsRef<str>,
        D: AsRef<str>,
    {
        let form = &self.engine.step().pairs;
        let count = |(query, document): (Q, D)| {
            Ok(form.encode(&Query::new(query.as_ref()), document.as_ref())?.ids.len())
        };
        pairs.into_iter().map(count).sum()
    }

    /// Where the model runs, such as `cpu` or `cuda:0`.
    ///
    /// # Errors
    /// Those of loading, where the graph is opened lazily.
    pub fn device(&self) -> Result<&str, Error> {
        Ok(self.engine.step().graph.session().device()?)
    }

    fn stream<I: Iterator<Item = Pair>>(&self, pairs: I) -> Stream<Model, I> {
        self.engine.stream(pairs)
    }
}

/// A query, which many documents may share, and a document.
type Pair = (Arc<Query>, String);

/// Pairs in which a query that follows itself is the same.
fn shared<I, Q, D>(pairs: I) -> impl Iterator<Item = Pair> + use<I, Q, D>
where
    I: IntoIterator<Item = (Q, D)>,
    Q: AsRef<str>,
    D: AsRef<str>,
{
    let mut last: Option<Arc<Query>> = None;
    pairs.into_iter().map(move |(query, document)| {
        let query = match last.take().filter(|last| last.text == query.as_ref()) {
            Some(same) => same,
            None => Arc::new(Query::new(query.as_ref())),
        };
        last = Some(Arc::clone(&query));
        (query, document.as_ref().to_owned())
    })
}

impl Step for Model {
    type Input = Pair;
    type Prepared = Tokens;
    type Output = Embedded<f32>;

    fn prepare(&self, (query, document): Pair) -> Result<Tokens, Error> {
        let tokens = self.pairs.encode(&query, &document)?;
        self.graph.check(&tokens, |id| self.pairs.token(id))?;
        Ok(tokens)
    }

    fn estimate(&self, (query, document): &Pair) -> usize {
        text_estimate(query.text.len() + document.len())
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

    fn run(&self, workload: Workload, rows: &[Tokens]) -> RunResult<Self> {
        let finish = |row: Row<'_>| match &self.score {
            Score::Column(column) => of_column(&row, *column),
            Score::Tokens(tokens) => of_tokens(&row, tokens),
        };
        let scores = self.graph.run(workload, rows, &[], finish)?;
        Ok(scores.into_iter().zip(rows).map(|(score, row)| Ok(row.embedded(score?))).collect())
    }
}

/// The score of one pair: a column of the graph's output, without any change.
fn of_column(row: &Row<'_>, column: usize) -> Result<f32, Error> {
    let (&[_], Some(&score)) = (row.shape, row.values.get(column)) else {
        let expected = match column {
            0 => "[pairs, 1 or more columns]".to_owned(),
            _ => format!("[pairs, {} or more columns]", column + 1),
        };
        return Err(row.shape_error(&expected).into());
    };
    Ok(score)
}

/// The score of one pair by the logits of the next token.
fn of_tokens(row: &Row<'_>, tokens: &TokenScore) -> Result<f32, Error> {
    let score = token_score(row.shape, row.values, row.per_token, tokens);
    score.ok_or_else(|| {
        let ids = [Some(tokens.true_token), tokens.false_token];
        let columns = ids.iter().flatten().count();
        let words = ids.iter().flatten().max().map_or(0, |&id| u64::from(id) + 1);
        let expected = format!("[pairs, {columns}] or [pairs, tokens, {words} or more]");
        row.shape_error(&expected).into()
    })
}

/// The logit of the one token, less that of the other: of these tokens alone, or of the whole vocabulary at
/// each position, of which the last counts. `None` for other shapes.
fn token_score(
    shape: &[usize],
    values: &[f32],
    per_token: bool,
    tokens: &TokenScore,
) -> Option<f32> {
    let (logits, ids) = match *shape {
        [columns] if columns == 1 + usize::from(tokens.false_token.is_some()) => {
            (values, (0, tokens.false_token.map(|_| 1)))
        }
        [positions, vocabulary] if per_token && positions > 0 => {
            let last = values.get((positions - 1) * vocabulary..)?;
            (last, (tokens.true_token, tokens.false_token))
        }
        _ => return None,
    };
    let logit = |id: u32| logits.get(usize::try_from(id).ok()?).copied();
    let yes = logit(ids.0)?;
    Some(match ids.1 {
        Some(no) => yes - logit(no)?,
        None => yes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(shape: &[usize], values: &[f32], no: Option<u32>) -> Option<f32> {
        let tokens = TokenScore { template: vec![].into(), true_token: 2, false_token: no };
        token_score(shape, values, shape.len() == 2, &tokens)
    }

    #[test]
    fn logits_are_those_of_the_tokens_or_of_the_whole_vocabulary() {
        let two = [0.0, 0.0, 9.0, 0.0, 1.0, 2.5, 4.0, 8.0];
        assert_eq!(score(&[2], &[3.0, 1.0], Some(1)), Some(2.0));
        assert_eq!(score(&[1], &[3.0], None), Some(3.0));
        assert_eq!(score(&[2, 4], &two, Some(1)), Some(1.5));
        assert_eq!(score(&[2, 4], &two, None), Some(4.0));
    }

    #[test]
    fn other_shapes_have_no_score() {
        assert_eq!(score(&[1], &[3.0], Some(1)), None);
        assert_eq!(score(&[2], &[3.0, 1.0], None), None);
        // Tokens that the vocabulary does not have.
        assert_eq!(score(&[1, 2], &[1.0, 2.0], None), None);
        assert_eq!(score(&[1, 3], &[1.0, 2.0, 3.0], Some(3)), None);
        assert_eq!(score(&[0, 4], &[], Some(1)), None);
        assert_eq!(score(&[1, 1, 4], &[0.0; 4], Some(1)), None);
    }
}
