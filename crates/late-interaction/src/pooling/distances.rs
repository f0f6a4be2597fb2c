//! Cosine distances between all vectors of one input.

use embedkit_types::MultiVector;
use fearless_simd::{Level, dispatch};

use crate::LateInteractionError;

/// Columns that are computed together.
const LANES: usize = 16;

/// The distance between any two of `len` things, each pair once: that of 0 and 1 first, then that of
/// 0 and 2, and so on.
#[derive(Debug)]
pub(super) struct Distances {
    pub(super) values: Vec<f64>,
    pub(super) len: usize,
}

impl Distances {
    /// The position of a pair; the two may not be equal.
    pub(super) fn index(&self, a: usize, b: usize) -> usize {
        let (low, high) = if a < b { (a, b) } else { (b, a) };
        // The rows before have len - 1, len - 2, … values.
        low * (2 * self.len - low - 1) / 2 + high - low - 1
    }
}

/// One minus the cosine, in f64. Every product is summed from the first component to the last, as
/// SciPy does it, since the last bit decides between distances that would be equal.
pub(super) fn cosine(vectors: &MultiVector) -> Result<Distances, LateInteractionError> {
    let (len, dim) = (vectors.len(), vectors.dim());
    let too_many = || LateInteractionError::TooManyVectors { vectors: len };
    let room = |count: Option<usize>| {
        let mut values: Vec<f64> = Vec::new();
        let count = count.ok_or_else(too_many)?;
        values.try_reserve_exact(count).map_err(|_| too_many())?;
        Ok::<_, LateInteractionError>(values)
    };
    let padded = len.checked_next_multiple_of(LANES).and_then(|lanes| lanes.checked_mul(dim));
    let mut columns = room(padded)?;
    columns.resize(len.next_multiple_of(LANES) * dim, 0.0);
    let mut norms = Vec::with_capacity(len);
    for (index, row) in vectors.rows().enumerate() {
        let panel = &mut columns[index / LANES * LANES * dim..][..LANES * dim];
        for (component, &value) in row.iter().enumerate() {
            panel[component * LANES + index % LANES] = f64::from(value);
        }
        let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if !(norm > 0.0 && norm.is_finite()) {
            return Err(LateInteractionError::NoDirection { index });
        }
        norms.push(norm);
    }
    let mut distances =
        Distances { values: room(len.checked_mul(len - 1).map(|pairs| pairs / 2))?, len };
    let level = Level::new();
    for (index, row) in vectors.rows().enumerate() {
        let row: Vec<f64> = row.iter().copied().map(f64::from).collect();
        let norm = norms[index];
        let others = index + 1..len;
        for panel in others.start / LANES..others.end.div_ceil(LANES) {
            let columns = &columns[panel * LANES * dim..][..LANES * dim];
            let mut products = [0.0; LANES];
            dispatch!(level, _ => multiply(&row, columns, &mut products));
            for (lane, product) in products.into_iter().enumerate() {
                let other = panel * LANES + lane;
                if others.contains(&other) {
                    let cosine = product / (norm * norms[other]);
                    distances.values.push(1.0 - cosine.clamp(-1.0, 1.0));
                }
            }
        }
    }
    Ok(distances)
}

/// The products of one row with the columns of a panel.
#[inline(always)]
fn multiply(row: &[f64], panel: &[f64], products: &mut [f64; LANES]) {
    let mut sums = [0.0; LANES];
    for (value, column) in row.iter().zip(panel.chunks_exact(LANES)) {
        for (sum, other) in sums.iter_mut().zip(column) {
            *sum += value * other;
        }
    }
    *products = sums;
}
