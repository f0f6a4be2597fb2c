//! Layers behind the pooling of a model: linear layers and scaling.
//!
//! Weights are kept in f32, sums are taken in f64 like those of the pooling.

use std::path::{Path, PathBuf};

use embedkit_types::{Activation, DenseLayer, Layer, ModelFiles};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use self::state::State;
use crate::{Error, MappedFile, l2_normalize};

pub(crate) mod state;

/// Most numbers of a matrix: 4 times that of the largest dimension and itself that is usual.
const MOST_WEIGHTS: usize = 1 << 28;
/// Sums that are taken beside each other in a product, so that the compiler uses vector instructions.
const LANES: usize = 8;

/// The layers of a model, opened.
#[derive(Debug, Default)]
pub struct Layers {
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Dense(Dense),
    Normalize,
}

#[derive(Debug)]
struct Dense {
    path: PathBuf,
    width: usize,
    /// Rows of `width` numbers, one for each number of the result.
    weight: Vec<f32>,
    /// Zeros where the layer has none.
    bias: Vec<f32>,
    activation: Activation,
}

impl Layers {
    /// Reads the weights of the layers from the folder of the model.
    ///
    /// # Errors
    /// A missing, damaged or oversized file; a missing tensor, or one of another shape or type.
    pub fn open(files: &ModelFiles, layers: &[Layer]) -> Result<Self, Error> {
        let mut steps = Vec::with_capacity(layers.len());
        let mut before = None;
        for layer in layers {
            steps.push(match layer {
                Layer::Dense(dense) => {
                    let dense = Dense::open(files.path(&*dense.file), dense)?;
                    if let Some(found) = before.filter(|&found| found != dense.width) {
                        return Err(dense.wrong_width(found));
                    }
                    before = Some(dense.bias.len());
                    Step::Dense(dense)
                }
                Layer::Normalize => Step::Normalize,
                other => {
                    let (path, reason) = (files.root.clone(), format!("unknown layer {other:?}"));
                    return Err(Error::InvalidFile { path, reason });
                }
            });
        }
        Ok(Self { steps })
    }

    /// True without any layer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Applies the layers in order.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] for a vector of another dimension than that of the first weights.
    pub fn apply(&self, mut vector: Vec<f64>) -> Result<Vec<f64>, Error> {
        for step in &self.steps {
            match step {
                Step::Dense(dense) => vector = dense.apply(&vector)?,
                Step::Normalize => l2_normalize(&mut vector),
            }
        }
        Ok(vector)
    }
}

impl Dense {
    fn open(path: PathBuf, layer: &DenseLayer) -> Result<Self, Error> {
        let map = MappedFile::open(&path)?;
        let tensors = Tensors::parse(&path, &map)?;
        // A layer that was saved by itself has no prefix.
        let prefix = if tensors.has("weight") { "" } else { "linear." };
        let (weight_name, bias_name) = (format!("{prefix}weight"), format!("{prefix}bias"));
        let (weight_name, bias_name) = (weight_name.as_str(), bias_name.as_str());
        let weight = tensors.tensor(&path, weight_name)?;
        let &[dim, width] = weight.shape() else {
            return Err(wrong_shape(
                &path,
                weight_name,
                &weight,
                &format!("[{}, width]", layer.dim),
            ));
        };
        let size = dim.checked_mul(width).filter(|size| (1..=MOST_WEIGHTS).contains(size));
        if dim != layer.dim || size.is_none() {
            return Err(wrong_shape(
                &path,
                weight_name,
                &weight,
                &format!("[{}, width]", layer.dim),
            ));
        }
        let bias = if layer.bias {
            let bias = tensors.tensor(&path, bias_name)?;
            if bias.shape() != [dim] {
                return Err(wrong_shape(&path, bias_name, &bias, &format!("[{dim}]")));
            }
            numbers(&path, bias_name, &bias)?
        } else {
            vec![0.0; dim]
        };
        let weight = numbers(&path, weight_name, &weight)?;
        Ok(Self { width, weight, bias, activation: layer.activation, path })
    }

    fn apply(&self, vector: &[f64]) -> Result<Vec<f64>, Error> {
        if vector.len() != self.width {
            return Err(self.wrong_width(vector.len()));
        }
        let rows = self.weight.chunks_exact(self.width).zip(&self.bias);
        Ok(rows
            .map(|(row, &bias)| activate(self.activation, dot(row, vector) + f64::from(bias)))
            .collect())
    }

    fn wrong_width(&self, found: usize) -> Error {
        let reason =
            format!("expected vectors of dimension {} for its weights, got {found}", self.width);
        Error::InvalidFile { path: self.path.clone(), reason }
    }
}

/// The numbers of a tensor of any shape in a safetensors file, or in a state of PyTorch, widened from f16 or bf16.
///
/// # Errors
/// A missing or damaged file, and a missing, oversized or integer tensor.
pub fn read_tensor(path: &Path, name: &str) -> Result<Vec<f32>, Error> {
    let map = MappedFile::open(path)?;
    let tensors = Tensors::parse(path, &map)?;
    let found = tensors.tensor(path, name)?;
    let size = found.shape().iter().try_fold(1_usize, |size, &dim| size.checked_mul(dim));
    if size.is_none_or(|size| size > MOST_WEIGHTS) {
        let expected = format!("of at most {MOST_WEIGHTS} numbers");
        return Err(wrong_shape(path, name, &found, &expected));
    }
    numbers(path, name, &found)
}

/// The tensors of a file.
enum Tensors<'a> {
    Safetensors(SafeTensors<'a>),
    State(State),
}

impl<'a> Tensors<'a> {
    /// Parses a file; its crate checks the header size, offsets, overlaps and shapes of safetensors.
    fn parse(path: &Path, bytes: &'a [u8]) -> Result<Self, Error> {
        let invalid = |reason| Error::InvalidFile { path: path.to_owned(), reason };
        if bytes.starts_with(state::MAGIC) {
            return state::read(bytes).map(Self::State).map_err(invalid);
        }
        let parsed = SafeTensors::deserialize(bytes).map(Self::Safetensors);
        parsed.map_err(|error| invalid(error.to_string()))
    }

    fn names(&self) -> Vec<&str> {
        match self {
            Self::Safetensors(tensors) => tensors.names(),
            Self::State(state) => state.tensors.keys().map(String::as_str).collect(),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.names().contains(&name)
    }

    fn tensor(&self, path: &Path, name: &str) -> Result<TensorView<'_>, Error> {
        let found = match self {
            Self::Safetensors(tensors) => tensors.tensor(name).ok(),
            Self::State(state) => state.tensors.get(name).and_then(|tensor| {
                TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.data).ok()
            }),
        };
        found.ok_or_else(|| {
            let reason = format!("it has no tensor `{name}`, only {:?}", self.names());
            Error::InvalidFile { path: path.to_owned(), reason }
        })
    }
}

fn wrong_shape(path: &Path, name: &str, tensor: &TensorView<'_>, expected: &str) -> Error {
    let reason = format!("`{name}`: expected shape {expected}, got {:?}", tensor.shape());
    Error::InvalidFile { path: path.to_owned(), reason }
}

/// The elements of a tensor, widened to f32.
fn numbers(path: &Path, name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, Error> {
    fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|&element| value(element)).collect()
    }
    match tensor.dtype() {
        Dtype::F32 => Ok(each(tensor.data(), f32::from_le_bytes)),
        Dtype::F16 => Ok(each(tensor.data(), |bytes| f16::from_le_bytes(bytes).to_f32())),
        Dtype::BF16 => Ok(each(tensor.data(), |bytes| bf16::from_le_bytes(bytes).to_f32())),
        other => {
            let reason = format!("`{name}`: expected type F32, F16 or BF16, got {other}");
            Err(Error::InvalidFile { path: path.to_owned(), reason })
        }
    }
}

fn dot(weights: &[f32], vector: &[f64]) -> f64 {
    let (weights, weights_left) = weights.as_chunks::<LANES>();
    let (vectors, vector_left) = vector.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (weights, vector) in weights.iter().zip(vectors) {
        for lane in 0..LANES {
            sums[lane] += f64::from(weights[lane]) * vector[lane];
        }
    }
    let left = weights_left.iter().zip(vector_left).map(|(&w, x)| f64::from(w) * x);
    sums.iter().sum::<f64>() + left.sum::<f64>()
}

fn activate(activation: Activation, x: f64) -> f64 {
    let sigmoid = || 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::Tanh => x.tanh(),
        // Not `max`, which would turn NaN into 0.
        Activation::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Activation::Gelu => 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::Sigmoid => sigmoid(),
        Activation::Silu => x * sigmoid(),
        _ => x,
    }
}

#[cfg(test)]
mod tests;
