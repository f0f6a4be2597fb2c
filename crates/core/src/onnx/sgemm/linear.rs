//! A linear layer: a packed matrix with bias and GELU.

use super::super::int8::{COLUMNS, Gemm};
use super::SIZE;

/// One step of a panel, in a cache line of its own.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Step([f32; COLUMNS]);

/// A linear layer, whose `[k, n]` matrix is in panels of 16 columns, `[n / 16][k][16]`, padded with zeros.
pub(crate) struct Linear {
    k: usize,
    n: usize,
    steps: Vec<Step>,
    bias: Option<Vec<f32>>,
    /// A GELU follows.
    gelu: bool,
}

impl Linear {
    /// Packs a row-major matrix `[k, n]`, with a bias of `n` numbers; `None` for other lengths.
    pub(crate) fn pack(
        matrix: &[f32],
        k: usize,
        bias: Option<Vec<f32>>,
        gelu: bool,
    ) -> Option<Self> {
        let n = matrix.len().checked_div(k)?;
        if matrix.len() != k * n || bias.as_ref().is_some_and(|bias| bias.len() != n) {
            return None;
        }
        let mut steps = vec![Step([0.0; COLUMNS]); n.div_ceil(COLUMNS) * k];
        for (row, numbers) in matrix.chunks(n.max(1)).enumerate() {
            for (panel, numbers) in numbers.chunks(COLUMNS).enumerate() {
                steps[panel * k + row].0[..numbers.len()].copy_from_slice(numbers);
            }
        }
        Some(Self { k, n, steps, bias, gelu })
    }

    /// Length of a row of activations.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// The product with `m` rows of activations; `None` where they are not `[m, k]`.
    pub(crate) fn times<'a>(&'a self, activations: &'a [f32], m: usize) -> Option<Gemm<'a>> {
        let gemm = Gemm {
            activations: bytes(activations),
            m,
            k: self.k.checked_mul(SIZE)?,
            n: self.n,
            weights: bytes_of_steps(&self.steps),
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
