//! Multi-head attention in f32: `softmax(scale query keyᵀ + mask) value`, one head of one sequence at a time.
//!
//! A sum over keys adds one key after another for the values, and every 16th key for the softmax. A key whose
//! exponential is 0 changes no bit, so that a sequence has the same result alone and padded, and on every processor.
//!
//! # Layout
//!
//! Keys (transposed) and values of a head are packed in panels of 16 columns, `[columns / 16][rows][16]`. Values are
//! padded with zeros, keys with the last one: its score is masked there, unless it is infinite or NaN, which makes the
//! whole row NaN as a key, too.

mod kernel;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::int8::{COLUMNS, Kernel, TileMut};

/// Columns of keys that are transposed together.
const STEP: usize = 4;

/// Rows of a matrix that lie a stride apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// The elements from the first row on.
    pub(crate) elements: &'a [f32],
    /// Elements from one row to the next; 0 for one row that stands for all.
    pub(crate) stride: usize,
}

impl<'a> Rows<'a> {
    /// The rows from `first` on.
    fn from(self, first: usize) -> &'a [f32] {
        &self.elements[first * self.stride..]
    }
}

/// Operands of one head of one sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    /// Number of queries.
    pub(crate) queries: usize,
    /// Number of keys and of values, at least 1.
    pub(crate) keys: usize,
    /// Length of a query, a key and a value.
    pub(crate) width: usize,
    pub(crate) query: Rows<'a>,
    pub(crate) key: Rows<'a>,
    pub(crate) value: Rows<'a>,
    /// Factor of the scores.
    pub(crate) scale: f32,
    /// Added to the scores of each query.
    pub(crate) mask: Rows<'a>,
    /// A row of the mask has one number for each key, not one for all.
    pub(crate) mask_per_key: bool,
}

impl Head<'_> {
    /// Columns of the scores, in whole panels.
    fn padded_keys(&self) -> usize {
        self.keys.next_multiple_of(COLUMNS)
    }
}

/// Memory for one head, to be used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    key_panels: Vec<f32>,
    value_panels: Vec<f32>,
    /// Rows of the mask, padded with negative infinity.
    mask: Vec<f32>,
    scores: Vec<f32>,
}

impl Scratch {
    /// Makes room for the panels of a head and for the scores of `rows` queries, and loads a mask that is the same for
    /// all queries.
    fn prepare(&mut self, head: &Head<'_>, rows: usize) {
        let Self { key_panels, value_panels, mask, scores } = self;
        let (padded, width) = (head.padded_keys(), head.width);
        // What the head before has left is overwritten.
        key_panels.resize(padded * width, 0.0);
        value_panels.resize(width.next_multiple_of(COLUMNS) * head.keys, 0.0);
        mask.resize(padded * rows, f32::NEG_INFINITY);
        for row in mask.chunks_mut(padded) {
            row[head.keys..].fill(f32::NEG_INFINITY);
        }
        scores.resize(padded * rows, 0.0);
        if head.mask.stride == 0 {
            self.load_mask(head, 0, rows);
        }
    }

    /// Loads the mask of up to `rows` queries from `first` on.
    fn load_mask(&mut self, head: &Head<'_>, first: usize, rows: usize) {
        for (at, row) in self.mask.chunks_mut(head.padded_keys()).take(rows).enumerate() {
            let mask = head.mask.from(first + at);
            match head.mask_per_key {
                true => row[..head.keys].copy_from_slice(&mask[..head.keys]),
                false => row[..head.keys].fill(mask[0]),
            }
        }
    }
}

/// Computes one head's output, a tile of `[queries, width]`, with the fastest available kernel.
///
/// # Panics
///
/// If an operand is shorter than its rows need, or `out` has another size.
pub(crate) fn attend(head: &Head<'_>, scratch: &mut Scratch, out: &mut TileMut<'_>) {
    attend_with(Kernel::fastest(), head, scratch, out);
}

/// [`attend`] with the vectors of a given kernel.
fn attend_with(kernel: Kernel, head: &Head<'_>, scratch: &mut Scratch, out: &mut TileMut<'_>) {
    if head.queries == 0 || head.width == 0 {
        return;
    }
    assert_eq!(
        (out.rows().len(), out.columns().len()),
        (head.queries, head.width),
        "the output is not [queries, width]"
    );
    #[cfg_attr(
        any(target_arch = "x86_64", target_arch = "aarch64"),
        expect(unsafe_code, reason = "functions for processors with certain features")
    )]
    match kernel {
        _ if !kernel.is_available() => portable::attend(head, scratch, out),
        Kernel::Portable => portable::attend(head, scratch, out),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `is_available` found the features.
        Kernel::Avx2 | Kernel::AvxVnni => unsafe { x86::avx2::attend(head, scratch, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `is_available` found the features.
        Kernel::Avx512 | Kernel::Avx512Vnni => unsafe { x86::avx512::attend(head, scratch, out) },
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        // SAFETY: `is_available` found the features.
        Kernel::Amx => unsafe { x86::avx512::attend(head, scratch, out) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: `is_available` found the feature.
        Kernel::Neon | Kernel::NeonDot => unsafe { neon::attend(head, scratch, out) },
    }
}
