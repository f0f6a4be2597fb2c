//! Operands of the GEMM and the layout of its weights.

/// Columns of a panel.
pub(crate) const COLUMNS: usize = 16;
/// Consecutive weights of a column that are stored side by side.
pub(crate) const DEPTH: usize = 4;
/// Bytes of one step of a panel.
pub(super) const STEP: usize = COLUMNS * DEPTH;

/// Bytes of a packed matrix of `k` rows and `n` columns; `None` on overflow.
pub(super) fn packed_len(k: usize, n: usize) -> Option<usize> {
    n.div_ceil(COLUMNS).checked_mul(k.div_ceil(DEPTH))?.checked_mul(STEP)
}

/// Operands of `[m, k]` quantised activations times a packed `[k, n]` matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gemm<'a> {
    /// Quantised activations, `[m, k]`.
    pub(crate) activations: &'a [u8],
    /// Scale of each row of activations, `[m]`.
    pub(crate) row_scales: &'a [f32],
    /// Zero point of the activations.
    pub(crate) zero_point: u8,
    /// Columns of the activations, rows of the matrix.
    pub(crate) k: usize,
    /// The [packed](super#layout-of-weights) matrix, `packed_len(k, n)` bytes.
    pub(crate) weights: &'a [i8],
    /// Sum of the weights of each column, `[n]`.
    pub(crate) column_sums: &'a [i32],
    /// Scale of each column of weights, `[n]`.
    pub(crate) column_scales: &'a [f32],
    /// Added at the end, `[n]`.
    pub(crate) bias: Option<&'a [f32]>,
    /// Applies the exact GELU, `x Φ(x)`, to the result.
    pub(crate) gelu: bool,
}

impl Gemm<'_> {
    /// Checks that the lengths of all operands agree.
    pub(crate) fn is_consistent(&self) -> bool {
        let n = self.column_scales.len();
        self.row_scales.len().checked_mul(self.k) == Some(self.activations.len())
            && packed_len(self.k, n) == Some(self.weights.len())
            && self.column_sums.len() == n
            && self.bias.is_none_or(|bias| bias.len() == n)
    }
}
