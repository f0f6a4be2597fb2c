//! From a description to the open model of its family.

#[cfg(feature = "late-interaction")]
use embedkit_late_interaction as late;
use embedkit_types::{ErrorKind, ModelSpec, TaskKind};

use super::backend::Backend;
use crate::{
    Error, Options,
    files::FileSource,
    load::{self, Load},
};

/// Opens the model of a description.
pub(super) fn open(
    spec: &ModelSpec,
    files: &FileSource,
    options: &Options,
) -> Result<Box<dyn Backend>, Error> {
    match spec.task.kind() {
        #[cfg(feature = "text-dense")]
        TaskKind::TextDense => {
            boxed::<embedkit_text_dense::TextEmbedding>(spec, files, options, &options.dense)
        }
        #[cfg(feature = "any-sparse")]
        TaskKind::Sparse => {
            boxed::<embedkit_sparse::SparseTextEmbedding>(spec, files, options, &options.sparse)
        }
        #[cfg(feature = "late-interaction")]
        TaskKind::LateText => {
            boxed::<late::LateInteractionTextEmbedding>(spec, files, options, &())
        }
        #[cfg(feature = "hybrid")]
        TaskKind::TextHybrid => {
            let hybrid = embedkit_hybrid::HybridOptions { outputs: options.outputs };
            boxed::<embedkit_hybrid::HybridTextEmbedding>(spec, files, options, &hybrid)
        }
        #[cfg(feature = "multimodal")]
        TaskKind::LateMultimodal => {
            boxed::<late::LateInteractionMultimodalEmbedding>(spec, files, options, &options.image)
        }
        #[cfg(feature = "image")]
        TaskKind::Image => {
            boxed::<embedkit_image::ImageEmbedding>(spec, files, options, &options.image)
        }
        #[cfg(feature = "rerank")]
        TaskKind::Rerank => boxed::<embedkit_rerank::TextCrossEncoder>(spec, files, options, &()),
        other => {
            let what = format!("{} is a model for {other}, which this build lacks", spec.id);
            Err(Error::new(ErrorKind::Unsupported, what))
        }
    }
}

fn boxed<M: Load + Backend + 'static>(
    spec: &ModelSpec,
    files: &FileSource,
    options: &Options,
    family_options: &M::Options,
) -> Result<Box<dyn Backend>, Error> {
    Ok(Box::new(load::open::<M>(files, spec, &options.load, family_options)?))
}
