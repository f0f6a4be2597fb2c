//! Custom operators for int8 and bf16 graphs.
//!
//! A file defines each operator ([`DOMAIN`] and name) as a function of standard operators, so that any
//! runtime can run it. A session registers the kernels below under the same names, which replace the
//! functions: faster, with the same numbers (a GELU, and sums of bf16, differ in the last digits).
//!
//! | operator | inputs | outputs |
//! |---|---|---|
//! | [`ActivationRange::operator`] | activations f32 `[…, k]`; for [`ActivationRange::Smoothed`] smoothing scales f32 `[k]` | quantised u8 `[…, k]`, scales f32 `[…, 1]` |
//! | [`Q_MAT_MUL`], [`Q_MAT_MUL_GELU`] | [`Q_MAT_MUL_INPUTS`] | f32 `[…, n]` |
//! | [`BF16_MAT_MUL`], [`BF16_MAT_MUL_GELU`] | [`BF16_MAT_MUL_INPUTS`] | f32 `[…, n]` |
//! | [`ATTENTION`], [`ATTENTION_BY_HEAD`] | [`ATTENTION_INPUTS`] | f32 `[batch, queries, heads * width]` |
//! | [`ADD_NORM`] | [`ADD_NORM_INPUTS`] | f32 `[…, k]` |
//!
//! Some operators are not for files but for models in memory, which sessions of the CPU get:
//!
//! | operator | inputs | outputs |
//! |---|---|---|
//! | `Linear`, `LinearThree`, with matrices that all sessions of a model share | activations f32 `[…, k]`, numbers of the layers i64 | f32 `[…, n]` of each layer |
//! | `MultiplyRowsThree`, `MultiplyBf16Three` | rows, then the other inputs of each product | f32 `[…, n]` of each product |
//! | `AddLayerNormQuantized` | those of [`ADD_NORM`], smoothing scales f32 `[k]` or `[0]`, zero point u8 | f32 `[…, k]`, quantised rows, scales |
//! | `AttentionQuantized`, `AttentionByHeadQuantized`, `MultiplyRowsGeluQuantized` | those of the operator without `Quantized`, then likewise | quantised rows, scales |
//!
//! A row's result depends on that row only and is bit-equal in any batch. Rows of length 0 get the scale of
//! zeros, and a matrix of 0 rows gives the bias, as with the standard operators.
//!
//! A file may pass any tensor to an operator. Every run checks each input, and an error names operator and
//! input, the expected and the actual value.

mod add_norm;
mod attention;
mod bf16_mat_mul;
mod linear;
mod pack;
mod q_mat_mul;
mod quantize;
mod quantized;
#[cfg(test)]
mod tests;

use std::{
    any::Any,
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use ort::{
    operator::{
        BoxedKernel, ComputeContext, KernelContext, Operator, OperatorDomain, OperatorInput,
        OperatorOutput,
    },
    value::{
        DynValueTypeMarker, PrimitiveTensorElementType, TensorElementType, ValueRef, ValueRefMut,
        ValueType,
    },
};

pub use super::bf16::round as round_to_bf16;
pub use pack::{Packed, pack, pack_bf16};

use super::{
    int8::{Gemm, TileMut},
    sgemm::Linear,
};

/// Domain of the operators.
pub const DOMAIN: &str = "embedkit";
/// Version of the domain.
pub const VERSION: u64 = 1;
const VERSIONS: RangeInclusive<u32> = 1..=1;
/// Name of the int8 matrix product with scales and bias in files.
pub const Q_MAT_MUL: &str = "MultiplyRows";
/// Name of the same product followed by an exact GELU.
pub const Q_MAT_MUL_GELU: &str = "MultiplyRowsGelu";
/// Inputs of both products, by the names that the file's functions give them:
///
/// - `quantized`: activations, u8 `[…, k]`
/// - `scale`: scale of each row, f32 `[…, 1]`
/// - `zero`: zero point of the activations, u8 scalar
/// - `weights`: the `[k, n]` matrix in the order of [`pack`], i8
/// - `sums`: sum of each column of the matrix, i32 `[n]`
/// - `scales`: scale of each column of the matrix, f32 `[n]`
/// - `bias`: f32 `[n]`
/// - `size`: k and n, i64 `[2]`
pub const Q_MAT_MUL_INPUTS: [&str; 8] =
    ["quantized", "scale", "zero", "weights", "sums", "scales", "bias", "size"];
/// Name of the matrix product of numbers rounded to bf16, with bias, in files.
pub const BF16_MAT_MUL: &str = "MultiplyBf16";
/// Name of the same product followed by an exact GELU.
pub const BF16_MAT_MUL_GELU: &str = "MultiplyBf16Gelu";
/// Inputs of both products of bf16, by the names that the file's functions give them:
///
/// - `x`: activations, f32 `[…, k]`, which are rounded to bf16
/// - `weights`: the bits of the `[k, n]` matrix in the order of [`pack_bf16`], u16
/// - `bias`: f32 `[n]`
/// - `size`: k and n, i64 `[2]`
pub const BF16_MAT_MUL_INPUTS: [&str; 4] = ["x", "weights", "bias", "size"];
/// Name of multi-head attention in files, with the heads of each token side by side.
pub const ATTENTION: &str = "Attention";
/// Name of multi-head attention in files, with queries and keys separated by head.
pub const ATTENTION_BY_HEAD: &str = "AttentionByHead";
/// Inputs of both forms of attention, by the names that the file's functions give them:
///
/// - `query`: f32 `[batch, queries, heads * width]`, or `[batch, heads, queries, width]` by head
/// - `key`: f32 `[batch, keys, heads * width]`, or `[batch, heads, keys, width]` by head
/// - `value`: f32 `[batch, keys, heads * width]`
/// - `mask`: added to the scores, f32, broadcast to `[batch, heads, queries, keys]`
/// - `scale`: factor of the scores, f32 scalar
/// - `heads`: number of heads, i64 `[1]`
pub const ATTENTION_INPUTS: [&str; 6] = ["query", "key", "value", "mask", "scale", "heads"];
/// Name of the layer normalisation of a sum in files.
pub const ADD_NORM: &str = "AddLayerNorm";
/// Inputs of the layer normalisation of a sum, by the names that the file's function gives them:
///
/// - `a`, `b`: f32 `[…, k]`, which broadcast but for the last dim
/// - `weight`, `bias`: f32 `[k]`
/// - `epsilon`: added to the variance, f32 scalar
pub const ADD_NORM_INPUTS: [&str; 5] = ["a", "b", "weight", "bias", "epsilon"];

/// Names of operators that quantise their rows, for models in memory.
pub(super) const ADD_NORM_QUANTIZED: &str = "AddLayerNormQuantized";
pub(super) const ATTENTION_QUANTIZED: &str = "AttentionQuantized";
pub(super) const ATTENTION_BY_HEAD_QUANTIZED: &str = "AttentionByHeadQuantized";
pub(super) const Q_MAT_MUL_GELU_QUANTIZED: &str = "MultiplyRowsGeluQuantized";

/// Names of three products of the same rows, for models in memory.
pub(super) const LINEAR_THREE: &str = "LinearThree";
pub(super) const Q_MAT_MUL_THREE: &str = "MultiplyRowsThree";
pub(super) const BF16_MAT_MUL_THREE: &str = "MultiplyBf16Three";

/// Name of a linear layer of f32, for models in memory.
pub(super) const LINEAR: &str = "Linear";
/// Inputs of linear layers:
///
/// - `x`: activations, f32 `[…, k]`
/// - `layers`: their numbers in the session, i64 `[1]` or `[3]`
const LINEAR_INPUTS: [&str; 2] = ["x", "layers"];

/// Range of activations, which decides how their rows are quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActivationRange {
    /// Unknown, hence symmetric around zero.
    Symmetric,
    /// Symmetric, after each channel is multiplied by a smoothing scale (SmoothQuant).
    Smoothed,
    /// Output of a GELU: at least -0.17.
    Gelu,
    /// Output of a ReLU: never negative.
    Relu,
}

impl ActivationRange {
    /// All ranges.
    pub const ALL: [Self; 4] = [Self::Symmetric, Self::Smoothed, Self::Gelu, Self::Relu];

    /// Name of the operator that quantises rows of this range in files.
    #[must_use]
    pub fn operator(self) -> &'static str {
        match self {
            Self::Symmetric => "QuantizeRows",
            Self::Smoothed => "QuantizeSmoothedRows",
            Self::Gelu => "QuantizeGeluRows",
            Self::Relu => "QuantizeReluRows",
        }
    }

    /// Zero point of the quantised rows. A GELU's negative values get a sixteenth of the range.
    #[must_use]
    pub fn zero_point(self) -> u8 {
        match self {
            Self::Symmetric | Self::Smoothed => 128,
            Self::Gelu => 16,
            Self::Relu => 0,
        }
    }

    /// Largest quantised value above the zero point, as an f32. Symmetric ranges do not use -128.
    #[must_use]
    pub fn qmax(self) -> f32 {
        f32::from(u8::MAX - self.zero_point())
    }
}

/// Upper bound of the parts of one call. It exceeds the threads of most machines, so that no thread
/// waits long for the last part.
const MAX_PARTS: usize = 64;

/// Registers the operators for a session of `threads` threads with these linear layers.
pub(super) fn domain(threads: usize, linears: Arc<[Linear]>) -> ort::Result<OperatorDomain> {
    let parallel = threads > 1;
    let mut domain = OperatorDomain::new(DOMAIN)?
        .add(linear::operator(1, Arc::clone(&linears), parallel))?
        .add(linear::operator(3, linears, parallel))?
        .add(q_mat_mul::three(parallel))?
        .add(q_mat_mul::gelu_quantized(parallel))?
        .add(bf16_mat_mul::three(parallel))?;
    for range in ActivationRange::ALL {
        domain = domain.add(quantize::operator(range, parallel))?;
    }
    for gelu in [false, true] {
        domain = domain.add(q_mat_mul::operator(gelu, parallel))?;
        domain = domain.add(bf16_mat_mul::operator(gelu, parallel))?;
    }
    for quantized in [false, true] {
        domain = domain.add(add_norm::operator(quantized, parallel))?;
        for by_head in [false, true] {
            domain = domain.add(attention::operator(by_head, quantized, parallel))?;
        }
    }
    Ok(domain)
}

/// An operator as the runtime sees it: all inputs and outputs are required.
struct Definition<F> {
    name: &'static str,
    inputs: Vec<TensorElementType>,
    /// Names of the inputs, for messages.
    input_names: Vec<&'static str>,
    outputs: Vec<TensorElementType>,
    /// Computes the outputs; `None` on a processor without instructions for it.
    compute: Option<F>,
}

impl<F> Operator for Definition<F>
where
    F: Fn(&Call<'_>) -> ort::Result<()> + Clone + Send + Sync + 'static,
{
    type Kernel<'a> = BoxedKernel<'a>;

    fn name(&self) -> &str {
        self.name
    }

    fn versions(&self) -> RangeInclusive<u32> {
        VERSIONS
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        self.inputs.iter().copied().map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        self.outputs.iter().copied().map(OperatorOutput::required)
    }

    /// A panic becomes an error, since unwinding into C aborts the process.
    fn create_kernel<'a>(&self, kernel: &KernelContext<'a>) -> ort::Result<BoxedKernel<'a>> {
        let (name, input_names) = (self.name, self.input_names.clone());
        let Some(compute) = self.compute.clone() else {
            return Err(refuse(name, "this processor has no instructions for it"));
        };
        // Asking the runtime for type, shape and memory of a tensor takes longer than some products.
        let constant = |(index, input)| {
            let value = kernel.constant_input::<DynValueTypeMarker>(index).ok()?;
            Argument::of(name, input, value).ok()
        };
        let inputs = input_names.iter().copied().enumerate();
        let constants: Vec<_> = inputs.map(constant).collect();
        Ok(Box::new(move |context: &ComputeContext| {
            let compute = || compute(&Call::new(context, name, &input_names, &constants)?);
            catch_unwind(AssertUnwindSafe(compute))
                .unwrap_or_else(|panic| Err(panicked(name, &*panic)))
        }))
    }
}

/// One call of an operator.
struct Call<'a> {
    context: &'a ComputeContext,
    operator: &'static str,
    input_names: &'a [&'static str],
    /// Inputs that are the same in all calls, read when the kernel was made.
    constants: &'a [Option<Argument<'a>>],
    /// The other inputs.
    variables: Vec<Option<Argument<'a>>>,
}

impl<'a> Call<'a> {
    fn new(
        context: &'a ComputeContext,
        operator: &'static str,
        input_names: &'a [&'static str],
        constants: &'a [Option<Argument<'a>>],
    ) -> ort::Result<Self> {
        let variable = |(index, constant): (usize, &Option<_>)| match constant {
            Some(_) => Ok(None),
            None => {
                let value = context.input(index)?;
                value.map(|value| Argument::of(operator, input_names[index], value)).transpose()
            }
        };
        let variables = constants.iter().enumerate().map(variable).collect::<ort::Result<_>>()?;
        Ok(Self { context, operator, input_names, constants, variables })
    }

    fn input(&self, index: usize) -> ort::Result<&Argument<'a>> {
        let found = self.constants[index].as_ref().or(self.variables[index].as_ref());
        found.ok_or_else(|| {
            refuse(self.operator, &format!("input `{}` is missing", self.input_names[index]))
        })
    }
}

/// An input tensor of an operator. Its type and shape come from the file, hence each access is checked.
struct Argument<'a> {
    operator: &'static str,
    name: &'static str,
    value: ValueRef<'a>,
    element: TensorElementType,
    shape: Vec<i64>,
}

impl<'a> Argument<'a> {
    fn of(operator: &'static str, name: &'static str, value: ValueRef<'a>) -> ort::Result<Self> {
        let ValueType::Tensor { ty: element, shape, .. } = value.dtype() else {
            let found = value.dtype();
            return Err(refuse(
                operator,
                &format!("input `{name}`: expected a tensor, got {found}"),
            ));
        };
        let (element, shape) = (*element, shape.to_vec());
        if shape.iter().any(|&dim| dim < 0) {
            let reason = format!("input `{name}`: expected dims of at least 0, got {shape:?}");
            return Err(refuse(operator, &reason));
        }
        Ok(Self { operator, name, value, element, shape })
    }

    /// Dims of the tensor, none of them negative.
    fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// Dims before the last one.
    fn before(&self) -> ort::Result<&[i64]> {
        self.shape.split_last().map(|(_, before)| before).ok_or_else(|| self.mismatch("[…, k]"))
    }

    /// Dims before the last one, which is the length of a row.
    fn rows_of(&self, length: i64) -> ort::Result<&[i64]> {
        match self.shape.split_last() {
            Some((&last, before)) if last == length => Ok(before),
            _ => Err(self.mismatch(&format!("[…, {length}]"))),
        }
    }

    /// Elements in row-major order.
    fn elements<T: PrimitiveTensorElementType>(&self) -> ort::Result<&[T]> {
        let (found, expected) = (self.element, T::into_tensor_element_type());
        if found != expected {
            let reason =
                format!("input `{}`: expected elements of {expected}, got {found}", self.name);
            return Err(refuse(self.operator, &reason));
        }
        // An empty tensor may have no memory.
        if self.shape.contains(&0) { Ok(&[]) } else { Ok(self.value.try_extract_tensor()?.1) }
    }

    fn expect_shape(&self, expected: &[i64]) -> ort::Result<()> {
        if self.shape == expected { Ok(()) } else { Err(self.mismatch(&format!("{expected:?}"))) }
    }

    /// Error for a shape other than the `expected` one.
    fn mismatch(&self, expected: &str) -> ort::Error {
        let Self { operator, name, shape, .. } = self;
        refuse(operator, &format!("input `{name}`: expected shape {expected}, got {shape:?}"))
    }
}

fn elements_mut<'a, T: PrimitiveTensorElementType>(
    tensor: &'a mut ValueRefMut<'_>,
) -> ort::Result<&'a mut [T]> {
    if tensor.shape().contains(&0) { Ok(&mut []) } else { Ok(tensor.try_extract_tensor_mut()?.1) }
}

/// Processes all parts, on the session's threads if there is more than one part.
fn for_each<P: Send>(
    call: &Call<'_>,
    mut parts: Vec<P>,
    work: impl Fn(&mut P) + Send + Sync,
) -> ort::Result<()> {
    match parts.as_mut_slice() {
        [] => return Ok(()),
        [part] => {
            work(part);
            return Ok(());
        }
        _ => {}
    }
    // Each lock is taken once; it only proves that one thread has the part.
    let parts: Vec<_> = parts.into_iter().map(Mutex::new).collect();
    let failure = Mutex::new(None);
    call.context.par_for(parts.len(), 0, |at| {
        // The runtime calls this closure from C, too.
        let done = catch_unwind(AssertUnwindSafe(|| {
            work(&mut parts[at].lock().unwrap_or_else(PoisonError::into_inner));
        }));
        if let Err(panic) = done {
            let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
            *failure = Some(panicked(call.operator, &*panic));
        }
    })?;
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Minimum multiplications per part: some tens of microseconds, which outweigh waking a thread.
const MIN_WORK: usize = 1 << 20;
/// Minimum rows per part. With fewer, columns are split instead, so that not every thread reads all
/// weights.
const MIN_ROWS: usize = 24;

/// Rows and columns of a matrix, which an input `size` gives. Both fit into an i64.
fn size_of(operator: &str, size: &Argument<'_>) -> ort::Result<(usize, usize)> {
    size.expect_shape(&[2])?;
    let &[k, n] = size.elements::<i64>()? else { return Err(size.mismatch("[2]")) };
    match (usize::try_from(k), usize::try_from(n)) {
        (Ok(rows), Ok(columns)) => Ok((rows, columns)),
        _ => {
            let reason = format!("input `size`: expected rows and columns, got [{k}, {n}]");
            Err(refuse(operator, &reason))
        }
    }
}

/// Computes the outputs of products of the same rows, which have the dims `before`.
fn multiply(
    call: &Call<'_>,
    gemms: &[Gemm<'_>],
    parallel: bool,
    before: &[i64],
    compute: impl Fn(&Gemm<'_>, &mut TileMut<'_>) + Send + Sync,
) -> ort::Result<()> {
    let mut outputs = Vec::with_capacity(gemms.len());
    for (at, gemm) in gemms.iter().enumerate() {
        let output = call.context.output(at, [before, &[gemm.n as i64]].concat())?;
        outputs.push(output.ok_or_else(|| refuse(call.operator, "an output is not wanted"))?);
    }
    let outputs = outputs.iter_mut().map(elements_mut).collect::<ort::Result<Vec<_>>>()?;
    multiply_into(call, gemms.iter().zip(outputs), parallel, compute)
}

/// Computes products in tiles on the session's threads.
fn multiply_into<'a>(
    call: &Call<'_>,
    products: impl Iterator<Item = (&'a Gemm<'a>, &'a mut [f32])>,
    parallel: bool,
    compute: impl Fn(&Gemm<'_>, &mut TileMut<'_>) + Send + Sync,
) -> ort::Result<()> {
    let products: Vec<_> = products.filter(|(_, output)| !output.is_empty()).collect();
    let work = |gemm: &Gemm<'_>| gemm.activations.len().saturating_mul(gemm.n);
    let work = products.iter().fold(0, |sum: usize, (gemm, _)| sum.saturating_add(work(gemm)));
    let parts = if parallel { (work / MIN_WORK).clamp(1, MAX_PARTS) } else { 1 };
    let parts = parts.div_ceil(products.len().max(1));
    let tiles = products.into_iter().flat_map(|(gemm, output)| {
        let tiles = TileMut::new(output, gemm.n).split(parts, MIN_ROWS);
        tiles.into_iter().map(move |tile| (gemm, tile))
    });
    if !parallel {
        for (gemm, mut tile) in tiles {
            compute(gemm, &mut tile);
        }
        return Ok(());
    }
    for_each(call, tiles.collect(), |(gemm, tile)| compute(gemm, tile))
}

fn refuse(operator: &str, reason: &str) -> ort::Error {
    // The runtime takes messages as C strings.
    ort::Error::new(format!("{operator}: {reason}").replace('\0', " "))
}

fn panicked(operator: &str, panic: &(dyn Any + Send)) -> ort::Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    refuse(operator, &format!("a defect of embedkit, please report it: it panicked: {text}"))
}
