//! From the graph's vectors to results.

use embedkit_core::{l2_norm, onnx::Row};

/// Appends a vector of a row, scaled to unit length (L2); zeros stay zeros.
pub(crate) fn push_unit(values: &mut Vec<f32>, row: &Row<'_>, vector: &[f32]) {
    let norm = l2_norm(vector.iter().copied().map(f64::from));
    values.extend(vector.iter().map(|&x| row.round(f64::from(x) / norm)));
}
