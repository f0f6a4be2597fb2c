//! Rectangular parts of a matrix that threads fill at the same time.

use std::marker::PhantomData;
use std::ops::Range;

use super::COLUMNS;

/// Rows and columns of a row-major matrix, lent to one writer.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    /// The first element of the whole matrix.
    start: *mut f32,
    /// Rows and columns of the whole matrix.
    whole: (usize, usize),
    rows: Range<usize>,
    columns: Range<usize>,
    matrix: PhantomData<&'a mut [f32]>,
}

#[expect(unsafe_code, reason = "a block may be filled by another thread")]
// SAFETY: a block reaches its own rows and columns only, as a slice for each row; blocks of one
// matrix are made by dividing one that was made from the only reference to it.
unsafe impl Send for Block<'_> {}

impl<'a> Block<'a> {
    /// The whole of a matrix of `columns` columns.
    ///
    /// # Panics
    ///
    /// If the length is not a multiple of `columns`.
    pub(crate) fn new(matrix: &'a mut [f32], columns: usize) -> Self {
        let rows = matrix.len().checked_div(columns).unwrap_or(0);
        assert_eq!(rows * columns, matrix.len(), "a matrix does not end with a row");
        Self {
            start: matrix.as_mut_ptr(),
            whole: (rows, columns),
            rows: 0..rows,
            columns: 0..columns,
            matrix: PhantomData,
        }
    }

    /// `parts` blocks or fewer for as many threads, none of them empty: of rows, or of columns where
    /// there are fewer rows than `rows_at_least` for each part.
    pub(crate) fn divide(self, parts: usize, rows_at_least: usize) -> Vec<Self> {
        let by_rows = parts.saturating_mul(rows_at_least.max(1)) <= self.rows.len();
        let unit = if by_rows { 1 } else { COLUMNS };
        let range = if by_rows { &self.rows } else { &self.columns };
        let units = range.len().div_ceil(unit);
        let count = parts.max(1).min(units);
        let bounds = |part: usize| {
            let begin = range.start + units * part / count * unit;
            let end = range.start + units * (part + 1) / count * unit;
            begin..end.min(range.end)
        };
        (0..count)
            .map(|part| Self {
                rows: if by_rows { bounds(part) } else { self.rows.clone() },
                columns: if by_rows { self.columns.clone() } else { bounds(part) },
                ..self
            })
            .collect()
    }

    /// Rows and columns of the whole matrix.
    pub(super) fn whole(&self) -> (usize, usize) {
        self.whole
    }

    pub(super) fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// The columns; they begin with a panel and end with one or with the matrix.
    pub(super) fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// The block's columns of a row, which is counted from the first of the matrix.
    pub(super) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(self.rows.contains(&row));
        let at = row * self.whole.1 + self.columns.start;
        #[expect(unsafe_code, reason = "rows of a block are not contiguous")]
        // SAFETY: row and columns are within the matrix, which is borrowed for 'a, and within this
        // block, so that no other one reaches them; `self` is borrowed as long as the slice.
        unsafe {
            std::slice::from_raw_parts_mut(self.start.add(at), self.columns.len())
        }
    }
}
