//! Numbers that a graph multiplies.

use std::{fmt, str::FromStr};

use crate::{Error, ErrorKind, Hint};

/// Numbers that a graph multiplies activations and weights as, by name.
///
/// ```
/// use embedkit_types::Precision;
///
/// assert_eq!("bf16".parse(), Ok(Precision::Bf16));
/// assert_eq!(Precision::default().to_string(), "f32");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Precision {
    /// Those of the graph's file, which runs as it is.
    #[default]
    F32,
    /// Products of activations and constant f32 matrices take both rounded to bf16 and add in f32. It needs a
    /// processor with instructions for bf16 (AMX, AVX-512 BF16, or BF16 of `AArch64`), and is an error on any other.
    Bf16,
    /// Such products are of eight-bit integers, with a scale for each row of activations and each column of the matrix.
    /// The graph is quantised once. Any processor multiplies them, those with AMX or VNNI several times as fast as f32.
    Int8,
    /// [`Self::Bf16`] for an f32 graph on the CPU where the processor has AMX, else [`Self::F32`]: the fastest whose vectors
    /// keep a cosine of about 0.9999 to those of f32. Vectors depend on the machine by that much.
    #[cfg_attr(feature = "serde", serde(rename = "auto-fast"))]
    AutoFast,
}

impl Precision {
    /// All precisions.
    pub const ALL: [Self; 4] = [Self::F32, Self::Bf16, Self::Int8, Self::AutoFast];

    /// Name of the precision.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::AutoFast => "auto-fast",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = PrecisionError;

    fn from_str(name: &str) -> Result<Self, PrecisionError> {
        let found = Self::ALL.into_iter().find(|precision| precision.name() == name);
        found.ok_or_else(|| PrecisionError(name.to_owned()))
    }
}

/// No precision has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no precision {0:?}")]
pub struct PrecisionError(String);

impl PrecisionError {
    /// The names that there are.
    #[must_use]
    pub fn hint(&self) -> Hint {
        let names = Precision::ALL.map(Precision::name).join(", ");
        Hint::Advice(format!("the precisions are {names}").into())
    }
}

impl From<PrecisionError> for Error {
    fn from(error: PrecisionError) -> Self {
        let hint = error.hint();
        Self::new(ErrorKind::InvalidInput, error).with_hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        let error = Error::from("f64".parse::<Precision>().unwrap_err());
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error.hint().unwrap().to_string().contains("f32, bf16, int8, auto-fast"),
            "{error}"
        );
    }
}
