//! Writes a graph as an ONNX file, streaming weights from the checkpoint.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use half::f16;

use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::graph::{Graph, Weight};
use crate::protobuf::Message;
use crate::unfinished::Unfinished;

/// Maximum size of a protobuf message in bytes: implementations count its length in 31 bits.
pub(crate) const MESSAGE_LIMIT: u64 = i32::MAX as u64;
/// Opset 17 is the first with `LayerNormalization`; version 8 of the file format came with it.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;
/// Alignment of weights in an external file, a memory page, so that they can be mapped.
const PAGE: u64 = 4096;
const TENSOR_RAW_DATA: u64 = 9;
const TENSOR_EXTERNAL_DATA: u64 = 13;
const TENSOR_DATA_LOCATION: u64 = 14;
const EXTERNAL: i64 = 1;
const GRAPH_INITIALIZER: u64 = 5;
const MODEL_GRAPH: u64 = 7;

/// Output paths of a model.
pub(crate) struct Target {
    model: PathBuf,
    data: PathBuf,
}

impl Target {
    /// Checks that `out` is neither a folder nor part of the checkpoint.
    pub(crate) fn new(out: &Path, dir: &Path, checkpoint: &Checkpoint) -> Result<Self, Error> {
        let refuse = |reason| Error::Output { path: out.to_owned(), reason };
        let name = out.file_name().ok_or_else(|| refuse("it does not name a file"))?;
        if out.is_dir() {
            return Err(refuse("it is a folder"));
        }
        let mut data_name = name.to_owned();
        data_name.push("_data");
        let data = out.with_file_name(data_name);
        let config = dir.join("config.json");
        for input in checkpoint.files().chain([config.as_path()]) {
            for output in [out, &data] {
                if let (Ok(a), Ok(b)) = (input.canonicalize(), output.canonicalize())
                    && a == b
                {
                    return Err(refuse("it is part of the checkpoint"));
                }
            }
        }
        Ok(Self { model: out.to_owned(), data })
    }
}

/// Told of the bytes that are written so far, and of all.
pub(crate) type OnProgress<'a> = dyn FnMut(u64, u64) + 'a;

/// The bytes of all files of a model.
struct Written<'a> {
    done: u64,
    total: u64,
    on_progress: &'a mut OnProgress<'a>,
}

impl Written<'_> {
    fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        (self.on_progress)(self.done, self.total);
    }
}

/// Writes `graph` and tells `on_progress`. Returns the bytes written and the external weight file, which a
/// model of more than `limit` bytes gets.
pub(crate) fn write<'a>(
    graph: &Graph,
    checkpoint: &Checkpoint,
    target: &Target,
    limit: u64,
    on_progress: &'a mut OnProgress<'a>,
) -> Result<(u64, Option<PathBuf>), Error> {
    let inline = Layout::inline(graph);
    let mut written = Written { done: 0, total: inline.total, on_progress };
    if inline.total <= limit {
        let file = write_parts(&target.model, target, &mut written, |sink| {
            inline.write(graph, checkpoint, sink)
        })?;
        Unfinished::persist([(file, &target.model)])?;
        return Ok((inline.total, None));
    }
    let name =
        target.data.file_name().and_then(|name| name.to_str()).ok_or_else(|| Error::Output {
            path: target.model.clone(),
            reason: "its name has to be UTF-8, because the model names its file of weights",
        })?;
    let (external, data_len) = Layout::external(graph, name);
    written.total = external.total + data_len;
    let data = write_parts(&target.data, target, &mut written, |sink| {
        let mut at = 0;
        for weight in &graph.weights {
            let start = u64::next_multiple_of(at, PAGE);
            sink(&vec![0; (start - at) as usize])?;
            write_weight(weight, checkpoint, sink)?;
            at = start + weight.bytes();
        }
        Ok(())
    })?;
    let model = write_parts(&target.model, target, &mut written, |sink| {
        external.write(graph, checkpoint, sink)
    })?;
    // The weights come first: a model without its weights would look damaged.
    Unfinished::persist([(data, &target.data), (model, &target.model)])?;
    Ok((external.total + data_len, Some(target.data.clone())))
}

/// Encodes a graph whose weights are all in memory.
pub fn encode(graph: &Graph) -> Vec<u8> {
    let layout = Layout::new(graph, Vec::new(), true);
    [layout.begin, layout.end].concat()
}

/// A sink for bytes.
type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Error> + 'a;

/// An encoded ONNX file with gaps for the weights.
struct Layout {
    /// Bytes before the first weight.
    begin: Vec<u8>,
    /// For each weight, the bytes before its numbers, and `true` if the numbers follow.
    weights: Vec<Message>,
    inline: bool,
    /// Bytes after the last weight.
    end: Vec<u8>,
    total: u64,
}

impl Layout {
    /// Lays out all weights inside the file.
    fn inline(graph: &Graph) -> Self {
        let weights = graph.weights.iter().map(|weight| {
            let tensor = weight.announcement().announce(TENSOR_RAW_DATA, weight.bytes());
            let length = tensor.0.len() as u64 + weight.bytes();
            let mut field = Message::new().announce(GRAPH_INITIALIZER, length);
            field.0.extend(tensor.0);
            field
        });
        Self::new(graph, weights.collect(), true)
    }

    /// Lays out all weights in the file `name` and returns its size, too.
    fn external(graph: &Graph, name: &str) -> (Self, u64) {
        let mut at: u64 = 0;
        let weights = graph.weights.iter().map(|weight| {
            let start = at.next_multiple_of(PAGE);
            at = start + weight.bytes();
            let (start, length) = (start.to_string(), weight.bytes().to_string());
            let tensor = [("location", name), ("offset", &start), ("length", &length)]
                .into_iter()
                .fold(weight.announcement(), |tensor, (key, value)| {
                    tensor.bytes(TENSOR_EXTERNAL_DATA, Message::new().bytes(1, key).bytes(2, value))
                })
                .int(TENSOR_DATA_LOCATION, EXTERNAL);
            Message::new().bytes(GRAPH_INITIALIZER, tensor)
        });
        let weights = weights.collect();
        (Self::new(graph, weights, false), at)
    }

    fn new(graph: &Graph, weights: Vec<Message>, inline: bool) -> Self {
        let content = Message::new()
            .each(graph.nodes.iter().enumerate(), |content, (place, node)| {
                content.bytes(1, node.encode(place))
            })
            .bytes(2, "encoder")
            .each(graph.constants.values(), |content, tensor| {
                content.bytes(GRAPH_INITIALIZER, tensor)
            });
        let ports = Message::new()
            .each(&graph.inputs, |ports, input| ports.bytes(11, input.encode()))
            .bytes(12, graph.output.encode());
        let announced: u64 = weights.iter().map(|weight| weight.0.len() as u64).sum();
        let numbers: u64 = if inline { graph.weights.iter().map(Weight::bytes).sum() } else { 0 };
        let graph_len = content.0.len() as u64 + announced + numbers + ports.0.len() as u64;
        let mut begin = Message::new()
            .int(1, IR_VERSION)
            .bytes(2, env!("CARGO_PKG_NAME"))
            .bytes(3, env!("CARGO_PKG_VERSION"))
            .announce(MODEL_GRAPH, graph_len)
            .0;
        let opset = Message::new().bytes(1, "").int(2, OPSET);
        let mut end = ports.0;
        let total = begin.len() as u64 + graph_len;
        begin.extend(content.0);
        let opset = Message::new().bytes(8, opset).0;
        let total = total + opset.len() as u64;
        end.extend(opset);
        Self { begin, weights, inline, end, total }
    }

    fn write(
        &self,
        graph: &Graph,
        checkpoint: &Checkpoint,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        sink(&self.begin)?;
        for (weight, before) in graph.weights.iter().zip(&self.weights) {
            sink(&before.0)?;
            if self.inline {
                write_weight(weight, checkpoint, sink)?;
            }
        }
        sink(&self.end)
    }
}

/// Writes the numbers of a weight in the type of the graph.
fn write_weight(
    weight: &Weight,
    checkpoint: &Checkpoint,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    if !weight.half {
        return write_floats(weight, checkpoint, sink);
    }
    let mut narrow = Vec::new();
    write_floats(weight, checkpoint, &mut |bytes| {
        narrow.clear();
        for &number in bytes.as_chunks().0 {
            let number = f32::from_le_bytes(number);
            let half = f16::from_f32(number);
            if number.is_finite() && !half.is_finite() {
                let path = checkpoint.path_of(&weight.source);
                return Err(Error::TooLargeForF16 { path, tensor: weight.name.clone(), number });
            }
            narrow.extend(half.to_le_bytes());
        }
        sink(&narrow)
    })
}

/// Writes the numbers of a weight as f32. A matrix to transpose is held in memory.
fn write_floats(
    weight: &Weight,
    checkpoint: &Checkpoint,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let &[rows, columns] = weight.source.shape() else {
        return checkpoint.stream(&weight.source, sink);
    };
    if !weight.transposed {
        return checkpoint.stream(&weight.source, sink);
    }
    let mut matrix = Vec::new();
    checkpoint.stream(&weight.source, |piece| {
        matrix.extend_from_slice(piece);
        Ok(())
    })?;
    let (rows, columns) = (rows as usize, columns as usize); // the matrix is in memory, so they fit
    let numbers = matrix.as_chunks::<4>().0;
    // Processes a few columns at a time, so that each pass over the rows reads whole cache lines.
    const COLUMNS: usize = 64;
    for first in (0..columns).step_by(COLUMNS) {
        let width = COLUMNS.min(columns - first);
        let mut turned = vec![[0; 4]; width * rows];
        for (row, line) in numbers.chunks_exact(columns).enumerate() {
            for (column, number) in line[first..first + width].iter().enumerate() {
                turned[column * rows + row] = *number;
            }
        }
        sink(turned.as_flattened())?;
    }
    Ok(())
}

/// Writes the output of `parts` to a temporary file beside `path`.
fn write_parts(
    path: &Path,
    target: &Target,
    written: &mut Written<'_>,
    parts: impl FnOnce(&mut Sink<'_>) -> Result<(), Error>,
) -> Result<Unfinished, Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let file = Unfinished::beside(&target.model, ".converting-").map_err(failed)?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    parts(&mut |bytes| {
        file.write_all(bytes).map_err(failed)?;
        written.add(bytes.len());
        Ok(())
    })?;
    file.into_inner().map_err(|error| failed(error.into_error()))
}
