//! Graphs that are made from checkpoints: which one, and from what.

use embedkit_describe::{Checkpoint, Head};
use embedkit_types::{ModelSpec, SpecError, Variant};

use crate::{Error, checkpoint, error::ResolveError};

/// Name of the variant with f16 weights, which a checkpoint is converted to on demand.
const F16: &str = "fp16";

/// A graph that has to be made from a checkpoint.
#[derive(Debug, Clone)]
pub(crate) struct Conversion {
    /// Folder of `config.json` and the weights within the model's; empty for its root.
    pub(crate) folder: String,
    pub(crate) head: Head,
    /// Files with the weights, the index of shards first.
    pub(crate) weights: Vec<String>,
    /// The graph stores and computes with f16.
    f16: bool,
}

impl Conversion {
    /// Variants that can be made from a checkpoint.
    pub(crate) fn variants() -> [String; 2] {
        [Variant::default().to_string(), F16.to_owned()]
    }

    /// The conversion of a checkpoint with weights to a variant; `None` where it has none or cannot
    /// become that.
    pub(crate) fn new(checkpoint: &Checkpoint, variant: Option<&Variant>) -> Option<Self> {
        let Checkpoint { folder, head, weights, .. } = checkpoint.clone();
        let wanted = variant.cloned().unwrap_or_default().to_string();
        let f16 = wanted.eq_ignore_ascii_case(F16);
        let known = f16 || wanted == Variant::default().to_string();
        (known && !weights.is_empty()).then_some(Self { folder, head, weights, f16 })
    }

    /// The conversion that the description of a model asks for, as the variant that is wanted; `None` for
    /// a model with a graph.
    pub(crate) fn of(spec: &ModelSpec, variant: Option<&Variant>) -> Result<Option<Self>, Error> {
        match (checkpoint::of_spec(spec), variant) {
            (Some(checkpoint), variant) => {
                let no_variant = || ResolveError::NoVariant {
                    model: spec.id.to_string(),
                    variant: variant.cloned().unwrap_or_default().to_string(),
                    known: Self::variants().to_vec(),
                };
                Ok(Some(Self::new(&checkpoint, variant).ok_or_else(no_variant)?))
            }
            (None, Some(_)) => {
                Err(SpecError::UnusedOption { id: spec.id.to_string(), option: "variant" }.into())
            }
            (None, None) => Ok(None),
        }
    }

    /// True for a graph that stores and computes with f16.
    #[cfg(feature = "convert")]
    pub(crate) fn is_f16(&self) -> bool {
        self.f16
    }

    /// A file in the folder of the weights.
    #[cfg(feature = "convert")]
    pub(crate) fn file(&self, name: &str) -> String {
        if self.folder.is_empty() { name.to_owned() } else { format!("{}/{name}", self.folder) }
    }
}
