//! Graphs that are made from checkpoints: which one, and from what.

use embedkit_describe::{Checkpoint, Head};
use embedkit_types::{Encoder, ModelSpec, Sparse, SparseKind, SpecError, Task, TextDense, Variant};

use crate::{Error, error::ResolveError};

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
        let conversion = Self { folder, head, weights, f16: false };
        (!conversion.weights.is_empty()).then_some(conversion)?.to(variant)
    }

    fn to(self, variant: Option<&Variant>) -> Option<Self> {
        let wanted = variant.cloned().unwrap_or_default().to_string();
        let f16 = wanted.eq_ignore_ascii_case(F16);
        let known = f16 || wanted == Variant::default().to_string();
        known.then_some(Self { f16, ..self })
    }

    /// The conversion of a model whose description names a checkpoint as its file, or one of its index of
    /// shards.
    fn named(spec: &ModelSpec) -> Option<Self> {
        const FILE: &str = ".safetensors";
        const INDEX: &str = ".safetensors.index.json";
        let head = match &spec.task {
            Task::TextDense(TextDense { encoder: Encoder::Transformer, .. })
            | Task::LateText(_) => Head::Hidden,
            Task::Sparse(Sparse {
                kind: SparseKind::Splade(_) | SparseKind::IfSplade(_), ..
            }) => Head::MaskedLm,
            Task::Rerank(_) => Head::Classifier,
            _ => return None,
        };
        let file = spec.file.to_string();
        if !file.ends_with(FILE) && !file.ends_with(INDEX) {
            return None;
        }
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let of_index = file.ends_with(INDEX);
        let shards = spec.additional_files.iter().map(ToString::to_string);
        let shards = shards.filter(|name| of_index && name.ends_with(FILE));
        let weights = std::iter::once(file.clone()).chain(shards).collect();
        Some(Self { folder, head, weights, f16: false })
    }

    /// The conversion that the description of a model asks for, as the variant that is wanted; `None` for
    /// a model with a graph.
    pub(crate) fn of(spec: &ModelSpec, variant: Option<&Variant>) -> Result<Option<Self>, Error> {
        match (Self::named(spec), variant) {
            (Some(conversion), variant) => {
                let no_variant = || ResolveError::NoVariant {
                    model: spec.id.to_string(),
                    variant: variant.cloned().unwrap_or_default().to_string(),
                    known: Self::variants().to_vec(),
                };
                Ok(Some(conversion.to(variant).ok_or_else(no_variant)?))
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
