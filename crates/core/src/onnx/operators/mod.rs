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
//! A row's result depends on that row only, to the bit.

mod multiply;
mod pack;
mod quantize;

use std::{
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
};

use ort::{
    operator::{ComputeContext, OperatorDomain},
    value::{PrimitiveTensorElementType, ValueRef, ValueRefMut},
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

fn input(context: &ComputeContext, index: usize) -> ort::Result<ValueRef<'_>> {
    context.input(index)?.ok_or_else(|| ort::Error::new(format!("input {index} is missing")))
}

/// A tensor's numbers in row-major order.
fn elements<'a, T: PrimitiveTensorElementType>(tensor: &'a ValueRef<'_>) -> ort::Result<&'a [T]> {
    // An empty one may have no memory.
    if tensor.shape().contains(&0) { Ok(&[]) } else { Ok(tensor.try_extract_tensor()?.1) }
}

fn elements_mut<'a, T: PrimitiveTensorElementType>(
    tensor: &'a mut ValueRefMut<'_>,
) -> ort::Result<&'a mut [T]> {
    if tensor.shape().contains(&0) { Ok(&mut []) } else { Ok(tensor.try_extract_tensor_mut()?.1) }
}

/// Works on all parts, in the threads of the session where there are several.
fn for_each<P: Send>(
    context: &ComputeContext,
    mut parts: Vec<P>,
    work: impl Fn(&mut P) + Send + Sync,
) -> ort::Result<()> {
    if let [part] = parts.as_mut_slice() {
        work(part);
        return Ok(());
    }
    // Each is locked once: the lock only says that it is one thread's.
    let parts: Vec<_> = parts.into_iter().map(Mutex::new).collect();
    context.par_for(parts.len(), 0, |at| {
        work(&mut parts[at].lock().unwrap_or_else(PoisonError::into_inner));
    })
}

fn refuse(operator: &str, reason: &str) -> ort::Error {
    ort::Error::new(format!("{operator}: {reason}"))
}
