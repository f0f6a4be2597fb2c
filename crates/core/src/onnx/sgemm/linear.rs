//! A linear layer: a packed matrix with bias and GELU.

use std::sync::Arc;

use super::super::int8::{COLUMNS, Gemm};
use super::SIZE;

/// One step of a panel, in a cache line of its own.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Step([f32; COLUMNS]);

/// A `[k, n]` matrix in panels of 16 columns, `[n / 16][k][16]`, padded with zeros.
pub(crate) struct Matrix {
    k: usize,
    n: usize,
    steps: Vec<Step>,
}

impl Matrix {
    /// Packs a row-major matrix; `None` if it ends within a row.
    pub(crate) fn pack(matrix: &[f32], k: usize) -> Option<Self> {
        let n = matrix.len().checked_div(k).filter(|n| n * k == matrix.len())?;
        let mut steps = vec![Step([0.0; COLUMNS]); n.div_ceil(COLUMNS) * k];
        for (row, numbers) in matrix.chunks(n.max(1)).enumerate() {
            for (panel, numbers) in numbers.chunks(COLUMNS).enumerate() {
                steps[panel * k + row].0[..numbers.len()].copy_from_slice(numbers);
            }
        }
        Some(Self { k, n, steps })
    }
}

/// A linear layer. Several may share a matrix or a bias.
pub(crate) struct Linear {
    matrix: Arc<Matrix>,
    bias: Option<Arc<[f32]>>,
    /// A GELU follows.
    gelu: bool,
}

impl Linear {
    /// `None` for a bias of another length than the matrix has columns.
    pub(crate) fn new(matrix: Arc<Matrix>, bias: Option<Arc<[f32]>>, gelu: bool) -> Option<Self> {
        bias.as_ref().is_none_or(|bias| bias.len() == matrix.n).then_some(())?;
        Some(Self { matrix, bias, gelu })
    }

    #[cfg(test)]
    pub(in crate::onnx) fn matrix(&self) -> &Matrix {
        &self.matrix
    }

    /// Length of a row of activations.
    pub(crate) fn k(&self) -> usize {
        self.matrix.k
    }

    /// The product with `m` rows of activations; `None` where they are not `[m, k]`.
    pub(crate) fn times<'a>(&'a self, activations: &'a [f32], m: usize) -> Option<Gemm<'a>> {
        let gemm = Gemm {
            activations: bytes(activations),
            m,
            k: self.matrix.k.checked_mul(SIZE)?,
            n: self.matrix.n,
            weights: bytes_of_steps(&self.matrix.steps),
            scales: None,
            bias: self.bias.as_deref(),
            gelu: self.gelu,
        };
        gemm.is_consistent().then_some(gemm)
    }
}

/// The bytes of numbers. Processors with a kernel are little-endian.
#[expect(unsafe_code, reason = "the standard library has no function for it")]
fn bytes(numbers: &[f32]) -> &[u8] {
    // SAFETY: the memory is the same, any byte is valid, and bytes need no alignment.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

#[expect(unsafe_code, reason = "the standard library has no function for it")]
fn bytes_of_steps(steps: &[Step]) -> &[i8] {
    // SAFETY: the memory is the same and without padding, any byte is valid, and bytes need no alignment.
    unsafe { std::slice::from_raw_parts(steps.as_ptr().cast(), size_of_val(steps)) }
}
