//! A small GEMM with a constant matrix, for both number types.

use std::{
    fmt,
    ops::{Add, Div, Mul, Neg},
};

use crate::vectors::{Values, Vectors};

/// A packed matrix of `depth` rows: panels of [`Number::PANEL`] columns, each row-major. The last panel
/// is padded with zeros.
#[derive(Clone)]
pub struct Panels<T> {
    values: Vec<T>,
    depth: usize,
    columns: usize,
}

impl<T: Number> Panels<T> {
    /// Packs the matrix with `element(i, j)` in row `i` and column `j`.
    pub(crate) fn new(depth: usize, columns: usize, element: impl Fn(usize, usize) -> T) -> Self {
        let mut values = Vec::with_capacity(depth * columns.next_multiple_of(T::PANEL));
        for first in (0..columns).step_by(T::PANEL) {
            for row in 0..depth {
                values.extend((first..first + T::PANEL).map(|column| {
                    if column < columns { element(row, column) } else { T::default() }
                }));
            }
        }
        Self { values, depth, columns }
    }

    /// An element of the matrix.
    #[cfg(test)]
    pub(crate) fn get(&self, row: usize, column: usize) -> T {
        let panel = column / T::PANEL * T::PANEL;
        self.values[panel * self.depth + row * T::PANEL + column % T::PANEL]
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }
}

/// Multiplies `rows`, `[rows, depth]`, by the matrix and passes the results to
/// `store(row, first column, values)`, at most a panel at a time. A row may be stored twice.
///
/// Each result is accumulated from the first component to the last, with fused multiply-add if `FUSED`:
/// the order of common BLAS libraries, so results are mostly bit-equal to theirs.
#[inline(always)]
pub(crate) fn multiply<T: Number, const FUSED: bool, const ROWS: usize, const PANEL: usize>(
    rows: &[T],
    matrix: &Panels<T>,
    mut store: impl FnMut(usize, usize, &[T]),
) {
    let count = rows.len() / matrix.depth;
    if count < ROWS {
        for row in 0..count {
            row_block::<T, FUSED, 1, PANEL>(rows, row, matrix, &mut store);
        }
        return;
    }
    for row in (0..count).step_by(ROWS) {
        // The last row block overlaps the previous one instead of being smaller.
        row_block::<T, FUSED, ROWS, PANEL>(rows, row.min(count - ROWS), matrix, &mut store);
    }
}

/// Microkernel: multiplies `COUNT` rows, starting with `first`, by all panels.
#[inline(always)]
fn row_block<T: Number, const FUSED: bool, const COUNT: usize, const PANEL: usize>(
    rows: &[T],
    first: usize,
    matrix: &Panels<T>,
    store: &mut impl FnMut(usize, usize, &[T]),
) {
    let depth = matrix.depth;
    let rows: [&[T]; COUNT] = std::array::from_fn(|row| &rows[(first + row) * depth..][..depth]);
    for (index, panel) in matrix.values.chunks_exact(depth * PANEL).enumerate() {
        let (panel, _) = panel.as_chunks::<PANEL>();
        let mut acc = [[T::default(); PANEL]; COUNT];
        // Shows the compiler that no index is out of bounds.
        let panel = &panel[..depth];
        for place in 0..depth {
            let weights = &panel[place];
            let components: [T; COUNT] = std::array::from_fn(|row| rows[row][place]);
            for (acc, component) in acc.iter_mut().zip(components) {
                for (acc, &weight) in acc.iter_mut().zip(weights) {
                    *acc = if FUSED {
                        component.fused(weight, *acc)
                    } else {
                        component * weight + *acc
                    };
                }
            }
        }
        let column = index * PANEL;
        let width = PANEL.min(matrix.columns - column);
        // The slices borrow this copy, so that the accumulators stay in registers.
        let finished = acc;
        for (row, acc) in finished.iter().enumerate() {
            store(first + row, column, &acc[..width]);
        }
    }
}

/// Arithmetic of a [`Precision`](crate::Precision), which seals that trait.
pub trait Number:
    Copy
    + Default
    + PartialEq
    + PartialOrd
    + Add<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + fmt::Debug
    + Send
    + Sync
    + 'static
{
    /// Columns of a panel: two 32-byte vectors.
    const PANEL: usize;
    /// `true` for the precision of the original, whose decisions are final.
    const EXACT: bool;
    /// Maximum relative error of one rounding.
    const ROUNDING: f64;
    const INFINITY: Self;

    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
    fn is_finite(self) -> bool;
    /// `self * factor + summand`, rounded once.
    fn fused(self, factor: Self, summand: Self) -> Self;

    /// Components of `vectors` in this precision, borrowed or converted into `buffer`.
    fn components<'a>(vectors: Vectors<'a>, buffer: &'a mut Vec<Self>) -> &'a [Self];

    /// Multiplies rows by a matrix; see [`multiply`].
    fn multiply<const FUSED: bool>(
        rows: &[Self],
        matrix: &Panels<Self>,
        store: impl FnMut(usize, usize, &[Self]),
    );
}

macro_rules! number {
    ($type:ident, $rows:literal, $panel:literal, $exact:literal, $same:ident, $other:ident) => {
        impl Number for $type {
            const PANEL: usize = $panel;
            const EXACT: bool = $exact;
            const ROUNDING: f64 = $type::EPSILON as f64 / 2.0;
            const INFINITY: Self = $type::INFINITY;

            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $type
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn is_finite(self) -> bool {
                self.is_finite()
            }

            #[inline(always)]
            fn fused(self, factor: Self, summand: Self) -> Self {
                self.mul_add(factor, summand)
            }

            fn components<'a>(vectors: Vectors<'a>, buffer: &'a mut Vec<Self>) -> &'a [Self] {
                match vectors.values() {
                    Values::$same(values) => values,
                    Values::$other(values) => {
                        buffer.clear();
                        buffer.extend(values.iter().map(|&value| value as $type));
                        buffer
                    }
                }
            }

            #[inline(always)]
            fn multiply<const FUSED: bool>(
                rows: &[Self],
                matrix: &Panels<Self>,
                store: impl FnMut(usize, usize, &[Self]),
            ) {
                multiply::<Self, FUSED, $rows, $panel>(rows, matrix, store);
            }
        }
    };
}

number!(f64, 6, 8, true, F64, F32);
number!(f32, 6, 16, false, F32, F64);
