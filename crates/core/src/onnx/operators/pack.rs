//! Packing of weights into panels.

use super::super::bf16::SIZE;
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
    let (weights, shape) = in_panels::<_, DEPTH>(matrix, rows, columns);
    let mut column_sums = vec![0; columns];
    for numbers in matrix.chunks(columns.max(1)) {
        for (sum, &number) in column_sums.iter_mut().zip(numbers) {
            *sum += i32::from(number);
        }
    }
    Packed { weights, shape, column_sums }
}

/// Packs the bits of a row-major matrix `[rows, columns]` of bf16: `[panels, pairs, 16, 2]` in row-major order,
/// padded with zeros. Weight `(row, column)` is at `(column / 16, row / 2, column % 16, row % 2)`.
///
/// # Panics
/// If `matrix` does not have `rows * columns` elements.
#[must_use]
pub fn pack_bf16(matrix: &[u16], rows: usize, columns: usize) -> (Vec<u16>, [usize; 4]) {
    in_panels::<_, { DEPTH / SIZE }>(matrix, rows, columns)
}

/// Panels of 16 columns, `D` neighbours of a column side by side.
fn in_panels<T: Copy + Default, const D: usize>(
    matrix: &[T],
    rows: usize,
    columns: usize,
) -> (Vec<T>, [usize; 4]) {
    assert_eq!(matrix.len(), rows * columns, "elements of a [{rows}, {columns}] matrix");
    let shape = [columns.div_ceil(COLUMNS), rows.div_ceil(D), COLUMNS, D];
    let mut packed = vec![T::default(); shape.iter().product()];
    for (row, numbers) in matrix.chunks(columns.max(1)).enumerate() {
        for (column, &number) in numbers.iter().enumerate() {
            let group = (column / COLUMNS) * shape[1] + row / D;
            packed[(group * COLUMNS + column % COLUMNS) * D + row % D] = number;
        }
    }
    (packed, shape)
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

    #[test]
    fn two_rows_of_bf16_lie_side_by_side() {
        let matrix: Vec<u16> = (1..=3 * 17).collect();
        let (packed, shape) = pack_bf16(&matrix, 3, 17);
        assert_eq!(shape, [2, 2, 16, 2]);
        assert_eq!(packed.len(), 128);
        assert_eq!(packed[..4], [1, 18, 2, 19], "two columns, two rows");
        assert_eq!(packed[32..36], [35, 0, 36, 0], "the third row");
        assert_eq!(packed[64..67], [17, 34, 0], "the last column");
    }
}
