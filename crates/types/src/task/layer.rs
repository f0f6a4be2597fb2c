//! Layers behind the pooling of a model.

use crate::Str;

/// A step from one vector to another.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Layer {
    /// A linear layer with an activation.
    Dense(DenseLayer),
    /// Scaling to unit length (L2). As the last step it is `normalize` of the task instead.
    Normalize,
}

impl Layer {
    /// Dimension of the vectors behind the layer; `None` where it is that before it.
    #[must_use]
    pub fn dim(&self) -> Option<usize> {
        match self {
            Self::Dense(dense) => Some(dense.dim),
            Self::Normalize => None,
        }
    }
}

/// A linear layer: `activation(weight * x + bias)`, with the tensors `linear.weight` `[dim, width]` and
/// `linear.bias` `[dim]`, or `weight` and `bias`, in f32, f16 or bf16, of a safetensors file or of a state that
/// PyTorch has saved (`.pt`). Such a state is a pickled file: it is read as the plain tensors that it
/// holds, and nothing in it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct DenseLayer {
    /// File with the tensors, relative to the root of the source, such as `2_Dense/model.safetensors`.
    pub file: Str,
    /// Dimension of the result.
    pub dim: usize,
    /// `true` if there is a bias.
    #[cfg_attr(feature = "serde", serde(default = "yes"))]
    pub bias: bool,
    /// Function of each component of the result.
    #[cfg_attr(feature = "serde", serde(default))]
    pub activation: Activation,
}

#[cfg(feature = "serde")]
fn yes() -> bool {
    true
}

/// A function of single numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Activation {
    /// The number itself.
    #[default]
    Identity,
    /// Hyperbolic tangent.
    Tanh,
    /// The number where it is positive, else 0.
    Relu,
    /// Exact GELU, x Φ(x).
    Gelu,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// x / (1 + exp(-x)), also called swish.
    Silu,
}

impl Activation {
    /// All activations.
    pub const ALL: [Self; 6] =
        [Self::Identity, Self::Tanh, Self::Relu, Self::Gelu, Self::Sigmoid, Self::Silu];

    /// The name in `models.toml`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Tanh => "tanh",
            Self::Relu => "relu",
            Self::Gelu => "gelu",
            Self::Sigmoid => "sigmoid",
            Self::Silu => "silu",
        }
    }
}
