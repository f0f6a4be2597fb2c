//! Facts of models that turn a text into several kinds of embedding at once.

use crate::{List, Str};

use super::{DenseLayer, GraphOutput};

/// Facts of a model that gives one vector, weighted terms and a vector per token of one run of its graph, as
/// BGE-M3 does.
///
/// The vector is that of the first token. The weight of a token is a linear function of its vector, 0 where
/// that is negative; a term is the id of a token, with its largest weight in the text. The vectors of tokens
/// are those of all but the first, through a linear layer. Vectors are scaled to unit length (L2).
#[derive(Debug, Clone, PartialEq)]
pub struct TextHybrid {
    /// Dimension of the one vector.
    pub dim: usize,
    /// Outputs of the graph, or layers behind it.
    pub heads: HybridHeads,
    /// Tokens that are no terms, such as `<s>`.
    pub skip_tokens: List<Str>,
}

impl TextHybrid {
    /// The kinds of embedding that the model gives.
    #[must_use]
    pub fn outputs(&self) -> Outputs {
        let (sparse, multi_vector) = match &self.heads {
            HybridHeads::Layers { sparse, multi_vector, .. } => {
                (sparse.is_some(), multi_vector.is_some())
            }
            HybridHeads::Outputs { sparse, multi_vector, .. } => {
                (sparse.is_some(), multi_vector.is_some())
            }
        };
        Outputs { dense: true, sparse, multi_vector }
    }
}

/// The heads of a [`TextHybrid`]; those that a model lacks are `None`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum HybridHeads {
    /// The graph gives the vectors of tokens, and the heads are linear layers behind it.
    Layers {
        /// The graph output with the vectors of tokens, `(texts, tokens, width)`.
        output: GraphOutput,
        /// Layer from a token's vector to its weight, one number.
        sparse: Option<DenseLayer>,
        /// Layer from a token's vector to that of the late interaction.
        multi_vector: Option<DenseLayer>,
    },
    /// The graph has an output for each head.
    Outputs {
        /// The output with the vector, `(texts, dim)`.
        dense: GraphOutput,
        /// The output with the weights, `(texts, tokens, 1)` or `(texts, tokens)`.
        sparse: Option<GraphOutput>,
        /// The output with the vectors of tokens, `(texts, tokens - 1, dim)`, or `(texts, tokens, dim)` with
        /// that of the first token, which is left out.
        multi_vector: Option<GraphOutput>,
    },
}

/// A choice of the kinds of embedding that a model gives.
///
/// ```
/// use embedkit_types::Outputs;
///
/// let outputs: Outputs = "dense,multi".parse()?;
/// assert!(outputs.dense && !outputs.sparse && outputs.multi_vector);
/// assert_eq!(outputs.to_string(), "dense,multi");
/// # Ok::<(), embedkit_types::OutputsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "String", try_from = "String")
)]
pub struct Outputs {
    /// One vector.
    pub dense: bool,
    /// Weighted terms.
    pub sparse: bool,
    /// A vector per token.
    pub multi_vector: bool,
}

impl Outputs {
    /// Names of the three, as [`FromStr`](std::str::FromStr) reads them.
    pub const NAMES: [&'static str; 3] = ["dense", "sparse", "multi"];

    /// None of them.
    pub const NONE: Self = Self { dense: false, sparse: false, multi_vector: false };

    /// All three.
    pub const ALL: Self = Self { dense: true, sparse: true, multi_vector: true };

    const fn flags(self) -> [bool; 3] {
        [self.dense, self.sparse, self.multi_vector]
    }

    const fn of([dense, sparse, multi_vector]: [bool; 3]) -> Self {
        Self { dense, sparse, multi_vector }
    }

    /// Number of kinds that are chosen.
    #[must_use]
    pub fn count(self) -> usize {
        self.flags().into_iter().filter(|&chosen| chosen).count()
    }

    /// Those that are in both choices.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let (one, other) = (self.flags(), other.flags());
        Self::of(std::array::from_fn(|place| one[place] && other[place]))
    }

    /// Those that are in one of the choices or in both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let (one, other) = (self.flags(), other.flags());
        Self::of(std::array::from_fn(|place| one[place] || other[place]))
    }
}

/// Names with commas between them.
impl std::fmt::Display for Outputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = Self::NAMES.into_iter().zip(self.flags());
        let chosen: Vec<_> = names.filter_map(|(name, chosen)| chosen.then_some(name)).collect();
        f.write_str(&chosen.join(","))
    }
}

/// A text names no choice of outputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one or more of dense, sparse, multi with commas between them, got {found:?}")]
pub struct OutputsError {
    /// The text.
    pub found: String,
}

impl std::str::FromStr for Outputs {
    type Err = OutputsError;

    fn from_str(text: &str) -> Result<Self, OutputsError> {
        let unknown = || OutputsError { found: text.to_owned() };
        let mut flags = [false; 3];
        for name in text.split(',') {
            let place = Self::NAMES.iter().position(|known| *known == name).ok_or_else(unknown)?;
            flags[place] = true;
        }
        Ok(Self::of(flags))
    }
}

impl From<Outputs> for String {
    fn from(outputs: Outputs) -> Self {
        outputs.to_string()
    }
}

impl TryFrom<String> for Outputs {
    type Error = OutputsError;

    fn try_from(text: String) -> Result<Self, OutputsError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_reads_back_as_it_is_written() {
        for text in
            ["dense", "sparse", "multi", "dense,sparse", "sparse,multi", "dense,sparse,multi"]
        {
            let outputs: Outputs = text.parse().unwrap();
            assert_eq!(outputs.to_string(), text);
            assert_eq!(outputs.count(), text.split(',').count());
        }
        assert_eq!("multi,dense,dense".parse::<Outputs>().unwrap().to_string(), "dense,multi");
        for wrong in ["", "colbert", "dense,", "dense, sparse", "Dense"] {
            let error = wrong.parse::<Outputs>().unwrap_err().to_string();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
        let one = Outputs { multi_vector: false, ..Outputs::ALL };
        let other = Outputs { dense: false, ..Outputs::ALL };
        assert_eq!(one.and(other).to_string(), "sparse");
        assert_eq!(one.or(other), Outputs::ALL);
    }
}
