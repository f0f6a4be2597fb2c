//! Multimodal late interaction against FastEmbed 0.9.1, on tiny graphs.

#![cfg(feature = "multimodal")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "in tests")]

mod behaviour;
mod golden;

use embedkit_late_interaction::LateInteractionMultimodalEmbedding;
use embedkit_testkit::{MultimodalCase, load_options, multimodal_case, runtime_library};
use embedkit_types::LoadOptions;

/// How tests open models; `None` where there is no runtime.
fn options() -> Option<LoadOptions> {
    let onnxruntime = Some(runtime_library()?);
    Some(LoadOptions { onnxruntime, ..load_options() })
}

/// A case and its model; `None` where there is no runtime.
fn open(name: &str) -> Option<(MultimodalCase, LateInteractionMultimodalEmbedding)> {
    open_with(name, |options| options)
}

fn open_with(
    name: &str,
    change: impl FnOnce(LoadOptions) -> LoadOptions,
) -> Option<(MultimodalCase, LateInteractionMultimodalEmbedding)> {
    let case = multimodal_case(name);
    let options = change(options()?);
    let model = LateInteractionMultimodalEmbedding::from_files(&case.spec, &case.files(), &options);
    Some((case, model.unwrap()))
}
