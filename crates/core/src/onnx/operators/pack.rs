//! Packing of weights into panels.

use super::super::int8::{COLUMNS, DEPTH};

/// An i8 matrix in the layout that the GEMM reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// `[panels, groups, 16, 4]` in row-major order, padded with zeros. Weight `(row, column)` is at
    /// `(column / 16, row / 4, column % 16, row % 4)`.
    pub weights: Vec<i8>,
    /// Shape of `weights`.
    pub shape: [usize; 4],
    /// Sum of each column.
    pub column_sums: Vec<i32>,
}

/// Packs a row-major matrix `[rows, columns]`.
///
/// # Panics
/// If `matrix` does not have `rows * columns` elements.
#[must_use]
pub fn pack(matrix: &[i8], rows: usize, columns: usize) -> Packed {
    assert_eq!(matrix.len(), rows * columns, "elements of a [{rows}, {columns}] matrix");
    let shape = [columns.div_ceil(COLUMNS), rows.div_ceil(DEPTH), COLUMNS, DEPTH];
    let mut weights = vec![0; shape.iter().product()];
    let mut column_sums = vec![0; columns];
    for (row, numbers) in matrix.chunks(columns.max(1)).enumerate() {
        for (column, &number) in numbers.iter().enumerate() {
            let group = (column / COLUMNS) * shape[1] + row / DEPTH;
            weights[(group * COLUMNS + column % COLUMNS) * DEPTH + row % DEPTH] = number;
            column_sums[column] += i32::from(number);
        }
    }
    Packed { weights, shape, column_sums }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_padded_to_whole_panels_and_groups() {
        let matrix: Vec<i8> = (0..5 * 17).collect();
        let packed = pack(&matrix, 5, 17);
        assert_eq!(packed.shape, [2, 2, 16, 4]);
        assert_eq!(packed.weights.len(), 256);
        assert_eq!(packed.weights[..8], [0, 17, 34, 51, 1, 18, 35, 52], "two columns, four rows");
        assert_eq!(packed.weights[64..69], [68, 0, 0, 0, 69], "the fifth row");
        assert_eq!(packed.weights[128..132], [16, 33, 50, 67], "the last column");
        assert_eq!(packed.weights[132..192], [0; 60]);
        assert_eq!(packed.column_sums[16], 16 + 33 + 50 + 67 + 84);
    }
}
