//! Static models (model2vec and those of sentence-transformers): the mean of table rows, one per token.
//!
//! The table is a safetensors file, mapped into memory: `embeddings` or `embedding.weight` `[rows, dim]`,
//! and optionally `mapping` `[tokens]` from token id to row and `weights` `[tokens]`. Sum and mean point
//! the same way, so there is no division where the vector is scaled to unit length at once; a text
//! without known tokens is the zero vector.

use std::{path::Path, sync::Arc};

use embedkit_core::{
    Error, Layers, MappedFile, l2_normalize,
    tokenizer::{Tokenizer, TokenizerOptions, Tokens},
};
use embedkit_types::{ModelFiles, TextDense};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

/// Names of the tensor with the rows: that of model2vec and that of sentence-transformers.
const NAMES: [&str; 2] = ["embeddings", "embedding.weight"];

#[derive(Debug)]
pub(crate) struct StaticTable {
    tokenizer: Tokenizer,
    /// The token that is left out.
    unknown: Option<u32>,
    table: Table,
    layers: Layers,
    task: TextDense,
}

impl StaticTable {
    pub(crate) fn open(
        task: &TextDense,
        files: &ModelFiles,
        options: TokenizerOptions,
    ) -> Result<Self, Error> {
        let _span = tracing::info_span!("load", path = %files.model.display()).entered();
        let table = Table::open(&files.model)?;
        let (tokenizer, unknown) = Tokenizer::load_static(files, options)?;
        let unknown = unknown.filter(|_| !task.pool_unknown);
        let layers = Layers::open(files, &task.layers)?;
        Ok(Self { tokenizer, unknown, table, layers, task: task.clone() })
    }

    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    pub(crate) fn dim(&self) -> usize {
        self.task.dim_of(self.table.dim)
    }

    /// The vector of one text.
    pub(crate) fn embed(&self, tokens: &Tokens) -> Result<Vec<f32>, Error> {
        let (mut vector, count) = self.table.sum(tokens, self.unknown)?;
        if !self.task.normalize || !self.layers.is_empty() {
            #[expect(clippy::cast_precision_loss, reason = "a count of tokens")]
            let count = count.max(1) as f64;
            vector.iter_mut().for_each(|x| *x /= count);
        }
        let mut vector = self.layers.apply(vector)?;
        if self.task.normalize {
            l2_normalize(&mut vector);
        }
        #[expect(clippy::cast_possible_truncation, reason = "the one rounding step")]
        let rounded = vector.into_iter().map(|x| x as f32).collect();
        Ok(rounded)
    }
}

/// The tensors of the file, as offsets into the map.
#[derive(Debug)]
pub(crate) struct Table {
    path: Arc<Path>,
    map: MappedFile,
    dim: usize,
    rows: usize,
    embeddings: Tensor,
    mapping: Option<Vec<i64>>,
    weights: Option<Vec<f64>>,
}

#[derive(Debug)]
struct Tensor {
    dtype: Dtype,
    start: usize,
    shape: Vec<usize>,
}

impl Table {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let invalid = |reason: String| Error::InvalidFile { path: path.to_owned(), reason };
        let map = MappedFile::open(path)?;
        // The crate checks header size, offsets, overlaps and shapes.
        let tensors = SafeTensors::deserialize(&map).map_err(|error| invalid(error.to_string()))?;
        let tensor = |name: &str| {
            let view = tensors.tensor(name).ok()?;
            let start = view.data().as_ptr() as usize - map.as_ptr() as usize;
            Some((Tensor { dtype: view.dtype(), start, shape: view.shape().to_vec() }, view))
        };
        let Some((name, (embeddings, _))) =
            NAMES.into_iter().find_map(|name| Some((name, tensor(name)?)))
        else {
            let (names, found) = (NAMES.join("` or `"), tensors.names());
            return Err(invalid(format!("it has no tensor `{names}`, only {found:?}")));
        };
        let &[rows, dim] = embeddings.shape.as_slice() else {
            let shape = &embeddings.shape;
            return Err(invalid(format!("`{name}` has shape {shape:?}, not [rows, dim]")));
        };
        // With a row, the dimension is bounded by the size of the file.
        if rows == 0 || dim == 0 {
            return Err(invalid(format!("`{name}` is empty: shape [{rows}, {dim}]")));
        }
        if size(embeddings.dtype).is_none() {
            return Err(invalid(format!("`{name}` has elements of type {}", embeddings.dtype)));
        }
        let list = |name: &str| -> Result<Option<Vec<f64>>, Error> {
            let Some((found, view)) = tensor(name) else { return Ok(None) };
            let (&[len], Some(size)) = (found.shape.as_slice(), size(found.dtype)) else {
                let (shape, dtype) = (&found.shape, found.dtype);
                return Err(invalid(format!("`{name}` has shape {shape:?} and type {dtype}")));
            };
            let mut values = vec![0.0; len];
            add(found.dtype, &view.data()[..len * size], 1.0, &mut values);
            Ok(Some(values))
        };
        #[expect(clippy::cast_possible_truncation, reason = "rows are whole and below 2^53")]
        let mapping = list("mapping")?.map(|rows| rows.into_iter().map(|row| row as i64).collect());
        let weights = list("weights")?;
        Ok(Self { path: path.into(), dim, rows, embeddings, mapping, weights, map })
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// The sum of the rows of `tokens`, less the unknown one, and their number.
    pub(crate) fn sum(
        &self,
        tokens: &Tokens,
        unknown: Option<u32>,
    ) -> Result<(Vec<f64>, usize), Error> {
        let (mut sum, mut count) = (vec![0.0; self.dim], 0);
        for &id in tokens.ids.iter().filter(|&&id| Some(id) != unknown) {
            self.add(id as usize, &mut sum)?;
            count += 1;
        }
        Ok((sum, count))
    }

    /// Adds the weighted row of a token.
    fn add(&self, id: usize, sum: &mut [f64]) -> Result<(), Error> {
        let row = match &self.mapping {
            None => Some(id),
            Some(mapping) => mapping.get(id).and_then(|&row| usize::try_from(row).ok()),
        };
        let weight = self.weights.as_ref().map_or(Some(1.0), |weights| weights.get(id).copied());
        let (Some(row), Some(weight)) = (row.filter(|&row| row < self.rows), weight) else {
            return Err(Error::InvalidFile {
                path: self.path.to_path_buf(),
                reason: format!(
                    "the tokenizer's token {id} has no row among its {rows}",
                    rows = self.rows
                ),
            });
        };
        let bytes = self.dim * size(self.embeddings.dtype).unwrap_or(0);
        let start = self.embeddings.start + row * bytes;
        add(self.embeddings.dtype, &self.map[start..start + bytes], weight, sum);
        Ok(())
    }
}

/// Bytes of an element; `None` for types that are not supported.
fn size(dtype: Dtype) -> Option<usize> {
    Some(match dtype {
        Dtype::I8 | Dtype::U8 | Dtype::BOOL => 1,
        Dtype::F16 | Dtype::BF16 | Dtype::I16 => 2,
        Dtype::F32 | Dtype::I32 => 4,
        Dtype::F64 | Dtype::I64 => 8,
        _ => return None,
    })
}

/// Adds `weight` times the elements in `bytes` (little-endian) to `sum`.
fn add(dtype: Dtype, bytes: &[u8], weight: f64, sum: &mut [f64]) {
    fn each<const N: usize>(
        bytes: &[u8],
        weight: f64,
        sum: &mut [f64],
        value: impl Fn([u8; N]) -> f64,
    ) {
        let (elements, _) = bytes.as_chunks::<N>();
        for (sum, &element) in sum.iter_mut().zip(elements) {
            *sum += weight * value(element);
        }
    }
    match dtype {
        Dtype::F32 => each(bytes, weight, sum, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::F16 => each(bytes, weight, sum, |b| f16::from_le_bytes(b).to_f64()),
        Dtype::BF16 => each(bytes, weight, sum, |b| bf16::from_le_bytes(b).to_f64()),
        Dtype::F64 => each(bytes, weight, sum, f64::from_le_bytes),
        Dtype::I8 => each(bytes, weight, sum, |b| f64::from(i8::from_le_bytes(b))),
        Dtype::U8 | Dtype::BOOL => each(bytes, weight, sum, |b| f64::from(u8::from_le_bytes(b))),
        Dtype::I16 => each(bytes, weight, sum, |b| f64::from(i16::from_le_bytes(b))),
        Dtype::I32 => each(bytes, weight, sum, |b| f64::from(i32::from_le_bytes(b))),
        #[expect(clippy::cast_precision_loss, reason = "row numbers are far below 2^53")]
        Dtype::I64 => each(bytes, weight, sum, |b| i64::from_le_bytes(b) as f64),
        _ => {}
    }
}
