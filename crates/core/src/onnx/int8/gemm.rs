//! Operands of the GEMM and the layout of its weights.
//!
//! Lengths are in bytes, so that one layout and one set of kernels serve eight-bit integers and bf16: a step
//! of a panel is four bytes of a row by 16 columns, four integers or two numbers of 16 bits.

use std::ops::Range;

use super::tile::TileMut;

/// Columns of a panel.
pub(crate) const COLUMNS: usize = 16;
/// Bytes of consecutive weights of a column that are stored side by side.
pub(crate) const DEPTH: usize = 4;
/// Bytes of one step of a panel.
pub(in crate::onnx) const STEP: usize = COLUMNS * DEPTH;

/// Bytes of a packed matrix of columns of `k` bytes and `n` columns; `None` on overflow.
pub(in crate::onnx) fn packed_len(k: usize, n: usize) -> Option<usize> {
    n.div_ceil(COLUMNS).checked_mul(k.div_ceil(DEPTH))?.checked_mul(STEP)
}

/// Operands of `[m, k]` activations times a packed `[k, n]` matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gemm<'a> {
    /// Activations, `[m, k]` bytes.
    pub(crate) activations: &'a [u8],
    /// Rows of the activations.
    pub(crate) m: usize,
    /// Bytes of a row of the activations, and of a column of the matrix.
    pub(crate) k: usize,
    /// Columns of the matrix.
    pub(crate) n: usize,
    /// The [packed](super#layout-of-weights) matrix, `packed_len(k, n)` bytes.
    pub(crate) weights: &'a [i8],
    /// Scales of quantised operands; `None` where sums are the result.
    pub(crate) scales: Option<Scales<'a>>,
    /// Added at the end, `[n]`.
    pub(crate) bias: Option<&'a [f32]>,
    /// Applies the exact GELU, `x Φ(x)`, to the result.
    pub(crate) gelu: bool,
}

/// Scales and zero point of quantised operands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scales<'a> {
    /// Scale of each row of activations, `[m]`.
    pub(crate) rows: &'a [f32],
    /// Zero point of the activations.
    pub(crate) zero_point: u8,
    /// Sum of the weights of each column, `[n]`.
    pub(crate) column_sums: &'a [i32],
    /// Scale of each column of weights, `[n]`.
    pub(crate) columns: &'a [f32],
}

impl Gemm<'_> {
    /// Checks that the lengths of all operands agree.
    pub(crate) fn is_consistent(&self) -> bool {
        let Self { m, k, n, .. } = *self;
        m.checked_mul(k) == Some(self.activations.len())
            && packed_len(k, n) == Some(self.weights.len())
            && self.bias.is_none_or(|bias| bias.len() == n)
            && self.scales.is_none_or(|scales| {
                scales.rows.len() == m && scales.columns.len() == n && scales.column_sums.len() == n
            })
    }

    /// The product of some rows of the activations.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub(crate) fn rows(&self, rows: Range<usize>) -> Self {
        Self {
            activations: &self.activations[rows.start * self.k..rows.end * self.k],
            m: rows.len(),
            scales: self.scales.map(|scales| Scales { rows: &scales.rows[rows], ..scales }),
            ..*self
        }
    }

    /// Scale of a row's sums.
    #[inline]
    pub(in crate::onnx) fn row_scale(&self, row: usize) -> f32 {
        self.scales.map_or(1.0, |scales| scales.rows[row])
    }

    /// Computes one tile of the result with a kernel.
    ///
    /// # Panics
    ///
    /// If the operands are not [consistent](Self::is_consistent), or the matrix of `out` is not `[m, n]`.
    pub(in crate::onnx) fn compute_by(
        &self,
        kernel: impl FnOnce(&Self, &mut TileMut<'_>),
        out: &mut TileMut<'_>,
    ) {
        assert!(self.is_consistent(), "the lengths of a GEMM's operands do not agree");
        // A matrix without columns does not know its rows.
        assert!(out.shape() == (self.m, self.n) || self.n == 0, "the output is not [m, n]");
        kernel(self, out);
    }
}
