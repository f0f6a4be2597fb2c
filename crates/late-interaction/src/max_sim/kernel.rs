//! The products of a query with the vectors of a document, and their maxima.
//!
//! The tokens of the query stand in the lanes of a vector, sixteen to a panel. A component of the
//! document is multiplied with one or two panels at once, so that documents are read as they are, without
//! being rearranged, and products become maxima in registers: no matrix of products is ever stored.
//! Meanwhile the rows after them are prefetched, since documents mostly come from memory.

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

    /// For each token the largest of its products with the rows of a document; the sum of these. The first rows
    /// of `next`, which is scored after this document, are prefetched.
    ///
    /// Each product is summed from the first component to the last in f32, whatever its place, so
    /// that a score depends on nothing but query and document. It is NaN where one of the products
    /// is, and below all others for a document without rows.
    pub(super) fn score(&self, document: &[f32], next: &[f32]) -> f32 {
        let document = Document { rows: document, next, dim: self.dim };
        let sum = dispatch!(self.level, simd => self.sum(simd, &document));
        #[expect(clippy::cast_possible_truncation, reason = "scores are f32, as vectors are")]
        let sum = sum as f32;
        sum
    }

    #[inline(always)]
    fn sum<S: Simd>(&self, simd: S, document: &Document<'_>) -> f64 {
        let (mut sum, mut tokens) = (0.0, self.tokens);
        let mut add = |largest: [f32; LANES]| {
            let here = tokens.min(LANES);
            sum += largest[..here].iter().map(|&x| f64::from(x)).sum::<f64>();
            tokens -= here;
        };
        let panels = self.values.chunks_exact(LANES * self.dim);
        let mut panels = panels.map(|panel| panel.as_chunks().0);
        while let Some(panel) = panels.next() {
            // How many rows are multiplied at once: enough to keep the multipliers busy, and not so many that
            // their sums, the panels and one component no longer fit into the registers.
            let largest = match S::f32s::LEN {
                16 => match panels.next() {
                    Some(second) => {
                        let [first, second] = document.maxima::<S, 12, 2>(simd, [panel, second]);
                        add(first);
                        [second]
                    }
                    None => document.maxima::<S, 12, 1>(simd, [panel]),
                },
                8 => document.maxima::<S, 6, 1>(simd, [panel]),
                _ if cfg!(target_arch = "aarch64") => document.maxima::<S, 6, 1>(simd, [panel]),
                _ => document.maxima::<S, 2, 1>(simd, [panel]),
            };
            add(largest[0]);
        }
        sum
    }
}

/// A document as the kernel reads it.
struct Document<'a> {
    rows: &'a [f32],
    /// The rows of the next one.
    next: &'a [f32],
    dim: usize,
}

impl Document<'_> {
    /// The maxima of some panels, `ROWS` rows at a time.
    #[inline(always)]
    fn maxima<S: Simd, const ROWS: usize, const PANELS: usize>(
        &self,
        simd: S,
        panels: [&[[f32; LANES]]; PANELS],
    ) -> [[f32; LANES]; PANELS] {
        let mut maxima = Maxima {
            largest: [f32x16::splat(simd, f32::NEG_INFINITY); PANELS],
            nan: [mask32x16::splat(simd, false); PANELS],
        };
        let dim = self.dim;
        let count = self.rows.len() / dim;
        if count < ROWS {
            for (index, row) in self.rows.chunks_exact(dim).enumerate() {
                let after = self.next.get(index * dim..).unwrap_or_default();
                maxima.take::<1>(simd, row, after, panels, dim);
            }
        } else {
            for row in (0..count).step_by(ROWS) {
                // The last rows overlap those before: a maximum does not mind.
                let first = row.min(count - ROWS);
                let (rows, after) = self.rows[first * dim..].split_at(ROWS * dim);
                let after = if after.is_empty() { self.next } else { after };
                maxima.take::<ROWS>(simd, rows, after, panels, dim);
            }
        }
        let nan = f32x16::splat(simd, f32::NAN);
        let mut largest = [[0.0; LANES]; PANELS];
        for (panel, largest) in largest.iter_mut().enumerate() {
            maxima.nan[panel].select(nan, maxima.largest[panel]).store_slice(largest);
        }
        largest
    }
}

/// Asks memory for a line of the cache.
#[inline(always)]
fn prefetch(line: &f32) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "the standard library has no safe function for it")]
    // SAFETY: the instruction changes no state of the program, and the address is that of a number.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(line).cast());
    }
    #[cfg(target_arch = "aarch64")]
    #[expect(unsafe_code, reason = "the standard library has no stable function for it")]
    // SAFETY: the instruction changes no state of the program, and the address is that of a number.
    unsafe {
        std::arch::asm!(
            "prfm pldl1keep, [{line}]",
            line = in(reg) std::ptr::from_ref(line),
            options(nostack, readonly, preserves_flags)
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = line;
}

/// Maxima of the rows that were seen of a document, for each token of some panels.
struct Maxima<S: Simd, const PANELS: usize> {
    largest: [f32x16<S>; PANELS],
    /// Where a product was NaN, which a maximum need not keep.
    nan: [mask32x16<S>; PANELS],
}

impl<S: Simd, const PANELS: usize> Maxima<S, PANELS> {
    /// Takes `ROWS` rows, and prefetches as many of those `after` them.
    #[inline(always)]
    fn take<const ROWS: usize>(
        &mut self,
        simd: S,
        rows: &[f32],
        after: &[f32],
        panels: [&[[f32; LANES]]; PANELS],
        dim: usize,
    ) {
        let after = &after[..after.len().min(ROWS * dim)];
        let mut split = [rows; ROWS];
        for (index, row) in split.iter_mut().enumerate() {
            *row = &rows[index * dim..(index + 1) * dim];
        }
        // Shows the compiler that no index is out of bounds.
        let panels = panels.map(|panel| &panel[..dim]);
        let mut sums = [[f32x16::splat(simd, 0.0); PANELS]; ROWS];
        for component in 0..dim {
            // A line for each component is enough, as there are no more rows than numbers in a line.
            if let Some(line) = after.get(component * LINE) {
                prefetch(line);
            }
            let columns = panels.map(|panel| f32x16::from_slice(simd, &panel[component]));
            for (sums, row) in sums.iter_mut().zip(&split) {
                let number = f32x16::splat(simd, row[component]);
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = column.mul_add(number, *sum);
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
