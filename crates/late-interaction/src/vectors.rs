//! From the graph's vectors to results.

use embedkit_core::onnx::Row;

/// Appends a vector of a row, scaled to unit length (L2); zeros stay zeros.
pub(crate) fn push_unit(values: &mut Vec<f32>, row: &Row<'_>, vector: &[f32]) {
    let norm = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    // `f64::max` would turn a NaN into the floor.
    let norm = if norm < 1e-12 { 1e-12 } else { norm };
    values.extend(vector.iter().map(|&x| row.round(f64::from(x) / norm)));
}
