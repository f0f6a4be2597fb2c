//! Quantisation of matrices to i8 with a scale for each column, and rounding to bf16.

use embedkit_core::onnx::operators::round_to_bf16;

/// Maximum sum of two neighbouring weights of one sign in a column, `(k, k + 1)` with k even.
///
/// Processors with AVX2 or AVX-512 but without VNNI multiply activations of 0..=255 by weights and add
/// two such products in 16 bits with saturation: 255 x 128 fits, 255 x 129 does not. Within this bound
/// results are exact on all processors.
const MAX_PAIR: f32 = 128.0;
/// Weights are symmetric: -128 is not used.
const QMAX: f32 = 127.0;

/// A quantised matrix.
#[derive(Debug, PartialEq)]
pub(super) struct Quantized {
    /// Row-major, with the shape of the matrix.
    pub(super) values: Vec<i8>,
    /// Scale of each column, or of each row for a table.
    pub(super) scales: Vec<f32>,
}

/// Quantises a row-major matrix of `columns` columns. Returns `None` if a number is not finite.
///
/// The scale of a column maps its largest magnitude to 127. It is coarser if two neighbours would add
/// up to more than [`MAX_PAIR`].
pub(super) fn quantize(matrix: &[f32], columns: usize) -> Option<Quantized> {
    if !matrix.iter().all(|number| number.is_finite()) {
        return None;
    }
    let mut largest = vec![0f32; columns];
    let mut sum = vec![0f32; columns];
    for pair in matrix.chunks(2 * columns) {
        let (first, second) = pair.split_at(columns.min(pair.len()));
        for (column, &a) in first.iter().enumerate() {
            let b = second.get(column).copied().unwrap_or(0.0);
            largest[column] = largest[column].max(a.abs()).max(b.abs());
            sum[column] = sum[column].max(a.max(0.0) + b.max(0.0)).max(-(a.min(0.0) + b.min(0.0)));
        }
    }
    let scales: Vec<f32> = largest
        .iter()
        .zip(&sum)
        // Rounding adds at most 0.5 to each of two neighbours.
        .map(|(&largest, &sum)| (largest / QMAX).max(sum / (MAX_PAIR - 1.0)))
        .map(|scale| if scale < f32::MIN_POSITIVE { 1.0 } else { scale })
        .collect();
    if !scales.iter().all(|scale| scale.is_finite()) {
        return None;
    }
    let values = matrix
        .chunks(columns)
        .flat_map(|row| row.iter().zip(&scales))
        .map(|(number, scale)| (number / scale).round_ties_even().clamp(-QMAX, QMAX) as i8)
        .collect();
    Some(Quantized { values, scales })
}

/// Quantises each row of a table of rows of `width` numbers. Returns `None` if a number is not finite.
pub(super) fn quantize_rows(table: &[f32], width: usize) -> Option<Quantized> {
    let mut values = Vec::with_capacity(table.len());
    let mut scales = Vec::with_capacity(table.len() / width.max(1));
    for row in table.chunks(width) {
        if !row.iter().all(|number| number.is_finite()) {
            return None;
        }
        let largest = row.iter().fold(0f32, |largest, number| largest.max(number.abs()));
        let scale = largest / QMAX;
        let scale = if scale < f32::MIN_POSITIVE { 1.0 } else { scale };
        values.extend(row.iter().map(|number| (number / scale).round_ties_even() as i8));
        scales.push(scale);
    }
    Some(Quantized { values, scales })
}

/// The bits of a matrix rounded to bf16, without subnormal numbers, which processors take as zero. Returns `None` if
/// a number is not finite.
pub(super) fn to_bf16(matrix: &[f32]) -> Option<Vec<u16>> {
    const EXPONENT: u16 = 0x7f80;
    let rounded = |&number: &f32| {
        let bits = round_to_bf16(number);
        match bits & EXPONENT {
            0 => Some(0),
            EXPONENT => None,
            _ => Some(bits),
        }
    };
    matrix.iter().map(rounded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers with a bell-shaped distribution.
    fn noise(count: usize) -> Vec<f32> {
        let mut state = 7u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        (0..count).map(|_| (0..4).map(|_| uniform()).sum()).collect()
    }

    #[test]
    fn a_column_comes_back_within_half_a_step() {
        let matrix = noise(33 * 8);
        let quantized = quantize(&matrix, 8).unwrap();
        for (i, (&integer, number)) in quantized.values.iter().zip(&matrix).enumerate() {
            let scale = quantized.scales[i % 8];
            assert!((f32::from(integer) * scale - number).abs() <= 0.5001 * scale, "{i}");
        }
    }

    #[test]
    fn neighbours_never_overflow_sixteen_bits() {
        let mut matrix = noise(64 * 8);
        matrix[0] = 3.0;
        matrix[8] = 3.0; // below it: the same column, the next row
        matrix[16 + 1] = -3.0;
        matrix[24 + 1] = -2.9;
        let quantized = quantize(&matrix, 8).unwrap();
        assert_eq!((quantized.values[0], quantized.values[8]), (64, 64));
        for pair in quantized.values.chunks(16) {
            let (first, second) = pair.split_at(8);
            for (&a, &b) in first.iter().zip(second) {
                let (a, b) = (i32::from(a), i32::from(b));
                assert!(255 * (a.max(0) + b.max(0)) <= i32::from(i16::MAX));
                assert!(255 * (a.min(0) + b.min(0)) >= i32::from(i16::MIN));
            }
        }
    }

    #[test]
    fn zeros_stay_and_infinities_are_refused() {
        let zeros = quantize(&[0.0; 6], 2).unwrap();
        assert_eq!(zeros, Quantized { values: vec![0; 6], scales: vec![1.0; 2] });
        assert_eq!(quantize(&[1.0, f32::NAN], 2), None);
        assert_eq!(quantize(&[1.0, f32::INFINITY], 2), None);
        assert_eq!(quantize(&[f32::MAX, f32::MAX], 1), None, "their sum is not finite");
        assert_eq!(quantize_rows(&[f32::NAN], 1), None);
    }

    #[test]
    fn bf16_has_the_upper_bits_of_finite_numbers() {
        let tiny = f32::MIN_POSITIVE;
        let numbers =
            [1.0, -1.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, 0.0, -0.0, tiny, tiny / 2.0];
        let expected = [0x3f80, 0xbf80, 0x3f80, 0x3f82, 0, 0, 0x80, 0];
        assert_eq!(to_bf16(&numbers).unwrap(), expected);
        for number in [f32::NAN, f32::INFINITY, f32::MAX] {
            assert_eq!(to_bf16(&[number]), None, "{number} is not finite as bf16");
        }
    }

    #[test]
    fn rows_have_scales_of_their_own() {
        let table = quantize_rows(&[1.0, -0.5, 254.0, 2.0], 2).unwrap();
        assert_eq!(table.values, [127, -64, 127, 1]);
        assert_eq!(table.scales, [1.0 / 127.0, 2.0]);
    }
}
