//! Token rows through a graph: packing, running, and cutting the padding off again.

use std::{
    borrow::Borrow,
    ops::Range,
    sync::{Arc, OnceLock},
};

use embedkit_types::{GraphOutput, LoadOptions, ModelFiles, Str};

use super::{
    round,
    session::{Input, Session, Values, View},
    tables::{Counted, Tables, tables},
};
use crate::{
    error::Error,
    pipeline::{Grouping, Workload},
    tokenizer::{Padding, Positions, Side, Tokens},
};

pub(super) const INPUT_IDS: &str = "input_ids";
pub(super) const ATTENTION_MASK: &str = "attention_mask";
const TOKEN_TYPE_IDS: &str = "token_type_ids";
const POSITION_IDS: &str = "position_ids";
/// Input of a decoder that was exported once for both uses: whether to read the cache, here false.
const USE_CACHE: &str = "use_cache_branch";
/// Prefix of the inputs that continue an earlier run of a decoder, such as `past_key_values.0.key`.
const CACHE: &str = "past_";
/// Position id of padding before a text, as transformers has it.
const PADDING_POSITION: i64 = 1;

/// A family's demands on its graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextGraphOptions {
    /// The output that is read.
    pub output: GraphOutput,
    /// Outputs that are read beside it, of the same run.
    pub more_outputs: Vec<GraphOutput>,
    /// How rows are brought to one length.
    pub padding: Padding,
    /// Names of inputs beyond token ids, mask and token types, which the family feeds itself and the
    /// graph has to have.
    pub extra_inputs: Vec<Str>,
}

/// A graph that takes token rows. A clone runs on the same session.
#[derive(Debug, Clone)]
pub struct TextGraph {
    session: Arc<Session>,
    options: TextGraphOptions,
    allow_batch_dependence: bool,
    files: ModelFiles,
    bound: OnceLock<Bound>,
    tables: OnceLock<Tables>,
}

/// Inputs and outputs that the graph declares.
#[derive(Debug, Clone)]
struct Bound {
    /// The output that is read, and those beside it.
    outputs: Vec<usize>,
    mask: bool,
    types: bool,
    /// Position id of the first token, for a graph that takes position ids.
    first_position: Option<i64>,
    /// Inputs for the key-value cache of earlier tokens, which is empty.
    cache: Vec<CacheInput>,
    use_cache: Option<UseCache>,
}

/// Keys or values of earlier tokens.
#[derive(Debug, Clone)]
struct CacheInput {
    name: String,
    /// `[batch, heads, tokens, width]` as a rule; open are the batch, which comes first of these, and
    /// the number of tokens.
    shape: Vec<Option<usize>>,
}

impl CacheInput {
    /// The shape without tokens.
    fn empty(&self, rows: usize) -> Vec<usize> {
        // A lone open dimension is the number of tokens, in a graph for batches of one size.
        let open = self.shape.iter().filter(|dim| dim.is_none()).count();
        let batch = self.shape.iter().position(Option::is_none).filter(|_| open > 1);
        let dims = self.shape.iter().enumerate();
        dims.map(|(axis, dim)| dim.unwrap_or(if Some(axis) == batch { rows } else { 0 })).collect()
    }
}

/// The shape of the switch, `[1]` or that of a scalar.
#[derive(Debug, Clone, Copy)]
struct UseCache {
    scalar: bool,
}

/// The output of the graph for one text, without padding.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Vectors of the positions, one after the other, or the one vector of a graph that pools.
    pub values: &'a [f32],
    /// Shape of `values`: `[positions, width]`, `[width]`, or more for other graphs.
    pub shape: &'a [usize],
    /// Tokens that were attended to. 0 for a text without any token, which still has one position,
    /// of padding.
    pub attended: usize,
    /// Tokens at the start that are not pooled ([`Tokens::unpooled`]).
    pub unpooled: usize,
    /// True where the first axis of `shape` is that of the tokens.
    pub per_token: bool,
    /// True for a graph that computes in half precision.
    pub half: bool,
    graph: &'a TextGraph,
    /// Position of the output in the graph.
    output: usize,
    whole: &'a [usize],
}

impl Row<'_> {
    /// Rounds a number that was computed from the output to the graph's own precision, since
    /// FastEmbed's results have the type of the graph.
    #[must_use]
    pub fn round(&self, x: f64) -> f32 {
        round::round(x, self.half)
    }

    /// The error for a shape that the family cannot use; `expected` is in words.
    #[must_use]
    pub fn shape_error(&self, expected: &str) -> Error {
        self.graph.shape_error(self.output, self.whole, expected)
    }
}

impl TextGraph {
    /// Opens the graph of `files` and checks what it declares, now or, with `load.lazy`, at its
    /// first use.
    ///
    /// # Errors
    /// Those of [`Session::open`], [`Error::MissingInput`] without `input_ids` or one of the family's
    /// own inputs, [`Error::UnknownInput`] and [`Error::MissingOutput`].
    pub fn open(
        files: &ModelFiles,
        load: &LoadOptions,
        options: TextGraphOptions,
    ) -> Result<Self, Error> {
        let graph = Self {
            session: Arc::new(Session::open(&files.model, load)?),
            options,
            allow_batch_dependence: load.allow_batch_dependence,
            files: files.clone(),
            bound: OnceLock::new(),
            tables: OnceLock::new(),
        };
        if !load.lazy {
            graph.bound()?;
            graph.tables()?;
        }
        Ok(graph)
    }

    /// The same graph on the same session, for rows that are brought to one length otherwise.
    #[must_use]
    pub fn with_padding(mut self, padding: Padding) -> Self {
        self.options.padding = padding;
        self
    }

    /// The session underneath.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Dimension of the vectors, where the graph fixes it.
    ///
    /// # Errors
    /// Those of loading, where the graph is opened lazily.
    pub fn dim(&self) -> Result<Option<usize>, Error> {
        self.session.output_width(self.bound()?.outputs[0])
    }

    /// Which rows may share a batch, so that a text's result does not depend on its neighbours.
    ///
    /// # Errors
    /// Those of loading, where the graph is opened lazily.
    pub fn grouping(&self) -> Result<Grouping, Error> {
        let bound = self.bound()?;
        let fixed = self.options.padding.fixed.is_some();
        Ok(if self.session.depends_on_batch()? && !self.allow_batch_dependence {
            Grouping::Alone
        } else if !fixed && (!bound.mask || self.options.padding.side == Side::Left) {
            // Without a mask padding is text like any other; on the left it moves the text.
            Grouping::SameLength
        } else {
            Grouping::Any
        })
    }

    /// The length that a text has in a batch of its own.
    #[must_use]
    pub fn padded(&self, tokens: &Tokens) -> usize {
        self.options.padding.padded(tokens.ids.len())
    }

    /// Checks that the graph has a vector for each token of a text and for each of its positions, as
    /// far as its file shows. `text` is the text of a token.
    ///
    /// # Errors
    /// [`Error::TokenWithoutRow`], [`Error::TooManyTokens`], and [`Error::Read`].
    pub fn check(
        &self,
        tokens: &Tokens,
        text: impl FnOnce(u32) -> Option<String>,
    ) -> Result<(), Error> {
        let tables = self.tables()?;
        if let Some(rows) = tables.tokens {
            let has_row = |&&id: &&u32| usize::try_from(id).is_ok_and(|id| id < rows);
            if let Some(&id) = tokens.ids.iter().find(|id| !has_row(id)) {
                let (path, token) = (self.session.path().to_owned(), text(id).unwrap_or_default());
                return Err(Error::TokenWithoutRow { path, token, id, rows });
            }
        }
        for positions in &tables.positions {
            let found = match positions.counted {
                Counted::All => self.padded(tokens),
                Counted::Attended if tokens.attention.is_empty() => tokens.ids.len(),
                Counted::Attended => tokens.attention.iter().filter(|&&seen| seen).count(),
                Counted::Without(token) => {
                    tokens.ids.iter().filter(|&&id| i64::from(id) != token).count()
                }
            };
            let limit = positions.limit();
            if found > limit {
                let path = self.session.path().to_owned();
                return Err(Error::TooManyTokens { path, found, limit });
            }
        }
        Ok(())
    }

    fn tables(&self) -> Result<&Tables, Error> {
        if let Some(tables) = self.tables.get() {
            return Ok(tables);
        }
        let tables = tables(self.session.path())?;
        Ok(self.tables.get_or_init(|| tables))
    }

    /// Runs one batch and finishes its rows, in order. `extra` are the family's own inputs.
    ///
    /// # Errors
    /// Those of the run, an output whose first axis is not the batch, and [`Error::MissingInput`] for
    /// a token that is not to be attended to where the graph takes no mask.
    pub fn run<T, R: Borrow<Tokens>>(
        &self,
        workload: Workload,
        rows: &[R],
        extra: &[Input<'_>],
        mut finish: impl FnMut(Row<'_>) -> T,
    ) -> Result<Vec<T>, Error> {
        self.run_all(workload, rows, extra, |outputs| finish(outputs[0]))
    }

    /// [`run`](Self::run) for a graph of several outputs: `finish` gets a row of each, in the order of the
    /// options.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn run_all<T, R: Borrow<Tokens>>(
        &self,
        workload: Workload,
        rows: &[R],
        extra: &[Input<'_>],
        mut finish: impl FnMut(&[Row<'_>]) -> T,
    ) -> Result<Vec<T>, Error> {
        let bound = self.bound()?;
        if !bound.mask && rows.iter().any(|row| !row.borrow().attention.is_empty()) {
            // It would attend to tokens that it must not attend to.
            let declared: Vec<_> = self.session.inputs()?.collect();
            return Err(self.missing_input(ATTENTION_MASK, &declared));
        }
        let length = rows.iter().map(|row| self.padded(row.borrow())).max().unwrap_or(0);
        let packed = Packed::new(rows, length, self.options.padding);
        let shape = [rows.len(), length];
        let mut inputs = Vec::with_capacity(3 + extra.len());
        let mut feed = |name, values| {
            inputs.push(Input { name, shape: &shape, values: Values::I64(values) });
        };
        feed(INPUT_IDS, &packed.ids);
        if bound.mask {
            feed(ATTENTION_MASK, &packed.mask);
        }
        if bound.types {
            feed(TOKEN_TYPE_IDS, &packed.types);
        }
        let positions;
        if let Some(first) = bound.first_position {
            positions = position_ids(rows, length, self.options.padding.side, first);
            feed(POSITION_IDS, &positions);
        }
        let empty: Vec<_> = bound.cache.iter().map(|cache| cache.empty(rows.len())).collect();
        inputs.extend(bound.cache.iter().zip(&empty).map(|(cache, shape)| Input {
            name: &cache.name,
            shape,
            values: Values::F32(&[]),
        }));
        inputs.extend(bound.use_cache.map(|switch| Input {
            name: USE_CACHE,
            shape: if switch.scalar { &[] } else { &[1] },
            values: Values::I64(&[0]),
        }));
        inputs.extend_from_slice(extra);
        let tokens: usize = rows.iter().map(|row| row.borrow().ids.len()).sum();
        let span = tracing::debug_span!("run", rows = rows.len(), length, tokens);
        let entered = span.enter();
        self.session.run(workload, &inputs, &bound.outputs, |views| {
            drop(entered);
            let _finish = tracing::debug_span!("finish", rows = rows.len()).entered();
            self.finish(rows, length, views, &mut finish)
        })?
    }

    fn finish<T, R: Borrow<Tokens>>(
        &self,
        rows: &[R],
        length: usize,
        views: &[View<'_>],
        finish: &mut impl FnMut(&[Row<'_>]) -> T,
    ) -> Result<Vec<T>, Error> {
        let outputs = &self.bound()?.outputs;
        for (view, &output) in views.iter().zip(outputs) {
            let expected = match view.shape.first() {
                None => "one row per text".to_owned(),
                Some(&batch) if batch != rows.len() => format!("{} rows", rows.len()),
                Some(_) => continue,
            };
            return Err(self.shape_error(output, view.shape, &expected));
        }
        let one = |(index, row): (usize, &R)| {
            let row: &Tokens = row.borrow();
            let cut = |view: &View<'_>| self.options.padding.cut(&view.shape[1..], length, row);
            let cuts: Vec<_> = views.iter().map(cut).collect();
            let attended = if row.attention.is_empty() {
                row.ids.len()
            } else {
                row.attention.iter().filter(|&&attended| attended).count()
            };
            let of_output = |place: usize| {
                let (view, cut) = (&views[place], &cuts[place]);
                let size: usize = view.shape[1..].iter().product();
                Row {
                    values: &view.values[index * size..][..size][cut.values.clone()],
                    shape: &cut.shape,
                    attended,
                    unpooled: row.unpooled,
                    per_token: cut.per_token,
                    half: view.half,
                    graph: self,
                    output: outputs[place],
                    whole: view.shape,
                }
            };
            let rows: Vec<_> = (0..views.len()).map(of_output).collect();
            finish(&rows)
        };
        Ok(rows.iter().enumerate().map(one).collect())
    }

    fn bound(&self) -> Result<&Bound, Error> {
        if let Some(bound) = self.bound.get() {
            return Ok(bound);
        }
        let declared: Vec<_> = self.session.inputs()?.collect();
        let extra = || self.options.extra_inputs.iter().map(AsRef::as_ref);
        let mut required = std::iter::once(INPUT_IDS).chain(extra());
        if let Some(missing) = required.find(|input| !declared.contains(input)) {
            return Err(self.missing_input(missing, &declared));
        }
        let known: Vec<&str> = [
            INPUT_IDS,
            ATTENTION_MASK,
            TOKEN_TYPE_IDS,
            POSITION_IDS,
            USE_CACHE,
            "past_key_values.*",
        ]
        .into_iter()
        .chain(extra())
        .collect();
        let mut cache = Vec::new();
        for (index, name) in declared.iter().enumerate() {
            let shape = self.session.input_shape(index)?;
            if name.starts_with(CACHE) && shape.contains(&None) {
                cache.push(CacheInput { name: (*name).to_owned(), shape: shape.to_vec() });
            }
        }
        let unknown = |input: &&&str| {
            !known.contains(*input) && !cache.iter().any(|known| known.name == **input)
        };
        if let Some(input) = declared.iter().find(unknown) {
            return Err(Error::UnknownInput {
                path: self.session.path().to_owned(),
                input: (*input).to_owned(),
                known: known.iter().map(ToString::to_string).collect(),
            });
        }
        let outputs = std::iter::once(&self.options.output).chain(&self.options.more_outputs);
        let bound = Bound {
            outputs: outputs.map(|output| self.session.output(output)).collect::<Result<_, _>>()?,
            mask: declared.contains(&ATTENTION_MASK),
            types: declared.contains(&TOKEN_TYPE_IDS),
            first_position: if declared.contains(&POSITION_IDS)
                && !extra().any(|name| name == POSITION_IDS)
            {
                let first = Positions::load(&self.files)?.first;
                Some(i64::try_from(first).unwrap_or(i64::MAX))
            } else {
                None
            },
            use_cache: match declared.iter().position(|name| *name == USE_CACHE) {
                Some(index) => {
                    Some(UseCache { scalar: self.session.input_shape(index)?.is_empty() })
                }
                None => None,
            },
            cache,
        };
        Ok(self.bound.get_or_init(|| bound))
    }

    fn missing_input(&self, expected: &str, declared: &[&str]) -> Error {
        Error::MissingInput {
            path: self.session.path().to_owned(),
            expected: expected.to_owned(),
            found: declared.iter().map(ToString::to_string).collect(),
        }
    }

    fn shape_error(&self, output: usize, found: &[usize], expected: &str) -> Error {
        Error::OutputShape {
            path: self.session.path().to_owned(),
            output: self.session.output_name(output).unwrap_or_default().to_owned(),
            found: found.to_vec(),
            expected: expected.to_owned(),
        }
    }
}

/// The part of an output that belongs to the tokens of one text.
struct Cut {
    values: Range<usize>,
    shape: Vec<usize>,
    /// True where the first axis of the shape is that of the tokens.
    per_token: bool,
}

impl Padding {
    /// The part that belongs to a text, of its output with this shape in a batch of `length`.
    fn cut(&self, shape: &[usize], length: usize, row: &Tokens) -> Cut {
        let size: usize = shape.iter().product();
        let mut shape = shape.to_vec();
        // With more axes, as an attention has, the first is not that of the tokens, even where it
        // happens to be as long.
        let per_token = shape.len() == 2 && shape[0] == length;
        let mut values = 0..size;
        if per_token {
            let position = size / length;
            let kept = row.ids.len().max(1);
            let start = match self.side {
                Side::Left => length - kept,
                Side::Right => 0,
            };
            values = start * position..(start + kept) * position;
            shape[0] = kept;
        }
        Cut { values, shape, per_token }
    }
}

/// The position id of each token of a batch, `[rows, length]`: from `first` on within its text, wherever
/// padding has moved that. Behind a text the count goes on, as in encoders that count themselves.
fn position_ids<R: Borrow<Tokens>>(rows: &[R], length: usize, side: Side, first: i64) -> Vec<i64> {
    let row = |row: &R| {
        let before = match side {
            Side::Left => length - row.borrow().ids.len(),
            Side::Right => 0,
        };
        let counted = (first..).take(length - before);
        std::iter::repeat_n(PADDING_POSITION, before).chain(counted)
    };
    rows.iter().flat_map(row).collect()
}

/// A batch as rectangular tensors.
struct Packed {
    ids: Vec<i64>,
    mask: Vec<i64>,
    types: Vec<i64>,
}

impl Packed {
    fn new<R: Borrow<Tokens>>(rows: &[R], length: usize, padding: Padding) -> Self {
        let size = rows.len() * length;
        let mut ids = vec![i64::from(padding.id); size];
        let mut mask = vec![0; size];
        let mut types = vec![0; size];
        for (index, row) in rows.iter().map(R::borrow).enumerate() {
            let start = index * length
                + match padding.side {
                    Side::Left => length - row.borrow().ids.len(),
                    Side::Right => 0,
                };
            let end = start + row.ids.len();
            for (slot, &id) in ids[start..end].iter_mut().zip(&row.ids) {
                *slot = i64::from(id);
            }
            if !row.type_ids.is_empty() {
                types[index * length..][..length].fill(i64::from(padding.type_id));
                for (slot, &id) in types[start..end].iter_mut().zip(&row.type_ids) {
                    *slot = i64::from(id);
                }
            }
            if row.attention.is_empty() {
                mask[start..end].fill(1);
            } else {
                for (slot, &attended) in mask[start..end].iter_mut().zip(&row.attention) {
                    *slot = i64::from(attended);
                }
            }
        }
        Self { ids, mask, types }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_goes_to_its_side() {
        let row = |ids: &[u32], type_ids: &[u32]| Tokens {
            ids: ids.to_vec(),
            type_ids: type_ids.to_vec(),
            ..Tokens::default()
        };
        let rows = [row(&[1, 2, 3], &[]), row(&[4], &[1])];
        let mut padding =
            Padding { side: Side::Right, id: 9, type_id: 2, multiple_of: 1, fixed: None };
        let packed = Packed::new(&rows, 3, padding);
        assert_eq!(packed.ids, [1, 2, 3, 4, 9, 9]);
        assert_eq!(packed.mask, [1, 1, 1, 1, 0, 0]);
        assert_eq!(packed.types, [0, 0, 0, 1, 2, 2]);
        padding.side = Side::Left;
        let packed = Packed::new(&rows, 3, padding);
        assert_eq!(packed.ids, [1, 2, 3, 9, 9, 4]);
        assert_eq!(packed.mask, [1, 1, 1, 0, 0, 1]);
        assert_eq!(packed.types, [0, 0, 0, 2, 2, 1]);
    }

    #[test]
    fn position_ids_follow_the_text() {
        let rows = [3, 1, 0].map(|len| Tokens { ids: vec![7; len], ..Tokens::default() });
        let right = position_ids(&rows, 3, Side::Right, 0);
        assert_eq!(right, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
        let left = position_ids(&rows, 3, Side::Left, 2);
        assert_eq!(left, [2, 3, 4, 1, 1, 2, 1, 1, 1]);
    }

    #[test]
    fn a_cache_is_empty() {
        let empty = |shape: &[Option<usize>]| {
            CacheInput { name: "past_0".to_owned(), shape: shape.to_vec() }.empty(5)
        };
        assert_eq!(empty(&[None, Some(8), None, Some(64)]), [5, 8, 0, 64]);
        // Keys and values in one, as older exports have them.
        assert_eq!(empty(&[Some(2), None, Some(8), None, Some(64)]), [2, 5, 8, 0, 64]);
        assert_eq!(empty(&[Some(1), Some(8), None, Some(64)]), [1, 8, 0, 64]);
    }

    #[test]
    fn a_token_may_be_unattended_without_being_padding() {
        let query =
            Tokens { ids: vec![1, 2, 3], attention: vec![true, false, true], ..Tokens::default() };
        let padding = Padding { side: Side::Right, id: 9, type_id: 0, multiple_of: 1, fixed: None };
        let packed = Packed::new(&[query], 4, padding);
        assert_eq!(packed.ids, [1, 2, 3, 9]);
        assert_eq!(packed.mask, [1, 0, 1, 0]);
    }

    #[test]
    fn lengths_are_rounded_and_fixed() {
        let mut padding =
            Padding { side: Side::Right, id: 0, type_id: 0, multiple_of: 8, fixed: None };
        assert_eq!([0, 1, 8, 9].map(|len| padding.padded(len)), [8, 8, 8, 16]);
        padding.fixed = Some(64);
        assert_eq!(padding.padded(3), 64);
    }
}
