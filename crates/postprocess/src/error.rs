//! Errors of MUVERA.

use embedkit_types::{ErrorKind, Hint};

/// Invalid parameters, or vectors that cannot be encoded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MuveraError {
    /// A parameter is 0.
    #[error("expected {parameter} of muvera to be at least 1, got 0")]
    Zero {
        /// Name of the parameter.
        parameter: &'static str,
    },
    /// The projection would make the vectors longer.
    #[error("cannot project to a higher dimensionality (dim_proj={dim_proj} > dim={dim})")]
    ProjectionTooWide {
        /// Components after the projection.
        dim_proj: usize,
        /// Components of the vectors.
        dim: usize,
    },
    /// An encoding or the random matrices would have too many components.
    #[error(
        "muvera with dim={dim}, k_sim={k_sim}, dim_proj={dim_proj} and r_reps={r_reps} needs {what} \
         of more than {limit} components"
    )]
    TooLarge {
        /// Object that would be too large.
        what: &'static str,
        /// Maximum components.
        limit: usize,
        /// Components of the vectors.
        dim: usize,
        /// Hyperplanes in each repetition.
        k_sim: u32,
        /// Components after the projection.
        dim_proj: usize,
        /// Repetitions.
        r_reps: usize,
    },
    /// There is no memory for an encoding.
    #[error("no memory for an encoding of {components} components")]
    Memory {
        /// Components of the encoding.
        components: usize,
    },
    /// The vectors have another dimension than the encoder.
    #[error("expected vectors of dimension {expected}, got {found}")]
    WrongDim {
        /// Dimension of the encoder.
        expected: usize,
        /// Dimension of the vectors.
        found: usize,
    },
    /// A buffer ends within a vector.
    #[error("{values} components are not a whole number of vectors of dimension {dim}")]
    Ragged {
        /// Components in the buffer.
        values: usize,
        /// Dimension of the vectors.
        dim: usize,
    },
    /// There is no vector to encode.
    #[error("cannot encode an empty multi-vector")]
    Empty,
    /// A component is infinite, NaN, or too large for 32-bit arithmetic if the encoder uses that.
    #[error("component {component} of vector {vector} is {value}, which cannot be encoded")]
    NotFinite {
        /// Index of the vector.
        vector: usize,
        /// Index of the component.
        component: usize,
        /// Value of the component.
        value: f64,
    },
    /// An input of a batch cannot be encoded.
    #[error("input {index} of the batch")]
    Input {
        /// Index of the input.
        index: usize,
        /// Cause.
        source: Box<MuveraError>,
    },
}

impl MuveraError {
    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Memory { .. } => ErrorKind::Runtime,
            Self::Input { source, .. } => source.kind(),
            _ => ErrorKind::InvalidInput,
        }
    }

    /// Advice.
    #[must_use]
    pub fn hint(&self) -> Hint {
        let advice = match self {
            Self::Zero { parameter: "dim" } => "dim is the dimension of the model's vectors",
            Self::Zero { parameter } => {
                return Hint::Advice(format!("leave {parameter} out for its usual value").into());
            }
            Self::ProjectionTooWide { dim, .. } => {
                return Hint::Advice(
                    format!("choose dim_proj between 1 and {dim}; {dim} means no projection")
                        .into(),
                );
            }
            Self::TooLarge { .. } => {
                "lower k_sim first: an encoding has r_reps * 2^k_sim * dim_proj components"
            }
            Self::Memory { .. } => {
                "lower k_sim, dim_proj or r_reps, or encode fewer inputs at once"
            }
            Self::WrongDim { found, .. } => {
                return Hint::Advice(
                    format!("make the encoder with dim {found}, or from the model itself").into(),
                );
            }
            Self::Ragged { .. } => "compare the dimension with the model's",
            Self::Empty => "leave inputs without any vector out",
            Self::NotFinite { value, .. } if value.is_finite() => {
                "encode in 64 bits, or scale the vectors"
            }
            Self::NotFinite { .. } => "look for the input whose embedding has such values",
            Self::Input { source, .. } => return source.hint(),
        };
        Hint::Advice(advice.into())
    }
}

impl From<MuveraError> for embedkit_types::Error {
    fn from(error: MuveraError) -> Self {
        let hint = error.hint();
        Self::new(error.kind(), error).with_hint(hint)
    }
}
