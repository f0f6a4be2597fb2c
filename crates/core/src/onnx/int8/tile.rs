//! Disjoint mutable tiles of a matrix, which threads fill at the same time.

use std::marker::PhantomData;
use std::ops::Range;

use super::gemm::COLUMNS;

/// A mutable rectangular tile of a row-major matrix.
#[derive(Debug)]
pub(crate) struct TileMut<'a> {
    /// First element of the whole matrix.
    start: *mut f32,
    /// Rows and columns of the whole matrix.
    shape: (usize, usize),
    rows: Range<usize>,
    columns: Range<usize>,
    matrix: PhantomData<&'a mut [f32]>,
}

#[expect(unsafe_code, reason = "another thread may fill a tile")]
// SAFETY: a tile gives access to its own rows and columns only, one row slice at a time. Tiles of one
// matrix are disjoint, because they split a tile that was made from the only reference to it.
unsafe impl Send for TileMut<'_> {}

impl<'a> TileMut<'a> {
    /// A tile that covers a whole row-major matrix of `columns` columns.
    ///
    /// # Panics
    ///
    /// If the length of `matrix` is not a multiple of `columns`.
    pub(crate) fn new(matrix: &'a mut [f32], columns: usize) -> Self {
        let rows = matrix.len().checked_div(columns).unwrap_or(0);
        assert_eq!(rows * columns, matrix.len(), "the matrix ends within a row");
        Self {
            start: matrix.as_mut_ptr(),
            shape: (rows, columns),
            rows: 0..rows,
            columns: 0..columns,
            matrix: PhantomData,
        }
    }

    /// Splits the tile into at most `parts` tiles, none of them empty. Tiles are bands of rows, or bands
    /// of panels if a band would have fewer than `min_rows` rows.
    pub(crate) fn split(self, parts: usize, min_rows: usize) -> Vec<Self> {
        let by_rows = parts.saturating_mul(min_rows.max(1)) <= self.rows.len();
        let unit = if by_rows { 1 } else { COLUMNS };
        let range = if by_rows { &self.rows } else { &self.columns };
        let units = range.len().div_ceil(unit);
        let parts = parts.max(1).min(units);
        let bounds = |part: usize| {
            let begin = range.start + units * part / parts * unit;
            let end = range.start + units * (part + 1) / parts * unit;
            begin..end.min(range.end)
        };
        (0..parts)
            .map(|part| Self {
                rows: if by_rows { bounds(part) } else { self.rows.clone() },
                columns: if by_rows { self.columns.clone() } else { bounds(part) },
                ..self
            })
            .collect()
    }

    /// Splits the tile into tiles of `rows` by `columns`, row by row; the last ones may be smaller.
    ///
    /// # Panics
    ///
    /// If a side is 0.
    pub(in crate::onnx) fn grid(self, rows: usize, columns: usize) -> Vec<Self> {
        let parts = |range: &Range<usize>, side: usize| {
            let end = range.end;
            range.clone().step_by(side).map(move |start| start..end.min(start + side))
        };
        parts(&self.rows, rows)
            .flat_map(|rows| {
                let columns = parts(&self.columns, columns);
                columns.map(move |columns| Self { rows: rows.clone(), columns, ..self })
            })
            .collect()
    }

    /// Rows and columns of the whole matrix.
    pub(in crate::onnx) fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// Rows of the tile, counted from the first row of the matrix.
    pub(in crate::onnx) fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Columns of the tile. For a GEMM they start at a panel and end at one or at the end of the matrix.
    pub(in crate::onnx) fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// The tile's columns of one row, counted from the first row of the matrix.
    pub(in crate::onnx) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(self.rows.contains(&row));
        let at = row * self.shape.1 + self.columns.start;
        #[expect(unsafe_code, reason = "rows of a tile are not contiguous")]
        // SAFETY: row and columns are within the matrix, which is borrowed for 'a, and within this tile,
        // which no other tile overlaps. The slice borrows `self`.
        unsafe {
            std::slice::from_raw_parts_mut(self.start.add(at), self.columns.len())
        }
    }
}
