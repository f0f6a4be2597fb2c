//! Operators of our own, which graphs of eight-bit integers call.
//!
//! A file brings a function of standard operators along for each ([`DOMAIN`] and name), so that any
//! runtime can run it. Here the names are known to the session, which then runs the kernels below
//! instead: faster, with the same numbers (a GELU differs in the last digits).
//!
//! | operator | inputs | outputs |
//! |---|---|---|
//! | [`Rows::operator`] | rows f32 `[…, k]`; for [`Rows::Smoothed`] factors f32 `[k]` | integers u8 `[…, k]`, scales f32 `[…, 1]` |
//! | [`MULTIPLY_ROWS`], [`MULTIPLY_ROWS_GELU`] | [`MULTIPLY_INPUTS`] | f32 `[…, n]` |
//!
//! A row's result depends on that row only, to the bit. Rows of no numbers have the scale of zeros, and a
//! matrix of no rows gives the bias, as the standard operators do.
//!
//! A file may give an operator any tensor. Each is checked once for a run, and an error names operator and
//! input, what was expected and what was found.

mod multiply;
mod pack;
mod quantize;
#[cfg(test)]
mod tests;

use std::{
    any::Any,
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
};

use ort::{
    operator::{BoxedKernel, ComputeContext, OperatorDomain},
    value::{PrimitiveTensorElementType, TensorElementType, ValueRef, ValueRefMut, ValueType},
};

pub use pack::{Packed, pack};

use multiply::Multiply;
use quantize::Quantize;

/// The domain of the operators.
pub const DOMAIN: &str = "embedkit";
/// The version of the domain.
pub const VERSION: u64 = 1;
const VERSIONS: RangeInclusive<u32> = 1..=1;
/// Integers times a matrix of integers, scaled, plus a bias.
pub const MULTIPLY_ROWS: &str = "MultiplyRows";
/// The same, and a GELU.
pub const MULTIPLY_ROWS_GELU: &str = "MultiplyRowsGelu";
/// What both take: integers u8 `[…, k]` and the scale of each row, f32 `[…, 1]`; the integer that
/// stands for zero, u8; the matrix `[k, n]` as [`pack`] orders it, the sum (i32) and the scale (f32)
/// of each of its columns; what is added to each column, f32; and k and n, i64 `[2]`.
pub const MULTIPLY_INPUTS: [&str; 8] =
    ["quantized", "scale", "zero", "weights", "sums", "scales", "bias", "size"];

/// What is known of rows that are quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rows {
    /// Nothing: as far below zero as above.
    Plain,
    /// Nothing, and each channel is multiplied by a factor first.
    Smoothed,
    /// They come out of a GELU: never below -0.17.
    Gelu,
    /// They come out of a ReLU: never below zero.
    Relu,
}

impl Rows {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Smoothed, Self::Gelu, Self::Relu];

    /// The operator that quantises them.
    #[must_use]
    pub fn operator(self) -> &'static str {
        match self {
            Self::Plain => "QuantizeRows",
            Self::Smoothed => "QuantizeSmoothedRows",
            Self::Gelu => "QuantizeGeluRows",
            Self::Relu => "QuantizeReluRows",
        }
    }

    /// The integer that stands for zero. After a GELU a sixteenth of the range is left for what is
    /// below.
    #[must_use]
    pub fn zero(self) -> u8 {
        match self {
            Self::Plain | Self::Smoothed => 128,
            Self::Gelu => 16,
            Self::Relu => 0,
        }
    }

    /// How many steps above zero a row's largest number is. -128 is not used.
    #[must_use]
    pub fn top(self) -> f32 {
        f32::from(u8::MAX - self.zero())
    }
}

/// More than the threads of most machines, so that none waits long for the last.
const MOST_PARTS: usize = 64;

/// The operators as a session of as many threads takes them.
pub(super) fn domain(threads: usize) -> ort::Result<OperatorDomain> {
    let parallel = threads > 1;
    let mut domain = OperatorDomain::new(DOMAIN)?;
    for rows in Rows::ALL {
        domain = domain.add(Quantize { rows, parallel })?;
    }
    for gelu in [false, true] {
        domain = domain.add(Multiply { gelu, parallel })?;
    }
    Ok(domain)
}

/// A tensor that a node of a graph gives to an operator. The file may say anything: what is not as the
/// operator wants it is an error that names operator and input.
struct Argument<'a> {
    operator: &'static str,
    name: &'static str,
    value: ValueRef<'a>,
    element: TensorElementType,
    shape: Vec<i64>,
}

impl<'a> Argument<'a> {
    fn of(
        context: &'a ComputeContext,
        operator: &'static str,
        index: usize,
        name: &'static str,
    ) -> ort::Result<Self> {
        let value = context
            .input(index)?
            .ok_or_else(|| refuse(operator, &format!("input `{name}` is missing")))?;
        let ValueType::Tensor { ty: element, shape, .. } = value.dtype() else {
            let found = value.dtype();
            return Err(refuse(operator, &format!("input `{name}` is {found}, expected a tensor")));
        };
        let (element, shape) = (*element, shape.to_vec());
        if shape.iter().any(|&dim| dim < 0) {
            return Err(refuse(operator, &format!("input `{name}` has the shape {shape:?}")));
        }
        Ok(Self { operator, name, value, element, shape })
    }

    /// The dims, none of them negative.
    fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// Its numbers in row-major order.
    fn elements<T: PrimitiveTensorElementType>(&self) -> ort::Result<&[T]> {
        let (found, expected) = (self.element, T::into_tensor_element_type());
        if found != expected {
            let reason =
                format!("input `{}` has elements of {found}, expected {expected}", self.name);
            return Err(refuse(self.operator, &reason));
        }
        // An empty one may have no memory.
        if self.shape.contains(&0) { Ok(&[]) } else { Ok(self.value.try_extract_tensor()?.1) }
    }

    fn expect_shape(&self, expected: &[i64]) -> ort::Result<()> {
        if self.shape == expected { Ok(()) } else { Err(self.mismatch(&format!("{expected:?}"))) }
    }

    /// The error for another shape than the `expected` one, given in words.
    fn mismatch(&self, expected: &str) -> ort::Error {
        let Self { operator, name, shape, .. } = self;
        refuse(operator, &format!("input `{name}` has the shape {shape:?}, expected {expected}"))
    }
}

fn elements_mut<'a, T: PrimitiveTensorElementType>(
    tensor: &'a mut ValueRefMut<'_>,
) -> ort::Result<&'a mut [T]> {
    if tensor.shape().contains(&0) { Ok(&mut []) } else { Ok(tensor.try_extract_tensor_mut()?.1) }
}

/// A kernel as the runtime may call it: a panic must not unwind into C, which would abort the process.
fn kernel<'a>(
    operator: &'static str,
    compute: impl Fn(&ComputeContext) -> ort::Result<()> + Send + 'a,
) -> BoxedKernel<'a> {
    Box::new(move |context: &ComputeContext| {
        catch_unwind(AssertUnwindSafe(|| compute(context)))
            .unwrap_or_else(|panic| Err(panicked(operator, &*panic)))
    })
}

/// Works on all parts, in the threads of the session where there are several.
fn for_each<P: Send>(
    context: &ComputeContext,
    operator: &'static str,
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
    // Each is locked once: the lock only says that it is one thread's.
    let parts: Vec<_> = parts.into_iter().map(Mutex::new).collect();
    let failure = Mutex::new(None);
    context.par_for(parts.len(), 0, |at| {
        // The runtime calls this from C, too.
        let done = catch_unwind(AssertUnwindSafe(|| {
            work(&mut parts[at].lock().unwrap_or_else(PoisonError::into_inner));
        }));
        if let Err(panic) = done {
            let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
            *failure = Some(panicked(operator, &*panic));
        }
    })?;
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
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
