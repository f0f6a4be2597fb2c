//! The products of a query with the vectors of a document, and their maxima.
//!
//! The tokens of the query stand in the lanes of a vector, sixteen to a panel. A component of the
//! document is multiplied with a whole panel at once, so that documents are read as they are, without
//! being rearranged, and products become maxima in registers: no matrix of products is ever stored.

use fearless_simd::{Level, dispatch, f32x16, mask32x16, prelude::*};

/// Tokens of a panel.
const LANES: usize = 16;
/// Panels that are multiplied together: they share the loads of the document's components.
const PAIR: usize = 2;

/// A query in the order in which the kernel reads it: for each block of one or two panels, its
/// components one after the other, each for all tokens of the block. Lanes without a token are zero.
#[derive(Debug)]
pub(super) struct Panels {
    values: Vec<f32>,
    tokens: usize,
    width: usize,
    level: Level,
}

impl Panels {
    /// Rearranges the rows of a query, each of `width` components.
    pub(super) fn new(rows: &[f32], width: usize) -> Self {
        let tokens = rows.len() / width;
        let mut values = vec![0.0; tokens.next_multiple_of(LANES) * width];
        let blocks = rows.chunks(PAIR * LANES * width);
        for (rows, block) in blocks.zip(values.chunks_mut(PAIR * LANES * width)) {
            let lanes = block.len() / width;
            for (lane, row) in rows.chunks_exact(width).enumerate() {
                for (component, &value) in row.iter().enumerate() {
                    block[component * lanes + lane] = value;
                }
            }
        }
        Self { values, tokens, width, level: Level::new() }
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
        for (index, block) in self.values.chunks(PAIR * LANES * self.width).enumerate() {
            let mut best = [0.0; PAIR * LANES];
            dispatch!(self.level, simd => maxima(simd, document, block, self.width, &mut best));
            let tokens = (self.tokens - index * PAIR * LANES).min(PAIR * LANES);
            sum += best[..tokens].iter().map(|&x| f64::from(x)).sum::<f64>();
        }
        #[expect(clippy::cast_possible_truncation, reason = "scores are f32, as vectors are")]
        let sum = sum as f32;
        sum
    }
}

/// The maxima of one block. How many rows of the document are multiplied together is what keeps the
/// sums in registers and the multipliers busy.
#[inline(always)]
fn maxima<S: Simd>(
    simd: S,
    document: &[f32],
    block: &[f32],
    width: usize,
    best: &mut [f32; PAIR * LANES],
) {
    // Of vectors as wide as a panel twice as many fit.
    let wide = S::f32s::LEN == LANES;
    match (block.len() == PAIR * LANES * width, wide) {
        (true, false) => all_rows::<S, 3, PAIR>(simd, document, block, width, best),
        (true, true) => all_rows::<S, 6, PAIR>(simd, document, block, width, best),
        (false, false) => all_rows::<S, 6, 1>(simd, document, block, width, best),
        (false, true) => all_rows::<S, 12, 1>(simd, document, block, width, best),
    }
}

#[inline(always)]
fn all_rows<S: Simd, const ROWS: usize, const PANELS: usize>(
    simd: S,
    document: &[f32],
    block: &[f32],
    width: usize,
    best: &mut [f32; PAIR * LANES],
) {
    let mut maxima = Maxima::<S, PANELS> {
        largest: [f32x16::splat(simd, f32::NEG_INFINITY); PANELS],
        nan: [mask32x16::splat(simd, false); PANELS],
    };
    let count = document.len() / width;
    if count < ROWS {
        for row in document.chunks_exact(width) {
            maxima.take::<1>(simd, row, block, width);
        }
    } else {
        for row in (0..count).step_by(ROWS) {
            // The last rows overlap those before: a maximum does not mind.
            let first = row.min(count - ROWS);
            let rows = &document[first * width..(first + ROWS) * width];
            maxima.take::<ROWS>(simd, rows, block, width);
        }
    }
    for panel in 0..PANELS {
        let nan = f32x16::splat(simd, f32::NAN);
        let largest = maxima.nan[panel].select(nan, maxima.largest[panel]);
        largest.store_slice(&mut best[panel * LANES..][..LANES]);
    }
}

/// What has been seen of a document's rows.
struct Maxima<S: Simd, const PANELS: usize> {
    largest: [f32x16<S>; PANELS],
    /// Where a product was NaN, which a maximum need not keep.
    nan: [mask32x16<S>; PANELS],
}

impl<S: Simd, const PANELS: usize> Maxima<S, PANELS> {
    #[inline(always)]
    fn take<const ROWS: usize>(&mut self, simd: S, rows: &[f32], block: &[f32], width: usize) {
        let mut split = [rows; ROWS];
        for (index, row) in split.iter_mut().enumerate() {
            *row = &rows[index * width..(index + 1) * width];
        }
        let mut sums = [[f32x16::splat(simd, 0.0); PANELS]; ROWS];
        for (component, lanes) in (0..width).zip(block.chunks_exact(PANELS * LANES)) {
            let mut tokens = [f32x16::splat(simd, 0.0); PANELS];
            for (panel, token) in tokens.iter_mut().enumerate() {
                *token = f32x16::from_slice(simd, &lanes[panel * LANES..(panel + 1) * LANES]);
            }
            for (row, sums) in split.iter().zip(&mut sums) {
                let value = f32x16::splat(simd, row[component]);
                for (sum, token) in sums.iter_mut().zip(&tokens) {
                    *sum = token.mul_add(value, *sum);
                }
            }
        }
        for sums in sums {
            for (panel, sum) in sums.into_iter().enumerate() {
                self.largest[panel] = self.largest[panel].max(sum);
                self.nan[panel] |= sum.is_nan();
            }
        }
    }
}
