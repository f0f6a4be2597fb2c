//! Entry point of the fuzzer of models' descriptions; tests call it with the inputs that are kept in
//! `tests/corpus`.

use std::path::{Component, Path};

use embedkit_types::{ModelFile, ModelFiles};

/// The description of a model by a stranger: it names files below the model's folder only, and vectors
/// of a width that can be.
///
/// # Panics
/// Where it does not.
#[allow(unreachable_pub, reason = "the fuzz target includes this file")]
pub fn model_spec(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(ModelFile { model }) = toml::from_str(text) else { return };
    assert!(!model.id.trim().is_empty());
    let root = Path::new("/models/here");
    let files = ModelFiles::in_dir(root, &model);
    assert!(files.model.starts_with(root), "{}", files.model.display());
    let pinned = model.files.iter().map(|file| &file.path);
    for name in [&model.file].into_iter().chain(&*model.additional_files).chain(pinned) {
        let below =
            Path::new(&**name).components().all(|part| matches!(part, Component::Normal(_)));
        assert!(below && !name.contains('\\'), "{name:?}");
    }
    assert!(model.task.dim().is_none_or(|dim| (1..=1 << 16).contains(&dim)));
}

#[test]
fn kept_inputs() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/model_spec");
    let files: Vec<_> = std::fs::read_dir(dir).unwrap().collect();
    assert!(files.len() > 3);
    for file in files {
        model_spec(&std::fs::read(file.unwrap().path()).unwrap());
    }
}
