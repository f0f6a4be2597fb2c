//! Products of eight-bit integers, with a scale for each row of activations and each column of weights.
//!
//! Two steps, both of plain slices:
//!
//! ```text
//! (q, scale) = quantize_rows(x)                       u8 with a zero of 128, 16 or 0, a scale per row
//! y = (sum (q - zero) w) * (scale * its column's) + bias        and a GELU where one follows
//! ```
//!
//! Sums are of integers and exact, everything else is computed element by element with the same
//! roundings whatever the number of rows, their place in a tile or the processor. So a row's result is the
//! same to the bit alone and in any batch, and, as long as no [pair of products](self#sixteen-bits)
//! overflows, on every processor.
//!
//! # Layout of weights
//!
//! A matrix of `k` rows (channels of the input) and `n` columns is stored in panels of 16 columns:
//! `[n / 16][k / 4][16][4]`, both counts rounded up, with zeros where the matrix ends. A step of a
//! kernel multiplies four neighbouring activations of a row by the 64 weights of `[16][4]`.
//!
//! # Sixteen bits
//!
//! Without VNNI, x86-64 adds two neighbouring products in 16 bits with saturation. Sums are exact there
//! as elsewhere if weights are within ±127 and no two neighbouring ones of a sign, `(4 i, 4 i + 1)` or
//! `(4 i + 2, 4 i + 3)`, add up to more than 128. Other weights give other numbers there and nothing
//! worse.

mod block;
mod gelu;
mod kernel;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod quantize;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use block::Block;
use kernel::Kernel;
pub(crate) use quantize::quantize_rows;

/// Columns of a panel.
pub(crate) const COLUMNS: usize = 16;
/// Neighbouring weights of a column that are stored side by side.
pub(crate) const DEPTH: usize = 4;
/// Bytes of one step of a panel.
const STEP: usize = COLUMNS * DEPTH;

/// Length of the packed weights of a matrix of `k` rows and `n` columns; `None` where it overflows.
pub(crate) fn packed_len(k: usize, n: usize) -> Option<usize> {
    n.div_ceil(COLUMNS).checked_mul(k.div_ceil(DEPTH))?.checked_mul(STEP)
}

/// A product of quantised rows and a packed matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product<'a> {
    /// Activations, `rows x k`.
    pub(crate) rows: &'a [u8],
    /// What the numbers of a row are multiplied by, one for each row.
    pub(crate) row_scales: &'a [f32],
    /// The activation that stands for zero.
    pub(crate) zero: u8,
    /// Numbers of a row of activations, rows of the matrix.
    pub(crate) k: usize,
    /// The matrix, [packed](self#layout-of-weights), of `packed_len(k, n)`.
    pub(crate) weights: &'a [i8],
    /// The sum of the weights of each of the `n` columns.
    pub(crate) sums: &'a [i32],
    /// What the numbers of a column are multiplied by, `n`.
    pub(crate) scales: &'a [f32],
    /// Added at the end, `n`.
    pub(crate) bias: Option<&'a [f32]>,
    /// Whether `x Φ(x)`, the GELU in its exact form, is computed from the result.
    pub(crate) gelu: bool,
}

impl Product<'_> {
    /// Whether all lengths belong together.
    pub(crate) fn is_consistent(&self) -> bool {
        let n = self.scales.len();
        self.row_scales.len().checked_mul(self.k) == Some(self.rows.len())
            && packed_len(self.k, n) == Some(self.weights.len())
            && self.sums.len() == n
            && self.bias.is_none_or(|bias| bias.len() == n)
    }

    /// Computes a block of the result, with the fastest kernel that the processor has.
    ///
    /// # Panics
    ///
    /// If the product is not [consistent](Self::is_consistent), or `out` is not of its shape.
    pub(crate) fn compute(&self, out: &mut Block<'_>) {
        self.compute_with(Kernel::fastest(), out);
    }

    fn compute_with(&self, kernel: Kernel, out: &mut Block<'_>) {
        assert!(self.is_consistent(), "lengths of a product differ");
        let whole = (self.row_scales.len(), self.scales.len());
        // A matrix without columns does not know its rows.
        assert!(out.whole() == whole || whole.1 == 0, "a product's result has another shape");
        kernel.run(self, out);
    }
}
