//! Any model and typed models through the facade, on tiny graphs. No network.
//!
//! Each family's tests need its feature; the tests of the workspace have them all.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[cfg(feature = "text-dense")]
mod canary;
#[cfg(all(
    feature = "text-dense",
    feature = "any-sparse",
    feature = "late-interaction",
    feature = "multimodal",
    feature = "image",
    feature = "rerank"
))]
mod families;
#[cfg(all(feature = "text-dense", feature = "convert"))]
mod folders;
#[cfg(all(feature = "hybrid", feature = "late-interaction"))]
mod hybrid;
#[cfg(feature = "text-dense")]
mod model;
#[cfg(all(feature = "rerank", feature = "convert"))]
mod rerankers;
#[cfg(all(feature = "text-dense", feature = "image"))]
mod two_encoders;

use std::path::Path;

use embedkit::{LoadOptions, Model, ModelSpec};
use embedkit_testkit::{load_options, runtime_library};

/// Options with the library that runs graphs; `None` without one.
fn options() -> Option<LoadOptions> {
    Some(LoadOptions { onnxruntime: Some(runtime_library()?), ..load_options() })
}

/// The model of a case.
fn open(spec: &ModelSpec, dir: &Path) -> Option<Model> {
    let builder = Model::builder_for([spec.clone()]).unwrap().dir(dir).options(options()?);
    Some(builder.open().unwrap())
}

#[test]
fn any_model_goes_between_threads() {
    fn assert<T: Send + Sync + Clone + 'static>() {}
    assert::<Model>();
    fn assert_send<T: Send>(_: T) {}
    let stream = |model: &Model| assert_send(model.embed(embedkit::Role::Raw, ["a"]));
    let _: &dyn Fn(&Model) = &stream;
}
