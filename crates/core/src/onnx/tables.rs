//! Embedding tables of a graph: token ids and positions that it has vectors for, read from its file.
//!
//! Nodes are followed from `input_ids` and `attention_mask` to the tables that are read with them.
//! Only what the file proves is used: a graph that reads its tables in another way has no limits here,
//! and says itself what it does not like.

use std::{collections::HashMap, path::Path};

use super::{
    graph::{self, fields, map, messages, varint},
    text::{ATTENTION_MASK, INPUT_IDS},
};
use crate::error::Error;

/// Sizes of a graph's embedding tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tables {
    /// Rows of the smallest table of token embeddings.
    pub(super) tokens: Option<usize>,
    /// Tables of position embeddings.
    pub(super) positions: Vec<PositionTable>,
}

/// A table of position embeddings, read up to the count of something and `add`, less 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PositionTable {
    pub(super) rows: usize,
    pub(super) counted: Counted,
    pub(super) add: i64,
}

/// Unit in which positions are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// All positions of the batch, padding included.
    All,
    /// Tokens that are attended to.
    Attended,
    /// Tokens other than this one.
    Without(i64),
}

impl PositionTable {
    /// The largest count that the table has rows for.
    pub(super) fn limit(&self) -> usize {
        let rows = i64::try_from(self.rows).unwrap_or(i64::MAX);
        usize::try_from(rows.saturating_sub(self.add)).unwrap_or(0)
    }
}

/// Reads the limits of the graph at `path`.
///
/// # Errors
/// [`Error::Read`]. A file that is not ONNX is reported by the runtime, which knows better.
pub(super) fn tables(path: &Path) -> Result<Tables, Error> {
    let Some(map) = map(path)? else { return Ok(Tables::default()) };
    let graph = messages(&map).find_map(|(field, body)| (field == 7).then_some(body));
    Ok(graph.map_or_else(Tables::default, tables_of))
}

fn tables_of(graph: &[u8]) -> Tables {
    let mut reader = Reader::default();
    reader.values.insert(INPUT_IDS.as_bytes(), Value::Ids);
    reader.values.insert(ATTENTION_MASK.as_bytes(), Value::Mask(Counted::Attended));
    for (field, body) in messages(graph) {
        if field == 5 {
            let tensor = Tensor::new(body);
            reader.values.insert(tensor.name, tensor.value());
        }
    }
    for (_, body) in messages(graph).filter(|(field, _)| *field == 1) {
        let node = Node::new(body);
        if let Some(value) = reader.read(&node)
            && let Some(&output) = node.outputs.first()
        {
            reader.values.insert(output, value);
        }
    }
    reader.tables
}

/// Facts on a tensor of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// Token ids, in their order.
    Ids,
    /// True or 1 for the tokens that are counted.
    Mask(Counted),
    /// True where the token is this one.
    Equal(i64),
    /// The shape of the ids: batch and length.
    Shape,
    /// One number: the length and this.
    Length(i64),
    /// One number.
    Number(i64),
    /// A constant of this shape.
    Constant(Vec<usize>),
    /// Positions up to the count and `add`, less 1.
    Positions(Counted, i64),
}

#[derive(Default)]
struct Reader<'a> {
    values: HashMap<&'a [u8], Value>,
    tables: Tables,
}

impl<'a> Reader<'a> {
    fn input(&self, node: &Node<'a>, index: usize) -> Option<&Value> {
        self.values.get(node.inputs.get(index)?)
    }

    fn number(&self, node: &Node<'a>, index: usize) -> Option<i64> {
        if let Value::Number(number) = self.input(node, index)? { Some(*number) } else { None }
    }

    /// Facts on a node's first output; on the way, which tables it reads.
    fn read(&mut self, node: &Node<'a>) -> Option<Value> {
        let first = self.input(node, 0).cloned();
        match (node.operator, first) {
            (b"Constant", _) => node.constant.clone(),
            (
                b"Identity" | b"Cast" | b"Unsqueeze" | b"Squeeze" | b"Expand",
                // A table whose axes move is none any more.
                Some(value @ (Value::Ids | Value::Mask(_) | Value::Equal(_) | Value::Length(_)))
                | Some(value @ (Value::Number(_) | Value::Positions(..))),
            ) => Some(value),
            (b"Identity" | b"Cast" | b"DequantizeLinear", Some(value @ Value::Constant(_))) => {
                Some(value)
            }
            (b"Shape", Some(Value::Ids | Value::Mask(_))) => {
                match (node.integer(b"start").unwrap_or(0), node.integer(b"end")) {
                    (0, None) => Some(Value::Shape),
                    (1 | -1, None | Some(2)) => Some(Value::Length(0)),
                    _ => None,
                }
            }
            (b"Gather", Some(Value::Shape)) => {
                matches!(self.number(node, 1)?, 1 | -1).then_some(Value::Length(0))
            }
            (b"Slice", Some(Value::Shape)) => {
                let (start, end) = (self.number(node, 1)?, self.number(node, 2)?);
                (matches!(start, 1 | -1) && end >= 2).then_some(Value::Length(0))
            }
            (b"Slice", Some(Value::Constant(shape))) => {
                self.slice(node, &shape);
                None
            }
            (b"Gather" | b"GatherBlockQuantized", Some(Value::Constant(shape))) => {
                let axis = if node.operator == b"Gather" { &b"axis"[..] } else { b"gather_axis" };
                if node.integer(axis).unwrap_or(0) == 0
                    && let Some(index) = self.input(node, 1).cloned()
                {
                    self.table(&shape, &index);
                }
                None
            }
            (b"EmbedLayerNormalization", Some(ids)) => {
                if let Some(Value::Constant(shape)) = self.input(node, 2).cloned() {
                    self.table(&shape, &ids);
                }
                let own = node.inputs.get(8).is_none_or(|name| name.is_empty());
                if let Some(Value::Constant(shape)) = self.input(node, 3).cloned()
                    && own
                    && ids == Value::Ids
                {
                    self.table(&shape, &Value::Positions(Counted::All, 0));
                }
                None
            }
            (b"Range", Some(Value::Number(_))) => match self.input(node, 1)? {
                Value::Length(add) if self.number(node, 2) == Some(1) => {
                    Some(Value::Positions(Counted::All, *add))
                }
                _ => None,
            },
            (b"Equal", Some(Value::Ids)) => Some(Value::Equal(self.number(node, 1)?)),
            (b"Not", Some(Value::Equal(token))) => Some(Value::Mask(Counted::Without(token))),
            (b"CumSum", Some(Value::Mask(counted))) => {
                let plain = [&b"exclusive"[..], b"reverse"]
                    .iter()
                    .all(|name| node.integer(name).unwrap_or(0) == 0);
                // The last of the counted has their count, so 1 more than a position has.
                let along = matches!(self.number(node, 1)?, 1 | -1);
                (plain && along).then_some(Value::Positions(counted, 1))
            }
            (b"Mul", Some(first)) => match (first, self.input(node, 1)?) {
                (value @ Value::Positions(..), Value::Mask(_)) => Some(value),
                (Value::Mask(_), value @ Value::Positions(..)) => Some(value.clone()),
                _ => None,
            },
            (b"Add", Some(first)) => add(&first, self.input(node, 1)?, 1),
            (b"Sub", Some(first)) => add(&first, self.input(node, 1)?, -1),
            _ => None,
        }
    }

    /// A table that is read with `index` along its first axis.
    fn table(&mut self, shape: &[usize], index: &Value) {
        let &[rows, _, ..] = shape else { return };
        match *index {
            Value::Ids => {
                let tokens = &mut self.tables.tokens;
                *tokens = Some(tokens.map_or(rows, |least| least.min(rows)));
            }
            Value::Positions(counted, add) => {
                self.tables.positions.push(PositionTable { rows, counted, add });
            }
            _ => {}
        }
    }

    /// The positions of a batch, cut out of a constant list of all positions. A slice that is shorter
    /// than the text fits nowhere.
    fn slice(&mut self, node: &Node<'a>, shape: &[usize]) {
        let (&[rows] | &[1, rows]) = shape else { return };
        let axis = i64::from(shape.len() == 2);
        let along = self.number(node, 3).is_some_and(|found| found == axis || found == -1);
        let step = node.inputs.get(4).is_none_or(|_| self.number(node, 4) == Some(1));
        if rows > 1
            && along
            && step
            && let Some(&Value::Length(add)) = self.input(node, 2)
            && self.number(node, 1) == Some(add)
        {
            self.tables.positions.push(PositionTable { rows, counted: Counted::All, add });
        }
    }
}

fn add(a: &Value, b: &Value, sign: i64) -> Option<Value> {
    let sum = |x: i64, y: i64| x.checked_add(y.checked_mul(sign)?);
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => Some(Value::Number(sum(*x, *y)?)),
        (Value::Length(x), Value::Number(y)) => Some(Value::Length(sum(*x, *y)?)),
        (Value::Positions(counted, x), Value::Number(y)) => {
            Some(Value::Positions(*counted, sum(*x, *y)?))
        }
        (Value::Number(_), Value::Length(_) | Value::Positions(..)) if sign == 1 => add(b, a, 1),
        _ => None,
    }
}

/// A `NodeProto`.
#[derive(Default)]
struct Node<'a> {
    inputs: Vec<&'a [u8]>,
    outputs: Vec<&'a [u8]>,
    operator: &'a [u8],
    integers: Vec<(&'a [u8], i64)>,
    constant: Option<Value>,
}

impl<'a> Node<'a> {
    fn new(body: &'a [u8]) -> Self {
        let mut node = Self::default();
        for (field, body) in messages(body) {
            match field {
                1 => node.inputs.push(body),
                2 => node.outputs.push(body),
                4 => node.operator = body,
                5 => node.attribute(body),
                _ => {}
            }
        }
        node
    }

    fn attribute(&mut self, body: &'a [u8]) {
        let (mut name, mut integer) = (&b""[..], None);
        for field in fields(body) {
            match field {
                (1, graph::Value::Bytes(bytes)) => name = bytes,
                (3, graph::Value::Number(value)) => integer = Some(value.cast_signed()),
                (5, graph::Value::Bytes(tensor)) => {
                    self.constant = Some(Tensor::new(tensor).value());
                }
                _ => {}
            }
        }
        if let Some(integer) = integer {
            self.integers.push((name, integer));
            if name == b"value_int" {
                self.constant = Some(Value::Number(integer));
            }
        }
    }

    fn integer(&self, name: &[u8]) -> Option<i64> {
        self.integers.iter().find(|(found, _)| *found == name).map(|&(_, value)| value)
    }
}

/// The integers of a repeated field, of which this is one, or all of them packed.
fn integers<'a>(field: &graph::Value<'a>) -> impl Iterator<Item = i64> + use<'a> {
    let (one, mut packed) = match *field {
        graph::Value::Number(value) => (Some(value.cast_signed()), &[][..]),
        graph::Value::Bytes(bytes) => (None, bytes),
    };
    let packed = std::iter::from_fn(move || varint(&mut packed).map(u64::cast_signed));
    one.into_iter().chain(packed)
}

/// Axes of a shape that are looked at: more than any table has.
const MOST_AXES: usize = 8;

/// A `TensorProto` without its data, unless that is one integer.
#[derive(Default)]
struct Tensor<'a> {
    name: &'a [u8],
    dims: Vec<usize>,
    kind: i64,
    raw: &'a [u8],
    integer: Option<i64>,
}

impl<'a> Tensor<'a> {
    fn new(body: &'a [u8]) -> Self {
        let mut tensor = Self::default();
        for field in fields(body) {
            match field {
                (1, ref dims) => {
                    // What is no size, no table has.
                    let dims = integers(dims).map(|dim| usize::try_from(dim).unwrap_or(0));
                    tensor.dims.extend(dims.take(MOST_AXES - tensor.dims.len()));
                }
                (2, graph::Value::Number(kind)) => tensor.kind = kind.cast_signed(),
                (5 | 7, ref values) => tensor.integer = integers(values).next().or(tensor.integer),
                (8, graph::Value::Bytes(name)) => tensor.name = name,
                (9, graph::Value::Bytes(raw)) => tensor.raw = raw,
                _ => {}
            }
        }
        tensor
    }

    fn value(self) -> Value {
        /// `TensorProto.DataType`.
        const INT32: i64 = 6;
        const INT64: i64 = 7;
        let raw = match self.kind {
            INT32 => self.raw.try_into().ok().map(|raw| i64::from(i32::from_le_bytes(raw))),
            INT64 => self.raw.try_into().ok().map(i64::from_le_bytes),
            _ => None,
        };
        let one = self.dims.iter().all(|&dim| dim == 1) && matches!(self.kind, INT32 | INT64);
        match self.integer.or(raw) {
            Some(number) if one => Value::Number(number),
            _ => Value::Constant(self.dims),
        }
    }
}
