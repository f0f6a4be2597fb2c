//! Products of a few rows and a small matrix that stays.

use crate::precision::Number;

/// A matrix of `depth` rows in the order in which a product reads it: panels of [`Number::PANEL`]
/// columns, each row by row. Columns that the last panel lacks are zero.
#[derive(Clone)]
pub struct Panels<T> {
    values: Vec<T>,
    depth: usize,
    columns: usize,
}

impl<T: Number> Panels<T> {
    /// The matrix whose element in row `i` and column `j` is `element(i, j)`.
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

    /// One element.
    #[cfg(test)]
    pub(crate) fn get(&self, row: usize, column: usize) -> T {
        let panel = column / T::PANEL * T::PANEL;
        self.values[panel * self.depth + row * T::PANEL + column % T::PANEL]
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }
}

/// Multiplies `rows` (each as long as the matrix is deep) by the matrix, and gives the results to
/// `store(row, first column, values)` in pieces of at most a panel. A row may be given twice.
///
/// Each result is summed from the first component to the last, by fused multiply-add where there is
/// one: the order of common BLAS libraries, hence mostly their very bits.
#[inline(always)]
pub(crate) fn multiply<T: Number, const FUSED: bool, const ROWS: usize, const PANEL: usize>(
    rows: &[T],
    matrix: &Panels<T>,
    mut store: impl FnMut(usize, usize, &[T]),
) {
    let count = rows.len() / matrix.depth;
    if count < ROWS {
        for row in 0..count {
            block::<T, FUSED, 1, PANEL>(rows, row, matrix, &mut store);
        }
        return;
    }
    for row in (0..count).step_by(ROWS) {
        // The last block overlaps the one before instead of being smaller.
        block::<T, FUSED, ROWS, PANEL>(rows, row.min(count - ROWS), matrix, &mut store);
    }
}

/// `COUNT` rows from the row `first`, times all panels.
#[inline(always)]
fn block<T: Number, const FUSED: bool, const COUNT: usize, const PANEL: usize>(
    rows: &[T],
    first: usize,
    matrix: &Panels<T>,
    store: &mut impl FnMut(usize, usize, &[T]),
) {
    let depth = matrix.depth;
    let rows: [&[T]; COUNT] = std::array::from_fn(|row| &rows[(first + row) * depth..][..depth]);
    for (index, panel) in matrix.values.chunks_exact(depth * PANEL).enumerate() {
        let (panel, _) = panel.as_chunks::<PANEL>();
        let mut sums = [[T::default(); PANEL]; COUNT];
        // The compiler sees that no index is out of bounds.
        let panel = &panel[..depth];
        for place in 0..depth {
            let factors = &panel[place];
            let components: [T; COUNT] = std::array::from_fn(|row| rows[row][place]);
            for (sums, component) in sums.iter_mut().zip(components) {
                for (sum, &factor) in sums.iter_mut().zip(factors) {
                    *sum = if FUSED {
                        component.fused(factor, *sum)
                    } else {
                        component * factor + *sum
                    };
                }
            }
        }
        let column = index * PANEL;
        let width = PANEL.min(matrix.columns - column);
        // A copy, because of which the sums themselves stay in registers: what is taken a slice of
        // has an address.
        let finished = sums;
        for (row, sums) in finished.iter().enumerate() {
            store(first + row, column, &sums[..width]);
        }
    }
}
