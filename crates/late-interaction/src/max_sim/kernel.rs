//! The products of a query with the vectors of a document, and their maxima.
//!
//! The tokens of the query stand in the lanes of a vector, sixteen to a panel. A component of the
//! document is multiplied with a whole panel at once, so that documents are read as they are, without
//! being rearranged, and products become maxima in registers: no matrix of products is ever stored.

use fearless_simd::{Level, dispatch, f32x16, mask32x16, prelude::*};

/// Tokens of a panel.
const LANES: usize = 16;
/// Components in a line of the cache; where lines are longer, some are merely touched twice.
const LINE: usize = 16;

/// A query in the order in which the kernel reads it: for each panel, its components one after the
/// other, each for all tokens of the panel. Lanes without a token are zero.
#[derive(Debug)]
pub(super) struct Panels {
    values: Vec<f32>,
    tokens: usize,
    dim: usize,
    level: Level,
}

impl Panels {
    /// Rearranges the rows of a query, each of `dim` components.
    pub(super) fn new(rows: &[f32], dim: usize) -> Self {
        let tokens = rows.len() / dim;
        let mut values = vec![0.0; tokens.next_multiple_of(LANES) * dim];
        for (token, row) in rows.chunks_exact(dim).enumerate() {
            let panel = &mut values[token / LANES * LANES * dim..][..LANES * dim];
            for (column, &value) in panel.chunks_exact_mut(LANES).zip(row) {
                column[token % LANES] = value;
            }
        }
        Self { values, tokens, dim, level: Level::new() }
    }

    /// How many vectors the query has.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// For each token the largest of its products with the rows of a document; the sum of these.
    ///
    /// Each product is summed from the first component to the last in f32, whatever its place, so
    /// that a score depends on nothing but query and document. It is NaN where one of the products
    /// is, and below all others for a document without rows.
    pub(super) fn score(&self, document: &[f32]) -> f32 {
        let mut sum = 0.0;
        let mut tokens = self.tokens;
        for panel in self.values.chunks_exact(LANES * self.dim) {
            let mut largest = [0.0; LANES];
            dispatch!(self.level, simd => maxima(simd, document, panel, self.dim, &mut largest));
            let here = tokens.min(LANES);
            sum += largest[..here].iter().map(|&x| f64::from(x)).sum::<f64>();
            tokens -= here;
        }
        #[expect(clippy::cast_possible_truncation, reason = "scores are f32, as vectors are")]
        let sum = sum as f32;
        sum
    }
}

/// The maxima of one panel.
#[inline(always)]
fn maxima<S: Simd>(
    simd: S,
    document: &[f32],
    panel: &[f32],
    dim: usize,
    largest: &mut [f32; LANES],
) {
    // How many rows of the document are multiplied at once: enough to keep the multipliers busy, and
    // not so many that their sums, a panel and one component no longer fit into the registers.
    match S::f32s::LEN {
        16 => rows_at_once::<S, 12>(simd, document, panel, dim, largest),
        8 => rows_at_once::<S, 6>(simd, document, panel, dim, largest),
        _ if cfg!(target_arch = "aarch64") => {
            rows_at_once::<S, 6>(simd, document, panel, dim, largest);
        }
        _ => rows_at_once::<S, 2>(simd, document, panel, dim, largest),
    }
}

#[inline(always)]
fn rows_at_once<S: Simd, const ROWS: usize>(
    simd: S,
    document: &[f32],
    panel: &[f32],
    dim: usize,
    largest: &mut [f32; LANES],
) {
    let mut maxima = Maxima {
        largest: f32x16::splat(simd, f32::NEG_INFINITY),
        nan: mask32x16::splat(simd, false),
    };
    let count = document.len() / dim;
    if count < ROWS {
        for row in document.chunks_exact(dim) {
            maxima.take::<1>(simd, row, panel, dim);
        }
    } else {
        for row in (0..count).step_by(ROWS) {
            // The last rows overlap those before: a maximum does not mind.
            let first = row.min(count - ROWS);
            let rows = &document[first * dim..(first + ROWS) * dim];
            touch(rows);
            maxima.take::<ROWS>(simd, rows, panel, dim);
        }
    }
    let nan = f32x16::splat(simd, f32::NAN);
    maxima.nan.select(nan, maxima.largest).store_slice(largest);
}

/// Has memory deliver all lines of the rows at once. A walk along a few rows side by side waits for
/// each of their lines in turn, which takes half of the time where documents come from memory.
#[inline(always)]
fn touch(rows: &[f32]) {
    let bits = rows.chunks(LINE).fold(0, |bits, line| bits | line[0].to_bits());
    std::hint::black_box(bits);
}

/// What has been seen of a document's rows, for each token of a panel.
struct Maxima<S: Simd> {
    largest: f32x16<S>,
    /// Where a product was NaN, which a maximum need not keep.
    nan: mask32x16<S>,
}

impl<S: Simd> Maxima<S> {
    #[inline(always)]
    fn take<const ROWS: usize>(&mut self, simd: S, rows: &[f32], panel: &[f32], dim: usize) {
        let mut split = [rows; ROWS];
        for (index, row) in split.iter_mut().enumerate() {
            *row = &rows[index * dim..(index + 1) * dim];
        }
        let mut sums = [f32x16::splat(simd, 0.0); ROWS];
        for (component, column) in (0..dim).zip(panel.chunks_exact(LANES)) {
            let column = f32x16::from_slice(simd, column);
            for (sum, row) in sums.iter_mut().zip(&split) {
                *sum = column.mul_add(f32x16::splat(simd, row[component]), *sum);
            }
        }
        for sum in sums {
            self.largest = self.largest.max(sum);
            self.nan |= sum.is_nan();
        }
    }
}
