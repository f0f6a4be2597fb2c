//! Errors of MUVERA.

/// Invalid parameters, or vectors that cannot be encoded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
        source: Box<Error>,
    },
}

impl Error {
    /// Advice to the user, if there is any.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Zero { parameter } => Some(match *parameter {
                "dim" => "dim is the dimension of the model's vectors".to_owned(),
                parameter => format!("leave {parameter} out for its usual value"),
            }),
            Self::ProjectionTooWide { dim, .. } => {
                Some(format!("choose dim_proj between 1 and {dim}; {dim} means no projection"))
            }
            Self::TooLarge { .. } => Some(
                "lower k_sim first: an encoding has r_reps * 2^k_sim * dim_proj components"
                    .to_owned(),
            ),
            Self::Memory { .. } => {
                Some("lower k_sim, dim_proj or r_reps, or encode fewer inputs at once".to_owned())
            }
            Self::WrongDim { found, .. } => {
                Some(format!("make the encoder with dim {found}, or from the model itself"))
            }
            Self::Ragged { .. } => Some("compare the dimension with the model's".to_owned()),
            Self::Empty => Some("leave inputs without any vector out".to_owned()),
            Self::NotFinite { value, .. } if value.is_finite() => {
                Some("encode in 64 bits, or scale the vectors".to_owned())
            }
            Self::NotFinite { .. } => {
                Some("look for the input whose embedding has such values".to_owned())
            }
            Self::Input { source, .. } => source.hint(),
        }
    }
}
