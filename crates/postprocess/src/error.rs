//! What can go wrong with MUVERA.

/// An error of MUVERA: parameters that make no encoding, or vectors that cannot be encoded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter that has to be at least 1 is 0.
    #[error("muvera's {parameter} is 0, but has to be at least 1")]
    Zero {
        /// The parameter's name.
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
    /// An encoding or the random matrices would have more components than is allowed.
    #[error(
        "muvera with dim={dim}, k_sim={k_sim}, dim_proj={dim_proj} and r_reps={r_reps} needs {what} \
         of more than {limit} components"
    )]
    TooLarge {
        /// What would be too large.
        what: &'static str,
        /// The most components that it may have.
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
    /// Memory for an encoding could not be had.
    #[error("no memory for an encoding of {components} components")]
    Memory {
        /// Components of the encoding.
        components: usize,
    },
    /// The vectors are not of the width that the encoder was made for.
    #[error("expected vectors of width {expected}, found width {found}")]
    WrongWidth {
        /// The width that the encoder was made for.
        expected: usize,
        /// The width of the vectors.
        found: usize,
    },
    /// A buffer ends within a vector.
    #[error("{values} components are not a whole number of vectors of width {width}")]
    Ragged {
        /// Components in the buffer.
        values: usize,
        /// Components of each vector.
        width: usize,
    },
    /// There is no vector to encode.
    #[error("cannot encode an empty multi-vector")]
    Empty,
    /// A component is infinite, not a number, or too large for 32-bit arithmetic where that was
    /// asked for.
    #[error("component {component} of vector {vector} is {value}, which cannot be encoded")]
    NotFinite {
        /// The vector, from 0.
        vector: usize,
        /// Its component, from 0.
        component: usize,
        /// What was found.
        value: f64,
    },
    /// One input of a batch could not be encoded.
    #[error("input {index} of the batch")]
    Input {
        /// The input, from 0.
        index: usize,
        /// What is wrong with it.
        source: Box<Error>,
    },
}

impl Error {
    /// What the user can do about it, where we know.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Zero { parameter } => Some(match *parameter {
                "dim" => "dim is the width of the vectors that the model gives".to_owned(),
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
            Self::WrongWidth { found, .. } => {
                Some(format!("make the encoder with dim {found}, or from the model itself"))
            }
            Self::Ragged { .. } => Some("check the width against the model's".to_owned()),
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
