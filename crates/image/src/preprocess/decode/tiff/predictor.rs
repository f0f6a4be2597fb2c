//! Undoes predictors.

use super::page::Predictor;

/// Undoes the predictor in rows of samples of `bits`, each the difference to the sample `stride`
/// before, and makes samples little-endian.
pub(super) fn undo(
    predictor: Predictor,
    bytes: &mut [u8],
    row_bytes: usize,
    bits: u32,
    stride: usize,
    is_big_endian: bool,
) {
    if predictor == Predictor::Float {
        bytes.chunks_exact_mut(row_bytes).for_each(|row| undo_float(row, stride));
        return;
    }
    if is_big_endian && matches!(bits, 16 | 32) {
        bytes.chunks_exact_mut(bits as usize / 8).for_each(<[u8]>::reverse);
    }
    if predictor == Predictor::Horizontal {
        for row in bytes.chunks_exact_mut(row_bytes) {
            match bits {
                8 => accumulate(row, stride),
                16 => sum::<2>(row, stride, |a, b| {
                    u16::from_le_bytes(a).wrapping_add(u16::from_le_bytes(b)).to_le_bytes()
                }),
                _ => sum::<4>(row, stride, |a, b| {
                    u32::from_le_bytes(a).wrapping_add(u32::from_le_bytes(b)).to_le_bytes()
                }),
            }
        }
    }
}

fn accumulate(row: &mut [u8], stride: usize) {
    for at in stride..row.len() {
        row[at] = row[at].wrapping_add(row[at - stride]);
    }
}

fn sum<const N: usize>(row: &mut [u8], stride: usize, add: impl Fn([u8; N], [u8; N]) -> [u8; N]) {
    let samples = row.as_chunks_mut::<N>().0;
    for at in stride..samples.len() {
        samples[at] = add(samples[at], samples[at - stride]);
    }
}

/// Floats are stored as their highest bytes, then their second bytes and so on, as differences of
/// bytes, in both byte orders.
fn undo_float(row: &mut [u8], stride: usize) {
    accumulate(row, stride);
    let planes = row.to_vec();
    let count = row.len() / 4;
    for (index, float) in row.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *float = [3, 2, 1, 0].map(|plane| planes[plane * count + index]);
    }
}
