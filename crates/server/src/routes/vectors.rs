//! Forms of vectors: their length, their dimension, their encoding.

use data_encoding::BASE64;
use embedkit::{HybridEmbedding, MultiVector, Output, SparseEmbedding};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::failure::{Failure, FailureKind};

/// Deviation of a squared norm from 1 that is rounding.
const UNIT: f64 = 1e-5;

/// Keeps the first components of a vector, scaled to unit length (Matryoshka).
pub(super) fn keep(vector: Vec<f32>, dimensions: Option<usize>) -> Result<Vec<f32>, Failure> {
    let Some(kept) = dimensions else { return Ok(vector) };
    let dim = vector.len();
    if kept == 0 || kept > dim {
        let message = format!("dimensions: expected 1 to {dim}, got {kept}");
        return Err(Failure::invalid("dimensions", message));
    }
    if kept == dim {
        return Ok(vector);
    }
    Ok(scaled(&vector[..kept]))
}

/// Keeps the first components of each vector.
pub(super) fn keep_each(
    vectors: &MultiVector,
    dimensions: Option<usize>,
) -> Result<Vec<Vec<f32>>, Failure> {
    vectors.rows().map(|row| keep(row.to_vec(), dimensions)).collect()
}

/// A vector of unit length. One that has it already stays as it is.
pub(super) fn unit(vector: Vec<f32>) -> Vec<f32> {
    let square: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if (square - 1.0).abs() < UNIT { vector } else { scaled(&vector) }
}

/// As the library scales: in f64, rounded once, and zeros stay zeros.
#[expect(clippy::cast_possible_truncation, reason = "the one rounding step")]
fn scaled(vector: &[f32]) -> Vec<f32> {
    let norm = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    let norm = norm.max(1e-12);
    vector.iter().map(|&x| (f64::from(x) / norm) as f32).collect()
}

/// Form of the numbers of a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    /// Numbers of JSON.
    #[default]
    Float,
    /// Bytes of f32, least significant first, in base64.
    Base64,
}

/// A vector in the form that was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Encoded<T> {
    Float(T),
    Base64(String),
}

impl Encoding {
    pub(super) fn vector(self, vector: Vec<f32>) -> Encoded<Vec<f32>> {
        match self {
            Self::Float => Encoded::Float(vector),
            Self::Base64 => Encoded::Base64(base64(&vector)),
        }
    }
}

/// Little-endian f32 in base64.
pub(super) fn base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    BASE64.encode(&bytes)
}

/// Weighted terms as two lists.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SparseLists {
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl From<SparseEmbedding> for SparseLists {
    fn from(terms: SparseEmbedding) -> Self {
        let (indices, values) = terms.into_parts();
        Self { indices, values }
    }
}

/// The vectors of dense outputs.
pub(super) fn dense(outputs: Vec<Output>) -> Result<Vec<Vec<f32>>, Failure> {
    let vector = |output| match output {
        Output::Hybrid(HybridEmbedding { dense: Some(vector), .. }) => Ok(vector),
        other => other.into_dense().map_err(wrong_model),
    };
    outputs.into_iter().map(vector).collect()
}

/// The weighted terms of an output.
pub(super) fn sparse(output: Output) -> Result<SparseEmbedding, Failure> {
    match output {
        Output::Hybrid(HybridEmbedding { sparse: Some(terms), .. }) => Ok(terms),
        other => other.into_sparse().map_err(wrong_model),
    }
}

/// The vectors of an output.
pub(super) fn multi_vector(output: Output) -> Result<MultiVector, Failure> {
    match output {
        Output::Hybrid(HybridEmbedding { multi_vector: Some(vectors), .. }) => Ok(vectors),
        other => other.into_multi_vector().map_err(wrong_model),
    }
}

/// The model does not give what the route is for.
fn wrong_model(error: embedkit::Error) -> Failure {
    Failure { kind: FailureKind::WrongModel, ..error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_components_are_kept_and_scaled() {
        let vector = vec![3.0, 4.0, 12.0];
        assert_eq!(keep(vector.clone(), None).unwrap(), vector);
        assert_eq!(keep(vector.clone(), Some(3)).unwrap(), vector);
        assert_eq!(keep(vector.clone(), Some(2)).unwrap(), [0.6, 0.8]);
        for bad in [0, 4] {
            let failure = keep(vector.clone(), Some(bad)).unwrap_err();
            assert_eq!(failure.message, format!("dimensions: expected 1 to 3, got {bad}"));
        }
    }

    #[test]
    fn a_vector_of_unit_length_stays_as_it_is() {
        let vector = vec![0.6, 0.800_000_1];
        assert_eq!(unit(vector.clone()), vector);
        assert_eq!(unit(vec![3.0, 4.0]), [0.6, 0.8]);
        assert_eq!(unit(vec![0.0, 0.0]), [0.0, 0.0]);
    }

    #[test]
    fn base64_has_the_least_significant_byte_first() {
        // 1.0 is 00 00 80 3f.
        assert_eq!(base64(&[1.0]), "AACAPw==");
    }
}
